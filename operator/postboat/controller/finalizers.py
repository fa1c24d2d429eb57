"""Puts the finalizer on Mailboxes whose mail is to be erased with them, and takes it away when that reason has gone.

It is the only thing that is ever written to an object of the users, and the only field of it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from postboat.cluster.types import ApiError, Key
from postboat.controller.outbox import Outbox
from postboat.controller.world import RESOURCES
from postboat.model.reclaim import FINALIZER

if TYPE_CHECKING:
    from postboat.api import Resource
    from postboat.cluster.client import Client

WRITERS = 4
CONFLICT, NOT_FOUND = 409, 404


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
    except ApiError as error:
        if error.status == NOT_FOUND:
            return True
        if error.status == CONFLICT:
            return False
        raise
    return True


class Finalizers(Outbox[Key, tuple[str, bool]]):
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
