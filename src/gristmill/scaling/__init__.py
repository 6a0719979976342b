"""The size dial and the arithmetic of scale. Trains nothing."""
