"""The plan: which objects one mail platform needs in the cluster, and which content each container should load.

A plan without a platform is incomplete: it may ask for Secrets that the controller has to make first, and nothing may
be pruned because of it.
"""

from collections.abc import Iterable, Iterator, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field, replace
from hashlib import sha256
from json import dumps
from types import MappingProxyType
from typing import Any, Final

from postboat.agent.digest import content_digest
from postboat.api.quantity import amount
from postboat.model.platform import Platform, Volume, Wanted
from postboat.model.resolve import Counts, Resolution
from postboat.model.verdict import Reason, Verdict, Verdicts
from postboat.objects import dependence
from postboat.objects.components import COMPONENTS, Component, Container, volume
from postboat.objects.config import config_objects, shard_contents, shard_object
from postboat.objects.dependence import NOTHING, Needs, Ref
from postboat.objects.network import budgets, policies, services
from postboat.objects.workloads import service_account, stateful_set
from postboat.render.files import Files, ShardFile, ShardKey
from postboat.render.shards import empty
from postboat.render.units import SHARD_KEYS, without

ContainerKey = tuple[str, str]
"""Name of a StatefulSet and of one of its containers."""


@dataclass(frozen=True, slots=True)
class KubeObject:
    """A body for server-side apply."""

    kind: str
    name: str
    body: Mapping[str, Any] = field(repr=False)
    digest: str
    """sha256 in hex of the canonical JSON of the body."""
    shard: int | None = None
    """Number of the directory shard in it, 0 to 63; None for all other objects."""
    needs: Needs = NOTHING
    """What it waits for."""

    @classmethod
    def of(cls, body: Mapping[str, Any], shard: int | None = None, needs: Needs = NOTHING) -> "KubeObject":
        """Return the object for a body.

        Args:
            body: A whole object with `kind` and `metadata.name`.
            shard: Number of the directory shard in it; None for all other objects.
            needs: What it waits for.
        """
        canonical = dumps(body, sort_keys=True, separators=(",", ":")).encode()
        return cls(body["kind"], body["metadata"]["name"], body, sha256(canonical).hexdigest(), shard, needs)

    @property
    def ref(self) -> Ref:
        """Return kind and name."""
        return self.kind, self.name


@dataclass(frozen=True, slots=True)
class Plan:
    """What is to be applied, made and written to statuses for one MailServer."""

    platform: Platform | None
    """None while the plan is incomplete."""
    files: Files | None
    """None while the plan is incomplete."""
    objects: tuple[KubeObject, ...]
    """The objects to apply, in this order."""
    digests: Mapping[ContainerKey, str]
    """Desired digest of each container, sha256 in hex; it is written to its pods."""
    wanted: tuple[Wanted, ...]
    """Secrets that the controller has to make."""
    verdicts: Verdicts
    """The verdict about each object."""
    counts: Counts
    claims: Mapping[str, Volume] = field(default_factory=dict)
    """Volumes of StatefulSets that exist, by component; Kubernetes does not let them change."""
    certificate: Verdict | None = None
    """What is wrong with the Secret that the MailServer names for its certificate; None when nothing is."""

    @property
    def complete(self) -> bool:
        """Return whether the plan is complete, so that what is not in it may be pruned."""
        return self.platform is not None


_NONE: Final[Mapping[str, Volume]] = MappingProxyType({})


def plan(
    resolution: Resolution, files: Files | None, before: Plan | None = None, claims: Mapping[str, Volume] = _NONE
) -> Plan:
    """Return the plan of a platform, reusing the objects of an earlier plan that have not changed.

    Args:
        resolution: The decision about all objects.
        files: The rendered files of `resolution.platform`; None when that is None.
        before: The plan before, if it is complete; None makes everything anew.
        claims: Volumes of the StatefulSets that exist, by name of the StatefulSet; they override the wanted ones, since
            Kubernetes does not let them change.
    """
    platform = resolution.platform
    if platform is None or files is None:
        return Plan(None, None, (), {}, resolution.wanted, resolution.verdicts, resolution.counts)
    kept = {
        component.name: claims[f"{platform.name}-{component.name}"]
        for component in COMPONENTS
        if f"{platform.name}-{component.name}" in claims
    }
    shards = tuple(_shards(platform, files, before))
    site = _kept_site(files, before, kept) or tuple(_site(platform, files, kept))
    return Plan(
        platform=platform,
        files=files,
        objects=(*shards, *site),
        digests=_digests(platform, files, {}),
        wanted=resolution.wanted,
        verdicts=_with_claims(resolution, platform, kept),
        counts=resolution.counts,
        claims=kept,
        certificate=resolution.site.certificate_verdict,
    )


