"""WARC 1.1: records written one gzip member each, and read back even where a file is damaged."""
