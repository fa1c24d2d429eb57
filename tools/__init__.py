"""Small programs of the project's own: the demo, the table of rows, the programs the checks need.

None of them is part of what runs in a cluster.
"""
