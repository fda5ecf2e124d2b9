"""The command line as `python -m res2net`."""

import sys

from res2net.cli import main

if __name__ == "__main__":
    sys.exit(main())
