"""Turns of the cases that run in several processes against one cluster: side by side, or alone.

Each process has a platform of its own; what all of them share is the operator, and some cases stop it.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager

from e2e.cluster.layout import CHECKOUT, locked

FOLDER = CHECKOUT / "reports"


def worker() -> int:
    """The number of this process among those that share the cases (pytest-xdist), from 0."""
    return int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))


@contextmanager
def turn(*, alone: bool) -> Iterator[None]:
    """Wait for a turn: with any others, or until nobody else has one. Who wants to be alone is overtaken by nobody."""
    FOLDER.mkdir(exist_ok=True)
    with (FOLDER / "turn.lock").open("a") as held:
        with locked(FOLDER / "next-turn.lock"):
            fcntl.flock(held, fcntl.LOCK_EX if alone else fcntl.LOCK_SH)
        yield
