"""Measurements of Hypernode: `python -m bench` runs them, writes `bench/results/` and regenerates the report."""
