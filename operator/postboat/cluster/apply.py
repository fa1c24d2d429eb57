"""Applies the objects of a plan, and prunes those that the plan no longer has.

An object that is known to be equal is not sent, so a platform at rest costs no request. Drift is reverted.
"""

from __future__ import annotations

import logging
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import groupby
from typing import TYPE_CHECKING

from postboat.cluster.children import SELECTOR, Child, Children, fingerprint, older
from postboat.cluster.foreign import Alone, identity
from postboat.cluster.retry import EVERYBODYS
from postboat.cluster.types import (
    SECRET,
    ApiError,
    ConnectionFailedError,
    FencedError,
    ForeignObjectError,
    Json,
    Key,
    ResourceType,
)
from postboat.objects.config import note_of
from postboat.objects.dependence import Ref, Standing
from postboat.objects.meta import INSTANCE, SERVER, owner

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from postboat.cluster.client import Client
    from postboat.objects.plan import KubeObject

log = logging.getLogger(__name__)

APPLIERS = 12
"""Objects that are applied at the same time, over all MailServers."""
_LABEL = dict([SELECTOR.split("=", 1)])
WATCH_LAG = 30.0
"""Seconds for which an object that was just applied may be missing from the watch."""


@dataclass(frozen=True, slots=True)
class Applied:
    """What was sent for an object, and the result of that apply."""

    digest: str
    """Digest of the body that was sent (`KubeObject.digest`)."""
    uid: str
    version: str
    """`metadata.resourceVersion` of the result."""
    fingerprint: str
    """`children.fingerprint` of its managed fields."""
    at: float
    """When, in seconds of the monotonic clock."""
    shard: str = ""
    """The note of a directory shard (`objects.config.note_of`); "" for all other objects."""


@dataclass(frozen=True, slots=True)
class Family:
    """The MailServer that children belong to."""

    namespace: str
    instance: str
    """Name of the MailServer."""
    uid: str
    """Uid of the MailServer."""
    spared: frozenset[str] = frozenset()
    """Names of Secrets that are never pruned, even without the label `postboat.dev/keep`."""
    keys: frozenset[str] = frozenset()
    """Names of the Secrets with the platform's own keys: no plan has them, but the MailServer owns them."""


@dataclass(slots=True)
class Outcome:
    """The result of one round of apply or prune."""

    applied: list[str] = field(default_factory=list)
    """`KIND/NAME` of what was written."""
    pruned: list[str] = field(default_factory=list)
    """`KIND/NAME` of what was deleted."""
    failures: dict[Ref, Exception] = field(default_factory=dict)
    """The error of each object that could not be written, in the order of the plan."""
    waiting: dict[Ref, Ref] = field(default_factory=dict)
    """Each object that was not sent, with the object that it waits for."""
    unwritten: dict[Ref, Standing] = field(default_factory=dict)
    """What the cluster has of each object in `failures` and `waiting`."""
    stopped: bool = False
    """Whether the round ended early, since the server would have refused all other objects too."""


