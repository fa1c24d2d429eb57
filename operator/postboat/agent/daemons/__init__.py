"""What the agent has to know of each daemon: how to start, validate, reload, probe and stop it.

Everything that is the same for all daemons is beside this package.
"""
