"""What the agent of a store knows of its mailboxes, and the operator's port that tells it.

Nothing here is asked by anybody but the operator, which proves itself by a secret of its own.
"""
