"""`python -m hypernode.coordinator`."""

import sys

from hypernode.coordinator.process import main

if __name__ == "__main__":
    sys.exit(main())
