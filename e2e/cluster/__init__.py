"""A one-node Kubernetes for the end-to-end tests and the quickstart, built from published Go modules.

`python3 -m e2e.cluster up` builds and starts it; the node lives in its own network, mount and process namespaces.
"""
