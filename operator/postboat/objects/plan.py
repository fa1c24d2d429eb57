"""The plan: what shall exist in the cluster for one mail platform, and which content each container shall have in force.

A plan without a platform is incomplete: it may ask for keys that the controller has to make first, and nothing may be
pruned because of it.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from json import dumps
from typing import Any

from postboat.model.platform import Platform, Wanted
from postboat.model.verdict import Verdicts
from postboat.render.files import Files

ContainerKey = tuple[str, str]
"""Name of a StatefulSet and of one of its containers."""


@dataclass(frozen=True, slots=True)
class KubeObject:
    """A body for server-side apply; `digest` tells two bodies apart without comparing them."""

    kind: str
    name: str
    body: Mapping[str, Any] = field(repr=False)
    digest: str

    @classmethod
    def of(cls, body: Mapping[str, Any]) -> "KubeObject":
        """Take a body with its identity and the digest of its canonical form."""
        canonical = dumps(body, sort_keys=True, separators=(",", ":")).encode()
        return cls(body["kind"], body["metadata"]["name"], body, sha256(canonical).hexdigest())


@dataclass(frozen=True, slots=True)
class Plan:
    """Objects to apply (their order is the order to apply them in), digests to demand, Secrets to make, verdicts to tell."""

    platform: Platform | None
    files: Files | None
    objects: tuple[KubeObject, ...]
    digests: Mapping[ContainerKey, str]
    wanted: tuple[Wanted, ...]
    verdicts: Verdicts

    @property
    def complete(self) -> bool:
        """Whether the plan says all that shall exist, so that what it leaves out may be pruned."""
        return self.platform is not None
