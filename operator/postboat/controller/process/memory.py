"""How much memory the operator uses of what it may, and a word of it before the kernel ends the process.

A thread reads the control group, as kubelets do, and keeps the collector of cycles from looking at what stays.
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
"""The part of the limit above which the operator says that it needs more."""
RELIEVED: Final = 0.8
"""The part below which it may say so again."""
GROWN: Final = 1.25
"""By this factor more objects than before: then those that are there are not looked at any more."""
FEW: Final = 5_000
"""So many objects cost the collector no time that anybody notices."""
UNLIMITED: Final = 1 << 60
"""A limit of version 1 above this, in bytes, is none: it has no word for that."""
ROOT: Final = Path("/sys/fs/cgroup")


@dataclass(frozen=True, slots=True)
class Usage:
    """Bytes in use without the files that the kernel can drop, and the limit in bytes; 0 where there is none."""

    used: int
    limit: int = 0

    @property
    def part(self) -> float:
        """The part of the limit that is in use; 0 without a limit."""
        return self.used / self.limit if self.limit else 0.0


def usage(root: Path = ROOT) -> Usage | None:
    """Read the control group of the container, of version 2 or 1; None where there is neither."""
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
    """Says once that memory runs short, and again only after it has not for a while."""

    def __init__(self) -> None:
        self._said = False

    def warning(self, now: Usage) -> str:
        """Give what to say of this usage; mostly nothing."""
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
    """The thread; `objects` counts what the informers hold, and `warn` hears that memory runs short."""

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
        """End the thread."""
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
