"""`python -m gristmill`, the same program as the `gristmill` command."""

import sys

from gristmill.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
