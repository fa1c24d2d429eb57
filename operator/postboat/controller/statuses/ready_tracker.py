"""When the status of an object is due: a refusal at once, Ready when it is loaded everywhere, Pending after a delay.

A bulk import costs one write an object, and an equal status costs none.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from postboat.model.verdict import Key, Verdict

PATIENCE = 15.0
"""Seconds without any progress of the pods after which an object says that it is not in force yet."""


@dataclass(frozen=True, slots=True)
class Due:
    """A status to judge and, if it differs, to write."""

    key: Key
    uid: str
    generation: int
    verdict: Verdict
    in_force: bool
    anew: bool = False
    """What the status says so far counts for nothing: these pods never served the object."""


@dataclass(slots=True)
class _Waiting:
    uid: str
    generation: int
    verdict: Verdict
    sequence: int
    since: float
    told: bool = False
    anew: bool = False

    def due(self, key: Key, *, in_force: bool) -> Due:
        return Due(key, self.uid, self.generation, self.verdict, in_force, self.anew)


class ReadyTracker:
    """The objects of one MailServer whose acceptance waits for the pods."""

    def __init__(self, patience: float = PATIENCE) -> None:
        self._patience = patience
        self._waiting: dict[Key, _Waiting] = {}
        self._in_force = 0
        self._moved = 0.0

    def __len__(self) -> int:
        return len(self._waiting)

    def waits(self, key: Key) -> bool:
        """Tell whether an object waits for the pods."""
        return key in self._waiting

    def changed(  # noqa: PLR0913, PLR0917 - an object, what became of it, in which plan and when
        self, key: Key, uid: str, generation: int, verdict: Verdict, sequence: int, now: float, *, anew: bool = False
    ) -> Due | None:
        """Take in an object that a plan changed; what is refused as a whole need not wait for anybody.

        `anew` says that its status claims what these pods never served, so that it is told at once that it waits.
        """
        if not verdict.effective:
            self._waiting.pop(key, None)
            return Due(key, uid, generation, verdict, in_force=False)
        if sequence <= self._in_force:
            self._waiting.pop(key, None)
            return Due(key, uid, generation, verdict, in_force=True)
        known = self._waiting.get(key)
        same = known is not None and known.uid == uid
        told = anew or (same and known is not None and known.told)
        anew = anew or (same and known is not None and known.anew)
        waiting = self._waiting[key] = _Waiting(uid, generation, verdict, sequence, now, told, anew)
        return waiting.due(key, in_force=False) if told else None

    def gone(self, keys: Iterable[Key]) -> None:
        """Forget objects that exist no more."""
        for key in keys:
            self._waiting.pop(key, None)

    def advance(self, in_force: int, now: float, most: int | None = None) -> list[Due]:
        """Take in how far the pods are, and give the statuses that follow from it, so many of Ready ones at most."""
        if in_force > self._in_force:
            self._moved = now
        self._in_force = in_force
        ready = list(islice((key for key, one in self._waiting.items() if one.sequence <= in_force), most))
        taken = [(key, self._waiting.pop(key)) for key in ready]
        due = [waiting.due(key, in_force=True) for key, waiting in taken]
        if not self._waiting:
            self._waiting = {}  # a dictionary keeps the room of the hundred thousand that it had
        return due + self._overdue(now)

    def _overdue(self, now: float) -> list[Due]:
        if now - self._moved < self._patience:
            return []
        due = []
        for key, waiting in self._waiting.items():
            if waiting.sequence > self._in_force and not waiting.told and now - waiting.since >= self._patience:
                waiting.told = True
                due.append(waiting.due(key, in_force=False))
        return due
