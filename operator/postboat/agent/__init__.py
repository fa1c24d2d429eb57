"""The agent runs as PID 1 of every daemon container: it puts mounted configuration in force and keeps the daemon alive.

It needs the standard library only and imports nothing of the layers above; `docs/interfaces.md` is its contract.
"""
