"""Fetching pages: URLs, scope, robots.txt, the frontier that survives a kill, and the crawler."""
