"""The end-to-end tests: a real cluster, real daemons and real clients. Each case carries the row it shows."""
