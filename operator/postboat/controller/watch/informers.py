"""The informers: copies of the resources of the seven kinds, of user Secrets, pods, claims and children.

They report changes, and decide nothing.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any, Protocol

from postboat.api import GROUP, KINDS, VERSION, Resource, parse
from postboat.cluster.children import Child, Children
from postboat.cluster.observe import CLAIM_SELECTOR, POD_SELECTOR, Claim, Pod, claim_of, pod_of
from postboat.cluster.reflector import Reflector, Source, Tuning
from postboat.cluster.secrets import WATCH_LABEL, SecretCache, content_of
from postboat.cluster.types import CLAIM, POD, SECRET, Json, Key, ResourceType
from postboat.model.domains import age

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from postboat.cluster.client import Client
    from postboat.model.snapshot import SecretContent
    from postboat.settings import Settings

log = logging.getLogger(__name__)

RESOURCES: dict[str, ResourceType] = {
    kind.kind: ResourceType(GROUP, VERSION, kind.plural, kind.kind) for kind in KINDS.values()
}
"""The resource type of each kind."""


class Listener(Protocol):
    """Receives the changes that informers report; its methods run on the threads of the reflectors."""

    def resource_changed(self, old: Resource | None, new: Resource | None) -> None:
        """Handle a changed resource; `old` is None for a new one, `new` for a deleted one."""

    def secret_changed(self, content: SecretContent) -> None:
        """Handle a changed Secret that a MailServer references."""

    def child_changed(self, kind: ResourceType, key: Key, old: Child | None, new: Child | None) -> None:
        """Handle a changed child; `old` is None for a new one, `new` for a deleted one."""

    def pod_changed(self, old: Pod | None, new: Pod | None) -> None:
        """Handle a changed pod; `old` is None for a new one, `new` for a deleted one."""

    def claim_changed(self, old: Claim | None, new: Claim | None) -> None:
        """Handle a changed claim; `old` is None for a new one, `new` for a deleted one."""


def resource_of(kind: str) -> Callable[[Json], Resource]:
    """Return the function that parses objects of a kind; fields of newer CRDs are allowed."""

    def read(raw: Json) -> Resource:
        raw.setdefault("kind", kind)
        return parse(raw, strict=False)

    return read


class Informers:
    """All reflectors, one set for each namespace when the operator serves only some."""

    def __init__(self, client: Client, settings: Settings, listener: Listener) -> None:
        namespaces = settings.namespaces or ("",)
        tuning = Tuning(silence=settings.watch_silence)
        self.resources: dict[str, list[Reflector[Resource]]] = {}
        for name, kind in RESOURCES.items():
            self.resources[name] = [
                Reflector(
                    client,
                    Source(kind, namespace),
                    resource_of(name),
                    lambda _key, old, new: listener.resource_changed(old, new),
                    tuning=tuning,
                )
                for namespace in namespaces
            ]
        self.pods = [
            Reflector(
                client,
                Source(POD, namespace, POD_SELECTOR),
                pod_of,
                lambda _key, old, new: listener.pod_changed(old, new),
                tuning=tuning,
            )
            for namespace in namespaces
        ]
        self.claims = [
            Reflector(
                client,
                Source(CLAIM, namespace, CLAIM_SELECTOR, metadata_only=True),
                claim_of,
                lambda _key, old, new: listener.claim_changed(old, new),
                tuning=tuning,
            )
            for namespace in namespaces
        ]
        self.children = Children(client, namespaces, listener.child_changed, tuning=tuning)
        self.secrets = SecretCache(client, listener.secret_changed)
        self.labelled = [
            Reflector(client, Source(SECRET, namespace, WATCH_LABEL), content_of, self.secrets.noticed, tuning=tuning)
            for namespace in namespaces
        ]

    @property
    def reflectors(self) -> list[Reflector[Any]]:
        """Return all reflectors."""
        flat: list[Reflector[Any]] = [one for of_kind in self.resources.values() for one in of_kind]
        return [*flat, *self.pods, *self.claims, *self.children.reflectors, *self.labelled]

    def start(self) -> None:
        """Start all reflectors and the polling of Secrets."""
        for reflector in self.reflectors:
            reflector.start()
        self.secrets.start()

    def stop(self) -> None:
        """Stop all reflectors and the polling of Secrets."""
        for reflector in self.reflectors:
            reflector.stop()
        self.secrets.stop()

    @property
    def synced(self) -> bool:
        """Return whether every type has been listed once, so that no object is missing."""
        return all(reflector.synced.is_set() for reflector in self.reflectors)

    def of_namespace(self, kind: str, namespace: str) -> tuple[Resource, ...]:
        """Return the resources of one kind in a namespace."""
        return _joined(reflector.cache.namespace(namespace) for reflector in self.resources[kind])

    def get(self, kind: str, key: Key) -> Resource | None:
        """Return one resource, or None."""
        found = (reflector.cache.get(key) for reflector in self.resources[kind])
        return next((resource for resource in found if resource is not None), None)

    def servers(self, namespace: str) -> tuple[str, ...]:
        """Return the names of the MailServers of a namespace, oldest first."""
        return tuple(server.name for server in sorted(self.of_namespace("MailServer", namespace), key=age))

    def pods_of(self, server: Key) -> list[Pod]:
        """Return the pods of a platform.

        Args:
            server: Namespace and name of the MailServer.
        """
        pods = _joined(reflector.cache.namespace(server.namespace) for reflector in self.pods)
        return [pod for pod in pods if pod.instance == server.name]

    def claims_of(self, server: Key) -> list[Claim]:
        """Return the claims of a platform, those without a pod too.

        Args:
            server: Namespace and name of the MailServer.
        """
        claims = _joined(reflector.cache.namespace(server.namespace) for reflector in self.claims)
        return [claim for claim in claims if claim.instance == server.name]


def _joined(parts: Iterable[tuple[Any, ...]]) -> tuple[Any, ...]:
    full = [part for part in parts if part]
    return full[0] if len(full) == 1 else tuple(item for part in full for item in part)
