"""What the pods run: which plan is in force in which container, and why a pod is not there."""