class Applier:
    """Applies and prunes the children of all MailServers; safe to use from many threads."""

    def __init__(self, client: Client, children: Children) -> None:
        self._client = client
        self._alone = Alone(client)
        self._children = children
        self._lock = threading.Lock()
        self._applied: dict[tuple[ResourceType, Key], Applied] = {}
        self._pool = ThreadPoolExecutor(APPLIERS, thread_name_prefix="apply")

    def stop(self) -> None:
        """Start no further write."""
        self._pool.shutdown(wait=False, cancel_futures=True)

    def forget(self) -> None:
        """Forget what was applied, since another process may have written meanwhile; everything is sent again."""
        with self._lock:
            self._applied.clear()

    def apply(self, objects: Sequence[KubeObject], before: Outcome | None = None) -> Outcome:
        """Apply the objects that differ, in the given order; neighbours of one kind are applied in parallel.

        The call blocks until all are written or have failed. An object that was refused holds up only those that need
        it; a failure that every object would meet (lost connection, lost Lease, 429, 503) ends the round.

        Args:
            objects: The objects of a plan, sorted by dependency.
            before: The outcome for earlier objects of the same round, which is completed and returned; None starts a
                new one.

        Returns:
            The outcome; errors are in its `failures` and are not raised.
        """
        outcome = before or Outcome()
        for _, group in groupby(objects, key=lambda item: item.kind):
            pending = [item for item in group if not self._current(item) and not self._waits(item, outcome)]
            for item, result in zip(pending, self._pool.map(self._send, pending), strict=True):
                if result is None:
                    outcome.applied.append(f"{item.kind}/{item.name}")
                    continue
                outcome.failures[item.ref] = result
                outcome.unwritten[item.ref] = self._standing(item)
                outcome.stopped |= _of_everybody(result)
            if outcome.stopped:
                break
        return outcome

    def _waits(self, item: KubeObject, outcome: Outcome) -> bool:
        if not outcome.unwritten:
            return False
        standing = self._standing(item)
        needed = item.needs.unmet(outcome.unwritten, exists=standing.there)
        if needed is None:
            return False
        outcome.waiting[item.ref] = needed
        outcome.unwritten[item.ref] = standing
        return True

    def _standing(self, item: KubeObject) -> Standing:
        """Return what the cluster has of an object, from the watch or from a newer apply."""
        kind, key = identity(item.body)
        child = self._children.get(kind, key)
        with self._lock:
            applied = self._applied.get((kind, key))
        if applied is not None and (child is None or older(child.version, applied.version)):
            return Standing(there=True, note=applied.shard)
        return Standing(there=child is not None, note=child.shard if child is not None else "")

    def differing(self, family: Family, objects: Sequence[KubeObject]) -> tuple[str, ...]:
        """Return `KIND/NAME` of the objects that apply and prune would change, by dry runs. The call blocks.

        Raises:
            ApiError: The server refused a dry run.
            ConnectionFailedError: The server did not answer.
            FencedError: This process does not hold the Lease.
        """
        unsure = [item for item in objects if not self._current(item)]
        differ = list(self._pool.map(self._differs, unsure))
        named = [f"{item.kind}/{item.name}" for item, differs in zip(unsure, differ, strict=True) if differs]
        return (*named, *(f"{kind.kind}/{child.name}" for kind, child in self._surplus(family, objects)))

    def _differs(self, item: KubeObject) -> bool:
        kind, _ = identity(item.body)
        held, operations = self._alone.foreign(item)
        if held is None or operations:
            return True
        return _substance(held) != _substance(self._client.trial(dict(item.body), kind))

    def drifted(self, kind: ResourceType, key: Key, child: Child | None) -> bool:
        """Return whether a child, as the watch shows it, differs from what was applied.

        Args:
            child: The child in the watch; None when it is not there, which is drift.

        Returns:
            False also for an object that this process has not applied, and for a version older than the applied one.
        """
        with self._lock:
            applied = self._applied.get((kind, key))
        if applied is None:
            return False
        if child is None:
            return True
        if child.uid == applied.uid and older(child.version, applied.version):
            return False
        return (child.uid, child.fingerprint) != (applied.uid, applied.fingerprint)

    def _current(self, item: KubeObject) -> bool:
        kind, key = identity(item.body)
        with self._lock:
            applied = self._applied.get((kind, key))
        if applied is None or applied.digest != item.digest:
            return False
        child = self._children.get(kind, key)
        if child is None:
            return time.monotonic() - applied.at < WATCH_LAG
        return not self.drifted(kind, key, child)

    def _send(self, item: KubeObject) -> Exception | None:
        kind, key = identity(item.body)
        try:
            self._refuse_foreign(kind, key, item)
            self._disown(kind, key, item.body["metadata"]["ownerReferences"][0]["uid"])
            meta = self._alone.apply(item)
        except Exception as failure:  # noqa: BLE001 - the caller counts failures and tries again
            quiet = isinstance(failure, FencedError) or (isinstance(failure, ApiError) and failure.ending)
            level = logging.DEBUG if quiet else logging.WARNING
            log.log(level, "%s/%s was not applied: %s", item.kind, item.name, failure)
            return failure
        managed = fingerprint(meta.get("managedFields") or ())
        note = note_of(item.body)
        applied = Applied(item.digest, meta["uid"], meta["resourceVersion"], managed, time.monotonic(), note)
        with self._lock:
            self._applied[kind, key] = applied
        return None

    def _refuse_foreign(self, kind: ResourceType, key: Key, item: KubeObject) -> None:
        """Check that an object to create does not exist already without belonging to this platform.

        Raises:
            ForeignObjectError: It does.
        """
        with self._lock:
            known = (kind, key) in self._applied
        if known or self._children.get(kind, key) is not None:
            return
        held = self._client.get(kind, key.namespace, key.name)
        if held is None or _LABEL.items() <= (held["metadata"].get("labels") or {}).items():
            return
        owners = {owner["uid"] for owner in held["metadata"].get("ownerReferences") or ()}
        if not owners & {owner["uid"] for owner in item.body["metadata"].get("ownerReferences") or ()}:
            raise ForeignObjectError(f"{item.kind} {item.name} exists already and is not of this platform")

    def adopt(self, family: Family) -> Outcome:
        """Restore labels and owner of Secrets with keys, which a backup brings back without an owner.

        The Secrets with the platform's own keys get the MailServer as owner. DKIM keys have no owner by design; their
        label `app.kubernetes.io/instance` is replaced, since Argo CD would take them for parts of an application of
        that name.
        """
        outcome = Outcome()
        for child, meta in self._unowned(family):
            try:
                body = {"metadata": {"uid": child.uid, **meta}}
                self._client.merge(SECRET, child.namespace, child.name, body)
            except Exception as failure:  # noqa: BLE001 - the caller tells it and tries again
                outcome.failures[SECRET.kind, child.name] = failure
        return outcome

    def unowned(self, family: Family) -> tuple[str, ...]:
        """Return `Secret/NAME` of the Secrets that `adopt` would change."""
        return tuple(f"{SECRET.kind}/{child.name}" for child, _ in self._unowned(family))

    def _unowned(self, family: Family) -> list[tuple[Child, Json]]:
        of_family = self._children.of_instance(family.namespace, family.instance)
        judged = [(child, adoption(family, kind, child)) for kind, child in of_family]
        return [(child, meta) for child, meta in judged if meta]

    def _disown(self, kind: ResourceType, key: Key, uid: str) -> None:
        """Remove the owner reference to an earlier MailServer of that name; there can be only one controller."""
        child = self._children.get(kind, key)
        if child is not None and child.owner not in {"", uid}:
            self._client.merge(kind, *key, {"metadata": {"uid": child.uid, "ownerReferences": None}})

    def vanished(self, kind: ResourceType, key: Key, uid: str) -> bool:
        """Forget a child that was deleted; called by the thread of its reflector.

        Args:
            uid: The uid of the deleted object.

        Returns:
            True when this process had applied that object, so that it has to be applied again.
        """
        with self._lock:
            applied = self._applied.get((kind, key))
            if applied is None or applied.uid != uid:
                return False
            del self._applied[kind, key]
            return True

    def surplus_shards(self, family: Family, objects: Iterable[KubeObject]) -> dict[str, str]:
        """Return name and note of each directory shard that is in the cluster but not in the plan."""
        return {child.name: child.shard for _, child in self._surplus(family, objects) if child.shard}

    def prune(self, family: Family, objects: Iterable[KubeObject], *, only_shards: bool = False) -> Outcome:
        """Delete the children that the plan no longer has, but no Secret with keys and no volume.

        Args:
            objects: All objects of the plan.
            only_shards: Delete directory shards only.

        Returns:
            The outcome; nothing is deleted before all types of children have been listed once.
        """
        outcome = Outcome()
        for kind, child in self._surplus(family, objects):
            if only_shards and not child.shard:
                continue
            try:
                self._client.delete(kind, child.namespace, child.name, uid=child.uid)
            except Exception as failure:  # noqa: BLE001 - the caller counts failures and tries again
                outcome.failures[kind.kind, child.name] = failure
                continue
            with self._lock:
                self._applied.pop((kind, Key(child.namespace, child.name)), None)
            outcome.pruned.append(f"{kind.kind}/{child.name}")
        return outcome

    def _surplus(self, family: Family, objects: Iterable[KubeObject]) -> list[tuple[ResourceType, Child]]:
        if not self._children.synced:
            return []
        planned = {identity(item.body) for item in objects}
        return [
            (kind, child)
            for kind, child in self._children.of_instance(family.namespace, family.instance)
            if (kind, Key(child.namespace, child.name)) not in planned
            and child.owner == family.uid
            and not (child.kept or child.deleting or (kind is SECRET and child.name in family.spared))
        ]


def adoption(family: Family, kind: ResourceType, child: Child) -> Json:
    """Return the metadata to merge into a Secret with keys whose owner or label is wrong; {} when nothing is wrong."""
    if kind is not SECRET or child.deleting or child.owner == family.uid:
        return {}
    if child.name in family.keys:
        return {"ownerReferences": [owner(family.instance, family.uid)]}
    if child.kept and not child.owner:
        return {"labels": {INSTANCE: None, SERVER: family.instance}}
    return {}


def _of_everybody(failure: Exception) -> bool:
    """Return whether a failure says nothing about the object that was sent, so that all others would fail too."""
    if isinstance(failure, ApiError):
        return failure.ending or failure.status in EVERYBODYS
    return isinstance(failure, ConnectionFailedError | FencedError)


def _substance(raw: Json) -> Json:
    """Return an object without what changes with every write."""
    meta = {name: value for name, value in raw["metadata"].items() if name not in {"managedFields", "resourceVersion"}}
    return {**raw, "metadata": meta}
