"""Complete runs as YAML, shipped with the package."""
