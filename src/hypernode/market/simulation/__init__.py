"""Matching tried out on traces, without a network: the decisions are those of `market.matching`, and only time, nodes
and tasks are simulated. It is part of the package, beside what it runs, so that it is typed and tested with it and an
operator can replay a trace with the version at hand.
"""
