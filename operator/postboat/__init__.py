"""postboat runs a complete mail platform on Kubernetes from custom resources.

docs/architecture.md describes the layers and their order. Nothing is imported here, so that an agent stays small.
"""

__version__ = "0.1.0"
