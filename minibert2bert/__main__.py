"""python -m minibert2bert: the command line."""

import sys

from minibert2bert.cli import main

if __name__ == "__main__":
    sys.exit(main())
