"""``python -m probe.training.export``; see `command`."""

import sys

from probe.training.export.command import main

if __name__ == "__main__":
    sys.exit(main())
