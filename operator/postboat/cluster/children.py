"""The children of all platforms, mirrored from the API server: metadata and a fingerprint, never the contents.

The fingerprint is made of the managed fields, so it changes when another manager takes, changes or removes a field.
"""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import blake2b
from json import dumps
from typing import TYPE_CHECKING

from postboat.cluster.reflector import Reflector, Source, Tuning
from postboat.cluster.types import CHILD_TYPES, Json, Key, ResourceType
from postboat.objects.meta import SHARD_NOTE

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from postboat.cluster.client import Client

SELECTOR = "app.kubernetes.io/managed-by=postboat"
INSTANCE = "app.kubernetes.io/instance"
KEEP = "postboat.dev/keep"
"""Label of the Secrets that hold keys: they are made once and never pruned."""


@dataclass(frozen=True, slots=True)
class Child:
    """Metadata of one child, as far as drift detection and pruning need it."""

    namespace: str
    name: str
    uid: str
    version: str
    """`metadata.resourceVersion`."""
    fingerprint: str
    """See the function `fingerprint`."""
    instance: str
    """Label `app.kubernetes.io/instance`; "" when it has none."""
    owner: str
    """Uid of the MailServer in `ownerReferences`; "" when it has none."""
    kept: bool
    """Whether it has the label KEEP."""
    deleting: bool
    """Whether it has a deletion timestamp."""
    shard: str = ""
    """The note of a directory shard (annotation SHARD_NOTE); "" for all other objects."""


def fingerprint(managed: Iterable[Json]) -> str:
    """Return 24 hex digits that stand for which manager owns which fields, without times and subresources.

    Args:
        managed: `metadata.managedFields`.
    """
    entries = [
        [entry.get("manager"), entry.get("operation"), entry.get("fieldsV1")]
        for entry in managed
        if not entry.get("subresource")
    ]
    return blake2b(dumps(entries, sort_keys=True).encode(), digest_size=12).hexdigest()


def child_of(raw: Json) -> Child:
    """Return the Child for the metadata of an object.

    Args:
        raw: An object or a PartialObjectMetadata.
    """
    meta = raw["metadata"]
    labels = meta.get("labels") or {}
    owners = [owner["uid"] for owner in meta.get("ownerReferences") or () if owner.get("kind") == "MailServer"]
    return Child(
        namespace=meta.get("namespace", ""),
        name=meta["name"],
        uid=meta["uid"],
        version=meta["resourceVersion"],
        fingerprint=fingerprint(meta.get("managedFields") or ()),
        instance=labels.get(INSTANCE, ""),
        owner=owners[0] if owners else "",
        kept=KEEP in labels,
        deleting=bool(meta.get("deletionTimestamp")),
        shard=(meta.get("annotations") or {}).get(SHARD_NOTE, ""),
    )


def older(version: str, than: str) -> bool:
    """Return whether a resource version is older than another one of the same object.

    Args:
        version: `metadata.resourceVersion`, usually a decimal number.
        than: The version to compare with.

    Returns:
        False also when one of them is no decimal number, so that they cannot be compared.
    """
    if version.isdigit() and than.isdigit():
        return int(version) < int(than)
    return False


class Children:
    """The reflectors of all types of children.

    Args:
        namespaces: Namespaces to watch; "" stands for all of them.
        listener: Called with type, key, old and new child for each difference, on the thread of the reflector; None
            stands for a child that did not exist, or was deleted.
    """

    def __init__(
        self,
        client: Client,
        namespaces: Iterable[str],
        listener: Callable[[ResourceType, Key, Child | None, Child | None], None],
        *,
        tuning: Tuning | None = None,
    ) -> None:
        self._listener = listener
        self.reflectors: list[Reflector[Child]] = []
        self._by_kind: dict[ResourceType, list[Reflector[Child]]] = {}
        for kind in CHILD_TYPES:
            for namespace in namespaces:
                source = Source(kind, namespace, SELECTOR, metadata_only=True)
                reflector = Reflector(client, source, child_of, self._hearing(kind), tuning=tuning)
                self.reflectors.append(reflector)
                self._by_kind.setdefault(kind, []).append(reflector)

    def _hearing(self, kind: ResourceType) -> Callable[[Key, Child | None, Child | None], None]:
        def hear(key: Key, old: Child | None, new: Child | None) -> None:
            self._listener(kind, key, old, new)

        return hear

    def start(self) -> None:
        """Start all reflectors."""
        for reflector in self.reflectors:
            reflector.start()

    def stop(self) -> None:
        """Stop all reflectors."""
        for reflector in self.reflectors:
            reflector.stop()

    @property
    def synced(self) -> bool:
        """Return whether every type has been listed once."""
        return all(reflector.synced.is_set() for reflector in self.reflectors)

    def get(self, kind: ResourceType, key: Key) -> Child | None:
        """Return one child, or None."""
        for reflector in self._by_kind.get(kind, ()):
            if child := reflector.cache.get(key):
                return child
        return None

    def of_instance(self, namespace: str, instance: str) -> list[tuple[ResourceType, Child]]:
        """Return all children of one MailServer, with their types.

        Args:
            instance: Name of the MailServer.
        """
        return [
            (kind, child)
            for kind, reflectors in self._by_kind.items()
            for reflector in reflectors
            for child in reflector.cache.namespace(namespace)
            if child.instance == instance
        ]