def demanded(plan: Plan, refused: Mapping[int, Mapping[str, str]]) -> Mapping[ContainerKey, str]:
    """Return the digests that containers can reach although some shards could not be written.

    Args:
        refused: For the number of each shard that was not written, the digests (sha256 in hex) of the files that the
            cluster has of it, by key.
    """
    if not refused or plan.platform is None or plan.files is None:
        return plan.digests
    return _digests(plan.platform, plan.files, refused)


def lacking(plan: Plan, absent: AbstractSet[ShardKey]) -> Plan:
    """Return the plan whose manifests leave out shards that could not be written and do not exist.

    Pods can start without a shard that their manifest does not name.

    Args:
        absent: The shards that are missing, as number and key.
    """
    if not absent or plan.platform is None or plan.files is None:
        return plan
    platform, files = plan.platform, without(plan.files, absent)
    renewed = {
        ("ConfigMap", f"{platform.name}-{unit}"): next(config_objects(platform, unit, files.units[unit]))
        for unit in SHARD_KEYS
    }
    objects = tuple(
        KubeObject.of(renewed[item.ref], needs=item.needs) if item.ref in renewed else item for item in plan.objects
    )
    return replace(plan, files=files, objects=objects, digests=_digests(platform, files, {}))


def emptied(platform: Platform, number: int, keys: Iterable[str]) -> KubeObject:
    """Return a shard without rows, for one that must not be deleted yet since manifests still name it.

    Args:
        number: Number of the shard, 0 to 63.
        keys: Which files it has: `smtp`, `edge`, `store`.
    """
    return KubeObject.of(shard_object(platform, number, dict.fromkeys(keys, empty())), number)


def _site(platform: Platform, files: Files, kept: Mapping[str, Volume]) -> Iterator[KubeObject]:
    yield KubeObject.of(service_account(platform))
    for unit, unit_files in files.units.items():
        for body in config_objects(platform, unit, unit_files):
            yield KubeObject.of(body, needs=dependence.of_files(platform, body["kind"], unit))
    yield from map(KubeObject.of, (*services(platform), *policies(platform), *budgets(platform)))
    for component in COMPONENTS:
        wanted = kept.get(component.name) or volume(platform, component)
        body = stateful_set(platform, component, files, wanted)
        yield KubeObject.of(body, needs=dependence.of_workload(platform, component))


def _kept_site(files: Files, before: Plan | None, kept: Mapping[str, Volume]) -> tuple[KubeObject, ...]:
    if before is None or before.files is None or before.files.units is not files.units or before.claims != kept:
        return ()
    return tuple(item for item in before.objects if item.shard is None)


def _shards(platform: Platform, files: Files, before: Plan | None) -> Iterator[KubeObject]:
    known = {item.shard: item for item in before.objects} if before is not None else {}
    old = shard_contents(before.files) if before is not None and before.files is not None else {}
    for number, contents in shard_contents(files).items():
        same = number in known and _same(old.get(number, {}), contents)
        yield known[number] if same else KubeObject.of(shard_object(platform, number, contents), number)


def _same(old: Mapping[str, ShardFile], new: Mapping[str, ShardFile]) -> bool:
    return old.keys() == new.keys() and all(old[key].digest == new[key].digest for key in new)


def _digests(platform: Platform, files: Files, refused: Mapping[int, Mapping[str, str]]) -> dict[ContainerKey, str]:
    return {
        (f"{platform.name}-{component.name}", container.name): content_digest(dict(_mounted(files, refused, container)))
        for component in COMPONENTS
        for container in component.containers
    }


def _mounted(files: Files, refused: Mapping[int, Mapping[str, str]], container: Container) -> Iterable[tuple[str, str]]:
    yield from ((file.key, file.digest) for file in files.units[container.unit])
    shards = {place: file.digest for place, file in files.shards.items() if place[0] not in refused}
    shards |= {(number, key): digest for number, held in refused.items() for key, digest in held.items()}
    for (number, key), digest in shards.items():
        if key == container.shard_key:
            yield f"tables/{number:02d}", digest


def _with_claims(resolution: Resolution, platform: Platform, kept: Mapping[str, Volume]) -> Verdicts:
    stuck = [component for component in COMPONENTS if _differs(platform, component, kept)]
    key = ("MailServer", platform.name)
    verdict = resolution.verdicts[key]
    if not stuck or not verdict.accepted:
        return resolution.verdicts
    names = ", ".join(sorted(component.name for component in stuck))
    message = f"The volumes of {names} exist already; their size and storage class cannot be changed."
    return resolution.verdicts.succeeded([(key, Verdict(Reason.IMMUTABLE, message, "spec", effective=True))])


def _differs(platform: Platform, component: Component, kept: Mapping[str, Volume]) -> bool:
    wanted, held = volume(platform, component), kept.get(component.name)
    if wanted is None or held is None:
        return False
    return amount(wanted.size) != amount(held.size) or wanted.storage_class not in {None, held.storage_class}
