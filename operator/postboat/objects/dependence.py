"""What an object waits for when others cannot be written: only for what it would be wrong or in vain without.

A workload waits for its own files; files that name tables wait for a shard that still has other tables; and no workload
is begun without its account and its network policy, nor Postfix, which refuses unknown recipients, without all shards.
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
    """What the cluster has of an object that could not be written as planned: an earlier state of it, or nothing."""

    there: bool
    note: str = ""
    """What a shard says of itself, see `objects.config.SHARD_NOTE`."""


@dataclass(frozen=True, slots=True)
class Needs:
    """What an object waits for."""

    written: frozenset[Ref] = frozenset()
    """These must be as planned."""
    alike: frozenset[Ref] = frozenset()
    """These shards may be of an earlier plan, but not with other tables."""
    there: frozenset[Ref] = frozenset()
    """Before the object is made for the first time, these must be there in some state."""

    def unmet(self, unwritten: Mapping[Ref, Standing], *, exists: bool) -> Ref | None:
        """Give the first of the unwritten objects that this one waits for."""
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
    """Tell what the ConfigMap and the Secret of a unit wait for.

    Without its rows a new table may refuse everybody, or let everybody pass, so files that name one come after all
    shards. A shard that is not there at all lacks the rows of the old tables too, and holds nothing up. The manifest
    in the ConfigMap must not name what the Secret has no more, since no pod could begin with that.
    """
    return Needs(
        written=frozenset({("ConfigMap", f"{platform.name}-{unit}")} if kind == "Secret" else ()),
        alike=_shards(platform) if unit in SHARD_KEYS else frozenset(),
    )


def of_workload(platform: Platform, component: Component) -> Needs:
    """Tell what a StatefulSet waits for."""
    units = {f"{platform.name}-{container.unit}" for container in component.containers}
    begun_with = {("ServiceAccount", f"{platform.name}-mail"), ("NetworkPolicy", f"{platform.name}-{component.name}")}
    return Needs(
        written=frozenset((kind, unit) for kind in ("ConfigMap", "Secret") for unit in units),
        # Postfix answers 550 for whom it does not find; while it is not there, senders keep the mail.
        there=frozenset(begun_with) | (_shards(platform) if component is SMTP else frozenset()),
    )


def _shards(platform: Platform) -> frozenset[Ref]:
    return frozenset(("Secret", f"{platform.name}-{shard_suffix(number)}") for number in range(names.SHARDS))
