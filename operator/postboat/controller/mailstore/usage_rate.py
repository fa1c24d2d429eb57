"""When usage is written: after a real change, not too often for one mailbox, and not too many in all.

A change is real when a store numbered it (bytes or messages differ) and the status says something else. The clock is
an argument.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from heapq import heappop, heappush


@dataclass(frozen=True, slots=True)
class UsagePace:
    """Seconds between two writes for one mailbox, and writes in a second for all of them."""

    interval: float = 10.0
    per_second: float = 20.0
    burst: float = 40.0


class UsageRate:
    """The mailboxes of one platform whose usage may have to be written."""

    def __init__(self, pace: UsagePace | None = None) -> None:
        self._pace = pace or UsagePace()
        self._due: deque[str] = deque()
        self._delayed: list[tuple[float, str]] = []
        self._waiting: set[str] = set()
        self._last: dict[str, float] = {}
        self._allowance = self._pace.burst
        self._counted = 0.0

    def __len__(self) -> int:
        return len(self._waiting)

    def changed(self, name: str, now: float) -> None:
        """Take in that a mailbox has changed; many changes before it is due are one."""
        if name in self._waiting:
            return
        self._waiting.add(name)
        ready = self._last.get(name, now - self._pace.interval) + self._pace.interval
        if ready <= now:
            self._due.append(name)
        else:
            heappush(self._delayed, (ready, name))

    def take(self, now: float) -> list[str]:
        """Give the mailboxes that are due, in the order in which they changed."""
        while self._delayed and self._delayed[0][0] <= now:
            self._due.append(heappop(self._delayed)[1])
        self._allowance = min(self._pace.burst, self._allowance + max(0.0, now - self._counted) * self._pace.per_second)
        self._counted = now
        taken = [self._due.popleft() for _ in range(min(len(self._due), int(self._allowance)))]
        self._waiting.difference_update(taken)
        return taken

    def written(self, name: str, now: float) -> None:
        """Take in that usage is being written; a mailbox whose status does not change costs nothing."""
        self._allowance -= 1
        self._last[name] = now
        if len(self._last) > 2 * self._pace.interval * self._pace.per_second + self._pace.burst:
            self._last = {known: at for known, at in self._last.items() if now - at < self._pace.interval}

    def next_due(self, now: float) -> float | None:
        """Give the seconds until there is something to take, or None when nothing waits."""
        if self._due:
            return max(0.0, (1 - self._allowance) / self._pace.per_second)
        return max(0.0, self._delayed[0][0] - now) if self._delayed else None
