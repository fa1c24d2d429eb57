"""The chart as a user gets it: what helm makes of it under several values, judged by other people's checkers.

The programs are built from pinned Go modules on first use; the chart's own unit tests lie beside it.
"""
