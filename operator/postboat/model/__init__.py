"""What the platform should be, decided from a snapshot of all objects.

Nothing here reads a clock, a file or the network: equal snapshots give equal platforms.
"""
