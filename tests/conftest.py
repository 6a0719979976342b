"""What holds for every test."""

import gristmill

# Imported here, before any test imports torch, which reads the thread settings that it makes.
__all__ = ["gristmill"]
