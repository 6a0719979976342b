"""Rules that keep or drop a document, all from one pass over its text."""
