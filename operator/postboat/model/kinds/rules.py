"""The rules of one kind, which all parts of the operator use; a new kind is one module and one entry in a table."""

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
    """What a decision about objects of one kind may read beside them."""

    server: str
    """Name of their MailServer."""
    servers: tuple[str, ...]
    """Names of all MailServers of the namespace, oldest first."""
    secrets: Mapping[str, SecretContent]
    """Contents of Secrets by name."""


@dataclass(frozen=True, slots=True)
class Settled:
    """The result for all objects of one kind of a MailServer."""

    parts: tuple[Any, ...] = ()
    """What the platform gets, in canonical order; the type depends on the kind."""
    verdicts: tuple[tuple[Key, Verdict], ...] = ()
    wanted: tuple[Wanted, ...] = ()
    """Secrets that the controller has to make."""
    sought: frozenset[str] = frozenset()
    """Names of Secrets to read once, since a key in force may be in them."""


@dataclass(frozen=True, slots=True)
class Observed:
    """What the pods report of an object: fields of its status, and one condition."""

    fields: Mapping[str, Any] = field(default_factory=dict)
    """Top-level fields of the status."""
    condition: str = ""
    """Type of the condition; "" when nothing new is known, so that the written one stays."""
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
    """Paths below `spec`, each with all fields below it; None when the kind has no effect yet."""
    secrets: Callable[[Resource], frozenset[str]] = _no_secrets
    """Returns the names of all Secrets that the decision about an object may read, existing or not."""
    facts: Callable[[Resource, Verdict, Platform], Mapping[str, Any]] = _no_facts
    """Returns the fields of the status beyond the common ones, for an object that has an effect."""
    observed: Callable[[Resource, Any | None, datetime], Observed] = _nothing_observed
    """Returns what the pods report of an object; its second argument is None while they have reported nothing."""
    observed_conditions: tuple[str, ...] = ()
    """Types of the conditions that `observed` may return."""
    status_fields: tuple[str, ...] = COMMON
    """Top-level fields of the status that the operator writes from here; other writers own the others."""
    lasting: frozenset[str] = field(default_factory=frozenset)
    """Fields of the status that later decisions read; they stay while the object is refused."""
    settle: Callable[[Sequence[Resource], Around], Settled] | None = None
    """Decides about all objects of the kind together, since an older one may win against a younger one.

    When it is None, each object is accepted by itself, or `model.directory` decides about it by name.
    """
    part: str = ""
    """The field of `Platform` that gets the parts of `settle`; "" when the kind has none."""
    platform_secrets: Callable[[str], frozenset[str]] = _no_platform_secrets
    """Returns the names of the platform's own Secrets that `settle` reads, for the name of a MailServer."""

    def kept(self, resource: Resource) -> dict[str, Any]:
        """Return the lasting fields that the status has now."""
        return {name: resource.status[name] for name in self.lasting if resource.status.get(name) is not None}

    def verdict(self, resource: Resource) -> Verdict:
        """Return the verdict about the fields of an object, which names those that have no effect in this version."""
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
