"""Bits per byte beside n-grams, multiple choice three ways, contamination, judges, arena."""
