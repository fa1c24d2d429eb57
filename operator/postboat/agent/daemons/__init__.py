"""What the agent has to know of each daemon: how to start, check, reload, ask and stop it.

Everything else is the same for all of them and lives beside this package.
"""
