"""Puts the finalizer on Mailboxes whose mail is to be erased with them, and takes it away when that reason has gone.

It is the only thing that is ever written to an object of the users, and the only field of it.
"""

from __future__ import annotations

import logging
import threading
import time
from typing import TYPE_CHECKING

from postboat.cluster.types import ApiError, ConnectionFailedError, FencedError, Key
from postboat.controller.world import RESOURCES
from postboat.model.reclaim import FINALIZER

if TYPE_CHECKING:
    from postboat.api import Resource
    from postboat.cluster.client import Client

log = logging.getLogger(__name__)

WRITERS = 4
PAUSE = 1.0
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


class Finalizers:
    """A queue of Mailboxes, the newest wish for each, and the threads that empty it."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._condition = threading.Condition()
        self._wishes: dict[Key, tuple[str, bool, float]] = {}
        self._busy: set[Key] = set()
        self._stopping = False
        self._threads = [
            threading.Thread(target=self._work, name=f"finalizer {number}", daemon=True) for number in range(WRITERS)
        ]

    def start(self) -> None:
        """Begin to write."""
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """Write no more."""
        with self._condition:
            self._stopping = True
            self._condition.notify_all()

    def put(self, resource: Resource, *, wanted: bool) -> None:
        """Wish the finalizer of a Mailbox to be there or not."""
        with self._condition:
            self._wishes[Key(resource.namespace, resource.name)] = (resource.uid, wanted, 0.0)
            self._condition.notify()

    def __len__(self) -> int:
        return len(self._wishes) + len(self._busy)

    def _take(self) -> tuple[Key, str, bool] | None:
        with self._condition:
            while not self._stopping:
                now = time.monotonic()
                for key, (uid, wanted, ready) in self._wishes.items():
                    if key not in self._busy and ready <= now:
                        del self._wishes[key]
                        self._busy.add(key)
                        return key, uid, wanted
                self._condition.wait(0.25 if self._wishes else 5)
            return None

    def _work(self) -> None:
        while (taken := self._take()) is not None:
            key, uid, wanted = taken
            again = False
            try:
                again = not set_finalizer(self._client, key, uid, wanted=wanted)
            except FencedError:
                pass  # whoever holds the Lease looks at everything anew
            except (ApiError, ConnectionFailedError) as failure:
                log.warning("the finalizer of Mailbox %s/%s was not written: %s", *key, failure)
                again = True
            except Exception:
                log.exception("the finalizer of Mailbox %s/%s was not written", *key)
                again = True
            with self._condition:
                self._busy.discard(key)
                if again:
                    self._wishes.setdefault(key, (uid, wanted, time.monotonic() + PAUSE))
