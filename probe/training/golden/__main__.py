"""``python -m probe.training.golden``; see `command`."""

import sys

from probe.training.golden.command import main

if __name__ == "__main__":
    sys.exit(main())
