"""`python -m openretina_cli` is the command `openretina`."""

import sys

from openretina_cli.cli import main

if __name__ == "__main__":
    sys.exit(main())
