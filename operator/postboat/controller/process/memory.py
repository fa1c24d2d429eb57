"""Watches the memory of the operator, and warns before the kernel kills the process.

A thread reads the control group, as kubelets do. It also freezes objects that stay (`gc.freeze`), so that the garbage
collector does not traverse them.
"""

from __future__ import annotations

import gc
import logging
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from typing_extensions import override

from postboat import telemetry

if TYPE_CHECKING:
    from collections.abc import Callable

log = logging.getLogger(__name__)

PERIOD: Final = 10.0
"""Seconds between two looks."""
NEAR: Final = 0.85
"""Part of the limit from which on the operator warns."""
RELIEVED: Final = 0.8
"""Part of the limit below which it may warn again."""
GROWN: Final = 1.25
"""Factor by which the number of objects must have grown before they are frozen again."""
FEW: Final = 5_000
"""Number of objects below which the garbage collector costs no noticeable time."""
UNLIMITED: Final = 1 << 60
"""Bytes; a limit of cgroup version 1 above this means that there is none."""
ROOT: Final = Path("/sys/fs/cgroup")


@dataclass(frozen=True, slots=True)
class Usage:
    """Memory of the container."""

    used: int
    """Bytes in use, without files that the kernel can drop."""
    limit: int = 0
    """Bytes; 0 means no limit."""

    @property
    def part(self) -> float:
        """Return the part of the limit that is in use, from 0 to 1; 0 without a limit."""
        return self.used / self.limit if self.limit else 0.0


def usage(root: Path = ROOT) -> Usage | None:
    """Return the memory of the container, from a control group of version 2 or 1.

    Args:
        root: Where the control groups are mounted.

    Returns:
        None when there is neither version.
    """
    names = ("memory.current", "memory.max", "memory.stat", "inactive_file")
    if not (root / names[0]).exists():
        root /= "memory"
        names = ("memory.usage_in_bytes", "memory.limit_in_bytes", "memory.stat", "total_inactive_file")
    try:
        used, limit, stat = ((root / name).read_text() for name in names[:3])
        droppable = dict(line.split(maxsplit=1) for line in stat.splitlines()).get(names[3], "0")
        most = 0 if limit.strip() == "max" else int(limit)
        return Usage(max(0, int(used) - int(droppable)), most if most < UNLIMITED else 0)
    except (OSError, ValueError):
        return None


class Alarm:
    """Warns once when memory runs short, and again after it was below RELIEVED."""

    def __init__(self) -> None:
        self._said = False

    def warning(self, now: Usage) -> str:
        """Return the warning for a usage; "" when there is none to give."""
        if now.part < RELIEVED:
            self._said = False
        if self._said or now.part <= NEAR:
            return ""
        self._said = True
        return (
            f"The operator uses {now.used >> 20} MiB of the {now.limit >> 20} MiB of its limit, and is killed when it "
            "needs more: raise resources.limits.memory in the values of the operator's chart."
        )


class MemoryWatch(threading.Thread):
    """The thread that watches.

    Args:
        objects: Returns the number of objects in the informers.
        warn: Called with a warning.
        read: Returns the memory of the container.
        period: Seconds between two looks.
    """

    def __init__(
        self,
        objects: Callable[[], int],
        warn: Callable[[str], None],
        *,
        read: Callable[[], Usage | None] = usage,
        period: float = PERIOD,
    ) -> None:
        super().__init__(name="memory", daemon=True)
        self.heartbeat = time.monotonic()
        self._objects, self._warn, self._read, self._period = objects, warn, read, period
        self._alarm = Alarm()
        self._frozen = FEW
        self._stopping = threading.Event()

    def stop(self) -> None:
        """Ask the thread to end."""
        self._stopping.set()

    @override
    def run(self) -> None:
        while not self._stopping.wait(self._period):
            self.heartbeat = time.monotonic()
            try:
                self._look()
            except Exception:
                log.exception("looking at the memory failed")

    def _look(self) -> None:
        now = self._read()
        if now is not None:
            telemetry.MEMORY.set(now.used)
            telemetry.MEMORY_LIMIT.set(now.limit)
            warning = self._alarm.warning(now)
            if warning:
                log.warning(warning)
                self._warn(warning)
        objects = self._objects()
        if objects > GROWN * self._frozen:
            self._frozen = objects
            gc.freeze()  # a full collection stops all threads for a second where there are a hundred thousand mailboxes
