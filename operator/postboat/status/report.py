"""The status of every kind, from its verdict and from what was observed in the cluster.

A report equal to the status that is there is None: nothing is written, and nobody's watch wakes up.
"""
