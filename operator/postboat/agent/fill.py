"""How full a volume is: what an agent tells and the operator judges."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Fill:
    """Sizes are in bytes, as far as they are not kept for root; with less than `needed` the daemon takes nothing more.

    A file system that does not count its files says 0 of both.
    """

    size: int
    available: int
    needed: int
    inodes: int
    inodes_available: int
