"""The Kubernetes side: reading, writing and watching what the cluster holds.

Nothing here decides what a mail platform is; this layer moves objects and reports facts.
"""
