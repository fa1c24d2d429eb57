"""What an object waits for when other objects cannot be written: only for those without which it would do harm.

A workload waits for its own files. Files that name tables wait for shards whose tables have another layout. No workload
is created without its ServiceAccount and NetworkPolicy, nor Postfix, which refuses unknown recipients, without all
shards.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from postboat.model import names
from postboat.model.platform import Platform
from postboat.objects.components import SMTP, Component
from postboat.objects.config import LAYOUT, layout_of, shard_suffix
from postboat.render.units import SHARD_KEYS

Ref = tuple[str, str]
"""Kind and name of an object of one platform."""


@dataclass(frozen=True, slots=True)
class Standing:
    """What the cluster has of an object that could not be written."""

    there: bool
    """Whether it exists in some earlier state."""
    note: str = ""
    """The annotation of a directory shard, see `objects.meta.SHARD_NOTE`; "" for all other objects."""


@dataclass(frozen=True, slots=True)
class Needs:
    """What an object waits for."""

    written: frozenset[Ref] = frozenset()
    """Objects that must be as planned."""
    alike: frozenset[Ref] = frozenset()
    """Directory shards that may be those of an earlier plan, but must have the same table layout."""
    there: frozenset[Ref] = frozenset()
    """Objects that must exist in some state before this one is created."""

    def unmet(self, unwritten: Mapping[Ref, Standing], *, exists: bool) -> Ref | None:
        """Return the first of the unwritten objects that this one waits for; None when it need not wait.

        Args:
            unwritten: What the cluster has of each object that could not be written.
            exists: Whether this object exists already.
        """
        for ref, standing in unwritten.items():
            if ref in self.written:
                return ref
            if ref in self.alike and standing.there and layout_of(standing.note) != LAYOUT:
                return ref
            if ref in self.there and not (standing.there or exists):
                return ref
        return None


NOTHING: Final = Needs()


def of_files(platform: Platform, kind: str, unit: str) -> Needs:
    """Return what the ConfigMap or the Secret of a unit waits for.

    Without its rows a new table may refuse all mail or let all of it pass, so files that name tables come after all
    shards. A shard that is not there at all has no rows of the old tables either, and does not block. The Secret waits
    for the ConfigMap: the manifest in the ConfigMap must not name what the Secret no longer has, since no pod could
    start.

    Args:
        kind: `ConfigMap` or `Secret`.
        unit: See `render.units.UNITS`.
    """
    return Needs(
        written=frozenset({("ConfigMap", f"{platform.name}-{unit}")} if kind == "Secret" else ()),
        alike=_shards(platform) if unit in SHARD_KEYS else frozenset(),
    )


def of_workload(platform: Platform, component: Component) -> Needs:
    """Return what a StatefulSet waits for."""
    units = {f"{platform.name}-{container.unit}" for container in component.containers}
    begun_with = {("ServiceAccount", f"{platform.name}-mail"), ("NetworkPolicy", f"{platform.name}-{component.name}")}
    return Needs(
        written=frozenset((kind, unit) for kind in ("ConfigMap", "Secret") for unit in units),
        # Postfix answers 550 for whom it does not find; while it is not there, senders keep the mail.
        there=frozenset(begun_with) | (_shards(platform) if component is SMTP else frozenset()),
    )


def _shards(platform: Platform) -> frozenset[Ref]:
    return frozenset(("Secret", f"{platform.name}-{shard_suffix(number)}") for number in range(names.SHARDS))
