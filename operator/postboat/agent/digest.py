"""The digest of a container's content, computed in the same way by the operator and by the agent.

Equal digests mean equal files: this is how the operator knows that a change is in force.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping


def file_digest(content: bytes) -> str:
    """Return the sha256 of one file's content in hex."""
    return hashlib.sha256(content).hexdigest()


def content_digest(files: Mapping[str, str]) -> str:
    """Return the digest of a container's content: sha256 in hex over the lines `PATH SHA256HEX`, sorted by path.

    Args:
        files: The sha256 in hex of each file, by its path as mounted (`main.cf`, `tables/07`).
    """
    lines = "".join(f"{path} {sha256}\n" for path, sha256 in sorted(files.items()))
    return hashlib.sha256(lines.encode()).hexdigest()
