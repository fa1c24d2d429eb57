"""What all parts of the operator ask about a kind, so that a new kind is one module and one line of a table."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import lru_cache
from typing import Any, Final

from postboat.api.fields import fields_in_use, listed
from postboat.api.resource import Refusal, Resource
from postboat.model.platform import Platform, Wanted
from postboat.model.snapshot import SecretContent
from postboat.model.verdict import ACCEPTED, Key, Reason, Verdict

COMMON: Final = ("conditions", "observedGeneration")
"""The fields of every status."""


@dataclass(frozen=True, slots=True)
class Around:
    """What a decision about objects of one kind may read beside them: their MailServer, all others, and Secrets."""

    server: str
    servers: tuple[str, ...]
    secrets: Mapping[str, SecretContent]


@dataclass(frozen=True, slots=True)
class Settled:
    """What became of all objects of one kind of a MailServer: what they come to, and a verdict for each."""

    parts: tuple[Any, ...] = ()
    """What the platform gets of them, in canonical order; its type is the kind's own."""
    verdicts: tuple[tuple[Key, Verdict], ...] = ()
    wanted: tuple[Wanted, ...] = ()
    sought: frozenset[str] = frozenset()
    """Secrets to be read once, since a key in force may be in them."""


@dataclass(frozen=True, slots=True)
class Observed:
    """What the pods tell of an object: fields of its status, and a condition (its type, whether it holds, why)."""

    fields: Mapping[str, Any] = field(default_factory=dict)
    condition: str = ""
    """Empty: nothing new is known, and a condition that is there stays."""
    holds: bool = False
    reason: Reason = Reason.PENDING
    message: str = ""


def _nothing_observed(_resource: Resource, _seen: Any | None, _now: datetime) -> Observed:  # noqa: ANN401 -- each kind is told its own
    return Observed()


def _no_secrets(_resource: Resource) -> frozenset[str]:
    return frozenset()


def _no_platform_secrets(_server: str) -> frozenset[str]:
    return frozenset()


def _no_facts(_resource: Resource, _verdict: Verdict, _platform: Platform) -> Mapping[str, Any]:
    return {}


@dataclass(frozen=True, slots=True)
class KindRules:
    """One kind: its fields that have an effect, the Secrets that it reads, and what its status shows."""

    kind: str
    supported: frozenset[str] | None = None
    """Paths below `spec`, each with everything below it; None where the kind as a whole has no effect yet."""
    secrets: Callable[[Resource], frozenset[str]] = _no_secrets
    """Names of all Secrets that the decision about an object may read, whether they exist or not."""
    facts: Callable[[Resource, Verdict, Platform], Mapping[str, Any]] = _no_facts
    """The fields of the status beyond the common ones, of an object that has an effect."""
    observed: Callable[[Resource, Any | None, datetime], Observed] = _nothing_observed
    """What the status tells of what the pods have seen; None while they have told nothing."""
    observed_conditions: tuple[str, ...] = ()
    """The conditions that `observed` may give."""
    status_fields: tuple[str, ...] = COMMON
    """The fields of the status that the operator writes from here; others belong to other writers."""
    lasting: frozenset[str] = field(default_factory=frozenset)
    """Fields of the status that later decisions read: they are kept while the object is refused."""
    settle: Callable[[Sequence[Resource], Around], Settled] | None = None
    """Decides about all objects of the kind together, since an older one may take something from a younger one.

    None: each is accepted by itself, or `model.directory` decides about it by its name."""
    part: str = ""
    """The field of `Platform` that gets what `settle` gives; empty where the kind has none."""
    platform_secrets: Callable[[str], frozenset[str]] = _no_platform_secrets
    """Secrets of the platform itself, by the name of the MailServer, that `settle` reads."""

    def kept(self, resource: Resource) -> dict[str, Any]:
        """Give the lasting facts that the status has now."""
        return {name: resource.status[name] for name in self.lasting if resource.status.get(name) is not None}

    def verdict(self, resource: Resource) -> Verdict:
        """Accept an object, naming the fields that it sets and that are without effect, known or not."""
        if isinstance(resource.spec, Refusal):
            return Verdict(Reason.INVALID, resource.spec.message, resource.spec.path)
        if self.supported is None:
            return Verdict(Reason.NOT_IN_FORCE, f"{self.kind} is without effect in this version")
        idle = [f"spec.{path}" for path in fields_in_use(resource.spec) if not _covered(path, self.supported)]
        idle = sorted((*idle, *resource.unknown))
        if not idle:
            return ACCEPTED
        message = f"Without effect in this version: {listed(idle)}."
        return Verdict(Reason.FIELD_NOT_IN_FORCE, message, idle[0], effective=True)

    def settled(self, resources: Sequence[Resource], around: Around) -> Settled:
        """Decide about all objects of the kind that belong to one MailServer."""
        if self.settle is not None:
            return self.settle(resources, around)
        return Settled(verdicts=tuple(((self.kind, resource.name), self.verdict(resource)) for resource in resources))


@lru_cache(maxsize=4096)
def _covered(path: str, paths: frozenset[str]) -> bool:
    parts = path.split(".")
    return any(".".join(parts[:length]) in paths for length in range(1, len(parts) + 1))
