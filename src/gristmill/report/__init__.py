"""Draws what the rooms measured: figures, and the report in one HTML file."""
