"""Informers, the changes that wait for a reconcile, and the snapshot that a reconcile starts with."""
