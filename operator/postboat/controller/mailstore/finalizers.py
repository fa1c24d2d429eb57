"""Adds the finalizer to Mailboxes with `reclaimPolicy: Delete`, and removes it when the mail is erased or kept.

Beside `status`, `metadata.finalizers` is the only field that the operator writes in an object of a user.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from postboat.cluster.types import ConflictError, Key, NotFoundError
from postboat.controller.statuses.retry_queue import RetryQueue
from postboat.controller.watch.informers import RESOURCES
from postboat.model.retention.reclaim import FINALIZER

if TYPE_CHECKING:
    from postboat.api import Resource
    from postboat.cluster.client import Client

WRITERS = 4


def set_finalizer(client: Client, key: Key, uid: str, *, wanted: bool) -> bool:
    """Add or remove the finalizer of the Mailbox with that uid; False when somebody else wrote it at the same time."""
    kind = RESOURCES["Mailbox"]
    raw = client.get(kind, key.namespace, key.name)
    if raw is None or raw["metadata"]["uid"] != uid:
        return True
    meta = raw["metadata"]
    before = meta.get("finalizers") or []
    after = [one for one in before if one != FINALIZER]
    if wanted and not meta.get("deletionTimestamp"):
        after.append(FINALIZER)
    if after == before or (wanted and FINALIZER in before):
        return True
    body = {"metadata": {"resourceVersion": meta["resourceVersion"], "uid": uid, "finalizers": after or None}}
    try:
        client.merge(kind, key.namespace, key.name, body)
    except NotFoundError:
        return True
    except ConflictError:
        return False
    return True


class Finalizers(RetryQueue[Key, tuple[str, bool]]):
    """The writes of the finalizer that wait, the newest for each Mailbox: its uid, and whether it is to have it."""

    def __init__(self, client: Client) -> None:
        super().__init__("the finalizer", WRITERS, self._set)
        self._client = client

    def enqueue(self, resource: Resource, *, wanted: bool) -> None:
        """Have the finalizer of a Mailbox added or removed."""
        self.put(Key(resource.namespace, resource.name), (resource.uid, wanted))

    def _set(self, key: Key, desired: tuple[str, bool]) -> bool:
        uid, wanted = desired
        return set_finalizer(self._client, key, uid, wanted=wanted)
