"""postboat runs a complete mail platform on Kubernetes from custom resources.

The layers and their order are described in `docs/interfaces.md`; nothing is imported here, so an agent stays small.
"""

__version__ = "0.1.0"
