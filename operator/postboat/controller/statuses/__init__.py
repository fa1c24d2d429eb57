"""The statuses of all objects: when they are Ready, what is written, and how writes are repeated."""
