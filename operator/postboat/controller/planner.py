"""From a snapshot to a plan; the page to read first.

`desired` is the whole decision. A `Planner` gives the same result from one change to the next, for less work.
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


def desired(snapshot: Snapshot, claims: Mapping[str, Volume] = NO_CLAIMS) -> Plan:
    """Decide what shall exist in the cluster, and what to tell about every object."""
    resolution = resolve(snapshot)
    files = render(resolution.platform) if resolution.platform is not None else None
    return plan(resolution, files, claims=claims)


@dataclass(frozen=True, slots=True)
class Decided:
    """A plan with the decision that it follows from."""

    plan: Plan
    resolution: Resolution


class Planner:
    """Keeps what was decided, so that one Mailbox costs one decision and one shard.

    `sign` is called now and then as a sign of life.
    """

    def __init__(self, sign: Callable[[], None] = lambda: None) -> None:
        self._sign = sign
        self._resolver: Resolver | None = None
        self._plan: Plan | None = None
        self._touched: set[Key] = set()
        self.claims: Mapping[str, Volume] = NO_CLAIMS

    def begin(self, snapshot: Snapshot) -> Decided:
        """Decide about everything."""
        self._resolver = None  # two of them would not fit into memory
        self._resolver = Resolver(snapshot, self._sign)
        return self._planned(self._resolver)

    def update(self, changes: Iterable[Change], now: datetime, *, dates: bool = False) -> Decided | None:
        """Decide about what has changed, and with `dates` about certificates; None when there has been no beginning."""
        if self._resolver is None:
            return None
        self._resolver.apply(changes, now, dates=dates)
        return self._planned(self._resolver)

    def take_touched(self) -> set[Key]:
        """Give the objects that were judged anew since this was last asked."""
        touched, self._touched = self._touched, set()
        return touched

    def _planned(self, resolver: Resolver) -> Decided:
        resolution, before = resolver.resolution, self._plan
        self._touched |= resolution.touched
        if before is not None and not before.complete:
            before = None
        files = None
        if resolution.platform is not None:
            files = render(resolution.platform, before.files if before is not None else None, self._sign)
        self._plan = plan(resolution, files, before, self.claims)
        return Decided(self._plan, resolution)
