"""Hypernode: an open compute network. Clients submit jobs, nodes run them in sandboxes, coordinators verify and settle."""

__version__ = "0.1.0"
