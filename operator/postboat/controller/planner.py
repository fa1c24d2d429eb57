"""From a snapshot to a plan; the module to read first.

`desired` is the whole decision. A `Planner` returns the same result from one change to the next, for less work.
"""

from __future__ import annotations

from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

from postboat.model.resolve import Resolver, resolve
from postboat.objects.plan import Plan, plan
from postboat.render.units import render

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from datetime import datetime

    from postboat.model.platform import Volume
    from postboat.model.resolve import Resolution
    from postboat.model.snapshot import Change, Snapshot
    from postboat.model.verdict import Key

NO_CLAIMS: Final[Mapping[str, Volume]] = MappingProxyType({})
"""The volumes of no StatefulSets."""


def desired(snapshot: Snapshot, claims: Mapping[str, Volume] = NO_CLAIMS) -> Plan:
    """Return the plan for a snapshot: what should exist in the cluster, and the verdict about each object.

    Args:
        claims: Volumes of the StatefulSets that exist, by name of the StatefulSet.
    """
    resolution = resolve(snapshot)
    files = render(resolution.platform) if resolution.platform is not None else None
    return plan(resolution, files, claims=claims)


@dataclass(frozen=True, slots=True)
class Decided:
    """A plan with the decision that it was made from."""

    plan: Plan
    resolution: Resolution


class Planner:
    """Keeps earlier decisions, so that one changed Mailbox costs one decision and one shard.

    Only the worker of the MailServer may use it.

    Args:
        beat: Called now and then during long work, as a heartbeat.

    Attributes:
        claims: Volumes of the StatefulSets that exist, by name of the StatefulSet; set before `begin` and `update`.
    """

    def __init__(self, beat: Callable[[], None] = lambda: None) -> None:
        self._beat = beat
        self._resolver: Resolver | None = None
        self._plan: Plan | None = None
        self._touched: set[Key] = set()
        self.claims: Mapping[str, Volume] = NO_CLAIMS

    def begin(self, snapshot: Snapshot) -> Decided:
        """Decide about everything."""
        self._resolver = None  # two of them would not fit into memory
        self._resolver = Resolver(snapshot, self._beat)
        return self._planned(self._resolver)

    def update(self, changes: Iterable[Change], now: datetime, *, dates: bool = False) -> Decided | None:
        """Decide about what has changed.

        Args:
            changes: In any order.
            now: In UTC.
            dates: Whether to check certificates too, whose validity depends on the time.

        Returns:
            None before `begin`.
        """
        if self._resolver is None:
            return None
        self._resolver.apply(changes, now, dates=dates)
        return self._planned(self._resolver)

    def take_touched(self) -> set[Key]:
        """Return the objects that were decided about since the last call of this method."""
        touched, self._touched = self._touched, set()
        return touched

    def _planned(self, resolver: Resolver) -> Decided:
        resolution, before = resolver.resolution, self._plan
        self._touched |= resolution.touched
        if before is not None and not before.complete:
            before = None
        files = None
        if resolution.platform is not None:
            files = render(resolution.platform, before.files if before is not None else None, self._beat)
        self._plan = plan(resolution, files, before, self.claims)
        return Decided(self._plan, resolution)
