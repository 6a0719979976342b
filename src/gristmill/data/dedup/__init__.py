"""Deduplication: exact, near (MinHash, LSH, connected components), lines repeated across a site."""
