"""The plan: what shall exist in the cluster for one mail platform, and which content each container shall hold.

A plan without a platform is incomplete: it may ask for keys that the controller has to make first, and nothing may be
pruned because of it.
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
    """A body for server-side apply; `digest` tells two bodies apart without comparing them."""

    kind: str
    name: str
    body: Mapping[str, Any] = field(repr=False)
    digest: str
    shard: int | None = None
    """The number of the directory shard that the object holds, if it holds one."""
    needs: Needs = NOTHING

    @classmethod
    def of(cls, body: Mapping[str, Any], shard: int | None = None, needs: Needs = NOTHING) -> "KubeObject":
        """Take a body with its identity and the digest of its canonical form."""
        canonical = dumps(body, sort_keys=True, separators=(",", ":")).encode()
        return cls(body["kind"], body["metadata"]["name"], body, sha256(canonical).hexdigest(), shard, needs)

    @property
    def ref(self) -> Ref:
        """Name the object within its platform."""
        return self.kind, self.name


@dataclass(frozen=True, slots=True)
class Plan:
    """Objects to apply, in this order; digests to demand; Secrets to make; verdicts to tell."""

    platform: Platform | None
    files: Files | None
    objects: tuple[KubeObject, ...]
    digests: Mapping[ContainerKey, str]
    wanted: tuple[Wanted, ...]
    verdicts: Verdicts
    counts: Counts
    claims: Mapping[str, Volume] = field(default_factory=dict)
    """The volumes of components that exist already and stay as they are."""
    certificate: Verdict | None = None
    """What is wrong with the Secret that is named for the certificate of the server."""

    @property
    def complete(self) -> bool:
        """Whether the plan says all that shall exist, so that what it leaves out may be pruned."""
        return self.platform is not None


_NONE: Final[Mapping[str, Volume]] = MappingProxyType({})


def plan(
    resolution: Resolution, files: Files | None, before: Plan | None = None, claims: Mapping[str, Volume] = _NONE
) -> Plan:
    """Make the Kubernetes objects of a platform, taking over from an earlier plan what has not changed.

    `files` are those of the platform of the resolution; both are None together. `claims` are the volumes of the
    StatefulSets that exist, by name: Kubernetes lets nobody change them, so they stay.
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
    """Give the digests that containers reach although shards could not be written.

    `refused` has the digests of the files, by their keys, that these shards have instead.
    """
    if not refused or plan.platform is None or plan.files is None:
        return plan.digests
    return _digests(plan.platform, plan.files, refused)


def lacking(plan: Plan, absent: AbstractSet[ShardKey]) -> Plan:
    """Give the plan whose manifests do not name some shards, which could not be written and have never been there."""
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
    """Give a shard that has no rows, in the place of one that may not be deleted yet: manifests still name it."""
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
