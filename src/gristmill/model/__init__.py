"""The transformer, its attention and key-value cache, its weights in and out, its counts."""
