"""What the API server tells: informers, the changes that wait for a reconcile, and the snapshot that it begins with."""
