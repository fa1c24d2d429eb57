"""Which objects wait for a shard of the directory that could not be written; all others may become Ready.

Pure: rounds of a reconcile go in, the objects to report come out.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Mapping

    from postboat.model.verdict import Key

Thing = TypeVar("Thing")


@dataclass(frozen=True, slots=True)
class Split(Generic[Thing]):
    """What a round leaves to judge: objects whose every row was written, and objects that have begun to wait."""

    free: Mapping[Key, Thing]
    waiting: Mapping[Key, Thing]


class BlockedObjects(Generic[Thing]):
    """The objects of one platform that changed together with a shard which was then refused."""

    def __init__(self) -> None:
        self._refused: Mapping[int, str] = {}
        self._waiting: dict[Key, tuple[Thing, frozenset[int]]] = {}

    def part(self, touched: Mapping[Key, Thing], refused: Mapping[int, str]) -> Split[Thing]:
        """Take in what a round changed, and the refused shards with the digests of what was to be written.

        What a plan changed waits for the shards that were refused and that the plan changed too; a shard that was
        refused before and is to become what it was to become before has nothing to do with it.
        """
        fresh = {number for number, digest in refused.items() if self._refused.get(number) != digest}
        self._refused = dict(refused)
        for key, thing in touched.items():
            _, earlier = self._waiting.get(key, (thing, frozenset()))
            self._waiting[key] = (thing, earlier | fresh)
        held = {key: (thing, shards & refused.keys()) for key, (thing, shards) in self._waiting.items()}
        self._waiting = {key: (thing, shards) for key, (thing, shards) in held.items() if shards}
        free = {key: thing for key, (thing, shards) in held.items() if not shards}
        return Split(free, {key: thing for key, thing in touched.items() if key in self._waiting})
