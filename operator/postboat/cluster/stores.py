"""The operator's client for the agents of store pods: which mail a store holds, and erasing of mail, over HTTPS.

The store shows a certificate of the platform's own CA, the operator a bearer token.
"""

from __future__ import annotations

import json
import ssl
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import urllib3

from postboat.agent.ports import INVENTORY
from postboat.model.retention.claims import MailKind

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from postboat.cluster.observe import Pod

POLL_THREADS = 8
"""Stores of one platform that are asked at the same time."""
POLL_TIMEOUT = 10.0
"""Seconds after which `poll` begins with no further store, however many hang."""
INVENTORY_PORT = INVENTORY.number
READ_TIMEOUT = 4.0
"""Seconds without a byte of an answer after which a request fails."""
MAX_RESPONSE_BYTES = 1 << 20
"""Bytes of an answer that are read."""
MAX_VOLUME_NAME = 64
"""Characters of the name of a volume that are kept."""
MAX_PAGES = 1000
"""Pages of one inventory that are read at most."""
ERASED, ERASING, LIVING = "done", "erasing", "living"
_ERASE = {MailKind.PERSONAL: "/v1/erase", MailKind.PUBLIC: "/v1/erase-public"}


@dataclass(frozen=True, slots=True)
class Access:
    """How to reach the stores of a platform."""

    authority: bytes
    """Certificates of the platform's own CA, PEM."""
    token: str
    """The bearer token of the operator."""
    host: Callable[[int], str]
    """Returns the host name in the certificate of a store for its number, from 0."""


@dataclass(frozen=True, slots=True)
class Cursor:
    """How far the inventory of a store has been read."""

    epoch: str = ""
    """Names one run of the store's agent; "" before the first read."""
    number: int = 0
    """Number of the last change that was read; 0 before the first."""


@dataclass(frozen=True, slots=True)
class StoredMailbox:
    """One mailbox in the inventory of a store."""

    user: str
    """User name, with its domain when the user is bound to one; for a public mailbox, its name."""
    bytes: int | None
    """Bytes in use; None until Dovecot has counted them."""
    messages: int | None
    """Number of messages; None until Dovecot has counted them."""
    kind: MailKind
    """What is on the volume under that name; empty when nothing is any more."""


@dataclass(frozen=True, slots=True)
class StoreChanges:
    """What has changed in the inventory of a store since a cursor."""

    cursor: Cursor
    """The cursor for the next request."""
    mailboxes: tuple[StoredMailbox, ...]
    whole: bool
    """Whether `mailboxes` is the whole inventory, so that a mailbox missing from it is not on the store."""
    volume: str = ""
    """Name of the mail volume, up to 64 characters; "" from older agents."""


class StoreError(Exception):
    """A store did not answer, or not as expected; the message names no user."""


