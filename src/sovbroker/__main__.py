"""`python -m sovbroker` is the command line."""

import sys

from sovbroker.cli import main

if __name__ == "__main__":
    sys.exit(main())
