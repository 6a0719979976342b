"""What holds for every test. Imported before torch is, which reads the thread settings once."""

import os

import gristmill

assert os.environ["OMP_WAIT_POLICY"] == "passive", gristmill.__version__
