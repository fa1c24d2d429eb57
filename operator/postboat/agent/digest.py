"""The digest of a container's content, computed alike by the operator that writes it and by the agent that mounts it.

Equal digests mean equal files: it is what tells the operator that a change is in force.
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

    `files` maps each path as mounted (`main.cf`, `tables/07`) to the sha256 of its content in hex.
    """
    lines = "".join(f"{path} {sha256}\n" for path, sha256 in sorted(files.items()))
    return hashlib.sha256(lines.encode()).hexdigest()