class Stores:
    """The client for the stores of one platform; it has threads of its own, so one slow platform delays no other.

    It is safe to use from many threads.
    """

    def __init__(self) -> None:
        self._failed: set[int] = set()
        self._lock = threading.Lock()
        self._contexts: dict[bytes, ssl.SSLContext] = {}
        self._pool = ThreadPoolExecutor(POLL_THREADS, thread_name_prefix="stores")

    def stop(self) -> None:
        """Start no further request."""
        self._pool.shutdown(wait=False, cancel_futures=True)

    def poll(self, access: Access, pods: Mapping[int, tuple[Pod, Cursor]]) -> dict[int, StoreChanges | StoreError]:
        """Read the inventories of several stores in parallel. The call blocks.

        No store is asked later than 10 s after the call. Those that failed the last time are asked last.

        Args:
            access: How to reach the stores.
            pods: For each number of a store its pod, and the cursor up to which its inventory is known.

        Returns:
            For each store its changes, or the error.
        """
        deadline = time.monotonic() + POLL_TIMEOUT

        def one(store: int, pod: Pod, cursor: Cursor) -> StoreChanges | StoreError:
            if time.monotonic() > deadline:
                return StoreError("there was no time to ask it, since others do not answer")
            self._failed.discard(store)
            try:
                return self._changes(access, store, pod, cursor)
            except StoreError as failure:
                self._failed.add(store)
                return failure

        failed = frozenset(self._failed)
        order = sorted(pods, key=lambda store: store in failed)
        requests = {store: self._pool.submit(one, store, *pods[store]) for store in order}
        return {store: request.result() for store, request in requests.items()}

    def erase(self, access: Access, store: int, pod: Pod, mail: tuple[str, MailKind]) -> str:
        """Order a store to erase mail. The call blocks: 1 s to connect, 4 s between two reads.

        Args:
            store: Number of the store, from 0.
            pod: The pod of that store.
            mail: User name or name of a public mailbox, and which of the two it is.

        Returns:
            ERASED, ERASING, or LIVING when its directory still has the name; "" when the store does not say.

        Raises:
            StoreError: The store did not answer, or refused.
        """
        user, kind = mail
        answer = self._request(access, store, pod, "POST", _ERASE[kind], {"user": user}, accepted={200, 409})
        return str(answer.get("state", ""))

    def _changes(self, access: Access, store: int, pod: Pod, cursor: Cursor) -> StoreChanges:
        mailboxes: list[StoredMailbox] = []
        whole, volume = False, ""
        for _ in range(MAX_PAGES):
            target = f"/v1/mailboxes?epoch={cursor.epoch}&since={cursor.number}"
            page = self._request(access, store, pod, "GET", target, None, accepted={200})
            try:
                whole = whole or page["epoch"] != cursor.epoch
                cursor = Cursor(str(page["epoch"]), int(page["number"]))
                volume = str(page.get("volume") or "")[:MAX_VOLUME_NAME]
                mailboxes += [
                    StoredMailbox(str(user), size, count, MailKind(kind))
                    for user, size, count, kind in page["mailboxes"]
                ]
            except (KeyError, TypeError, ValueError) as failure:
                raise StoreError("its answer cannot be read") from failure
            if not page.get("more"):
                return StoreChanges(cursor, tuple(mailboxes), whole, volume)
        raise StoreError("its answer has no end")

    def _request(  # noqa: PLR0913, PLR0917 - the parameters of an HTTP call
        self,
        access: Access,
        store: int,
        pod: Pod,
        method: str,
        target: str,
        body: object,
        accepted: set[int],
    ) -> dict[str, Any]:
        """Send one request on a connection of its own and return the answer.

        Raises:
            StoreError: No answer, no JSON object, or a status code that is not accepted.
        """
        host = access.host(store)
        pool = urllib3.HTTPSConnectionPool(
            pod.ip,
            INVENTORY_PORT,
            ssl_context=self._context(access.authority),
            server_hostname=host,
            assert_hostname=host,
            timeout=urllib3.Timeout(connect=1.0, read=READ_TIMEOUT),
            retries=False,
            maxsize=1,
        )
        headers = {"Authorization": f"Bearer {access.token}", "Content-Type": "application/json"}
        content = json.dumps(body).encode() if body is not None else None
        try:
            response = pool.request(method, target, body=content, headers=headers, preload_content=False)
            answer: Any = json.loads(response.read(MAX_RESPONSE_BYTES))
            status = response.status
        except (urllib3.exceptions.HTTPError, OSError, ValueError) as failure:
            raise StoreError(f"it does not answer ({type(failure).__name__})") from failure
        finally:
            pool.close()
        if status not in accepted or not isinstance(answer, dict):
            raise StoreError(f"it answers {status}")
        return answer

    def _context(self, authority: bytes) -> ssl.SSLContext:
        with self._lock:
            known = self._contexts.get(authority)
            if known is None:
                known = ssl.create_default_context(cadata=authority.decode("ascii", "ignore"))
                known.minimum_version = ssl.TLSVersion.TLSv1_2
                self._contexts = {**dict(list(self._contexts.items())[-31:]), authority: known}
            return known
