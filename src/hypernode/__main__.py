"""`python -m hypernode` is the `hypernode` command."""

from hypernode.cli import main

if __name__ == "__main__":
    main()
