"""What all parts of the operator ask about a kind, so that a new kind is one module and one line of a table."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from postboat.api.resource import Resource
from postboat.model.platform import Platform
from postboat.model.verdict import Verdict

COMMON: Final = ("conditions", "observedGeneration")
"""The fields of every status."""


def _no_secrets(_resource: Resource) -> frozenset[str]:
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
    status_fields: tuple[str, ...] = COMMON
    """The fields of the status that the operator writes from here; others belong to other writers."""
    lasting: frozenset[str] = field(default_factory=frozenset)
    """Fields of the status that later decisions read: they are kept while the object is refused."""

    def kept(self, resource: Resource) -> dict[str, Any]:
        """Give the lasting facts that the status has now."""
        return {name: resource.status[name] for name in self.lasting if resource.status.get(name) is not None}
