"""How full a volume is, as an agent reports it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Fill:
    """Sizes of a volume in bytes, without the part that is reserved for root.

    A file system that does not count files has 0 for both numbers of inodes.
    """

    size: int
    """Bytes in all."""
    available: int
    """Bytes that can still be written."""
    needed: int
    """Bytes without which the daemon accepts nothing more; 0 when it sets no limit."""
    inodes: int
    """Files in all; 0 when the file system does not count them."""
    inodes_available: int
    """Files that can still be created."""
