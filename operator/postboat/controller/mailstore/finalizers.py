"""Adds the finalizer to Mailboxes with `reclaimPolicy: Delete`, and removes it when the mail is erased or kept.

Beside `status`, `metadata.finalizers` is the only field that the operator writes in an object of a user.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from postboat.cluster.types import ConflictError, Key, NotFoundError
from postboat.controller.statuses.retry_queue import RetryQueue
from postboat.controller.watch.informers import RESOURCES
from postboat.model.reclaim import FINALIZER

if TYPE_CHECKING:
    from postboat.api import Resource
    from postboat.cluster.client import Client

WRITERS = 4


def set_finalizer(client: Client, key: Key, uid: str, *, wanted: bool) -> bool:
    """Add or remove the finalizer of the very object with that uid; False when somebody else wrote at the same time."""
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
    """The newest wish for the finalizer of each Mailbox: the uid that it is about, and whether it is to be there."""

    def __init__(self, client: Client) -> None:
        super().__init__("the finalizer", WRITERS, self._set)
        self._client = client

    def wish(self, resource: Resource, *, wanted: bool) -> None:
        """Wish the finalizer of a Mailbox to be there or not."""
        self.put(Key(resource.namespace, resource.name), (resource.uid, wanted))

    def _set(self, key: Key, wish: tuple[str, bool]) -> bool:
        uid, wanted = wish
        return set_finalizer(self._client, key, uid, wanted=wanted)
