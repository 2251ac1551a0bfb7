"""Measurements of Hypernode: `python -m bench` runs them, writes `bench/results/` and regenerates the report."""

import sys
from pathlib import Path

# The Solana programs are measured in the world that drives them in their tests.
sys.path.append(str(Path(__file__).parent.parent / "tests"))
