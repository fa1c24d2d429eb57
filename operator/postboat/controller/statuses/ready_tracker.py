"""When the status of an object is due: a refusal at once, Ready when all replicas have loaded it, Pending later.

So a bulk import costs one write for each object.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from postboat.model.verdict import Key, Verdict

PATIENCE = 15.0
"""Seconds without progress of the pods after which an object is written as Pending."""


@dataclass(frozen=True, slots=True)
class Due:
    """A status to compute and, if it differs, to write."""

    key: Key
    """Kind and name."""
    uid: str
    """Uid of the object that it is about; a successor of the same name gets another status."""
    generation: int
    """`metadata.generation` that the verdict is about."""
    verdict: Verdict
    in_force: bool
    """Whether every replica has loaded that generation."""
    anew: bool = False
    """Whether to ignore a written Ready=True, since these pods never served the object."""


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
    """The objects of one MailServer that wait for the pods. It has no lock of its own: the reporter holds one.

    Args:
        patience: Seconds, see PATIENCE.
    """

    def __init__(self, patience: float = PATIENCE) -> None:
        self._patience = patience
        self._waiting: dict[Key, _Waiting] = {}
        self._in_force = 0
        self._moved = 0.0

    def __len__(self) -> int:
        return len(self._waiting)

    def waits(self, key: Key) -> bool:
        """Return whether an object waits for the pods."""
        return key in self._waiting

    def changed(  # noqa: PLR0913, PLR0917 - an object, what became of it, in which plan and when
        self, key: Key, uid: str, generation: int, verdict: Verdict, sequence: int, now: float, *, anew: bool = False
    ) -> Due | None:
        """Record an object that a plan has changed.

        Args:
            sequence: Number of that plan, from 1; AFTER_ALL for one that was not written.
            now: Seconds of the monotonic clock.
            anew: Whether a written Ready=True is wrong, so that Pending is due at once.

        Returns:
            The status that is due now; None while the object waits.
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
        """Forget objects that were deleted."""
        for key in keys:
            self._waiting.pop(key, None)

    def advance(self, in_force: int, now: float, most: int | None = None) -> list[Due]:
        """Record which plan the pods have loaded, and return the statuses that are due now.

        Args:
            in_force: Number of the plan that all containers have loaded; NEVER for none.
            now: Seconds of the monotonic clock.
            most: How many statuses that become Ready are returned at most; None for all.
        """
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
