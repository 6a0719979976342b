"""A user's own files as documents: plain text, Markdown, JSON Lines and Parquet."""
