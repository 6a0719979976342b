"""gristmill: from raw web pages to an aligned, evaluated and served language model."""

import os

__version__ = "0.1.0"

# Threads of OpenMP that wait should sleep. By default they spin, and where another process wants
# the cores too, small operations on two threads then run 30 times slower. Read when torch loads.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")
