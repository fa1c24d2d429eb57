"""What the pods run: which plan each container has loaded, and why a pod is missing."""
