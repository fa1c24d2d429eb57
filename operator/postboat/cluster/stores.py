"""What the stores tell of their mailboxes, and the order to erase one: HTTPS to the agents of the store pods.

The store proves itself by the certificate of the platform's own authority, the operator by a secret of its own.
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
from postboat.model.census import Kept

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from postboat.cluster.observe import Pod

ASKERS = 8
LONGEST_ROUND = 10.0
"""Seconds for which a round of questions may last, however many stores hang."""
INVENTORY_PORT = INVENTORY.number
LONGEST_SILENCE = 4.0
"""Seconds without a byte of an answer after which a store counts as silent."""
LONGEST_ANSWER = 1 << 20
LONGEST_NAME = 64
PAGES = 1000
ERASED, ERASING, LIVING = "done", "erasing", "living"
_ERASE = {Kept.PERSONAL: "/v1/erase", Kept.PUBLIC: "/v1/erase-public"}


@dataclass(frozen=True, slots=True)
class Access:
    """How to reach the stores of a platform: its authority, the secret, and the host name of each store."""

    authority: bytes
    token: str
    host: Callable[[int], str]


@dataclass(frozen=True, slots=True)
class Mark:
    """How far a store has been read: the run of its agent, and the number of the last change."""

    epoch: str = ""
    number: int = 0


@dataclass(frozen=True, slots=True)
class Told:
    """One mailbox as a store tells it."""

    user: str
    bytes: int | None
    messages: int | None
    kept: Kept


@dataclass(frozen=True, slots=True)
class News:
    """What has changed since a mark; `whole` says that this is everything and what is not there is not."""

    mark: Mark
    told: tuple[Told, ...]
    whole: bool
    volume: str = ""
    """The name of the volume that the store has; empty where an agent of an earlier version tells none."""


class StoreError(Exception):
    """A store did not answer as it should; the message names no user."""


class Stores:
    """The operator's side of the channel to the stores of one platform, whose slowness is nobody else's.

    It is safe to use from many threads. A thread is only made for a question that no idle one can take.
    """

    def __init__(self) -> None:
        self._silent: set[int] = set()
        self._lock = threading.Lock()
        self._contexts: dict[bytes, ssl.SSLContext] = {}
        self._pool = ThreadPoolExecutor(ASKERS, thread_name_prefix="stores")

    def stop(self) -> None:
        """Ask nobody any more."""
        self._pool.shutdown(wait=False, cancel_futures=True)

    def ask(self, access: Access, asked: Mapping[int, tuple[Pod, Mark]]) -> dict[int, News | StoreError]:
        """Ask several stores side by side for their news; those that were silent last have to wait for the others."""
        deadline = time.monotonic() + LONGEST_ROUND

        def one(store: int, pod: Pod, mark: Mark) -> News | StoreError:
            if time.monotonic() > deadline:
                return StoreError("there was no time to ask it, since others do not answer")
            self._silent.discard(store)
            try:
                return self._news(access, store, pod, mark)
            except StoreError as failure:
                self._silent.add(store)
                return failure

        silent = frozenset(self._silent)
        order = sorted(asked, key=lambda store: store in silent)
        asking = {store: self._pool.submit(one, store, *asked[store]) for store in order}
        return {store: question.result() for store, question in asking.items()}

    def erase(self, access: Access, store: int, pod: Pod, mail: tuple[str, Kept]) -> str:
        """Order a store to erase the mail of a user or of a public mailbox; the result is ERASED, ERASING or LIVING."""
        user, kept = mail
        answer = self._request(access, store, pod, "POST", _ERASE[kept], {"user": user}, accepted={200, 409})
        return str(answer.get("state", ""))

    def _news(self, access: Access, store: int, pod: Pod, mark: Mark) -> News:
        told: list[Told] = []
        whole, volume = False, ""
        for _ in range(PAGES):
            target = f"/v1/mailboxes?epoch={mark.epoch}&since={mark.number}"
            page = self._request(access, store, pod, "GET", target, None, accepted={200})
            try:
                whole = whole or page["epoch"] != mark.epoch
                mark = Mark(str(page["epoch"]), int(page["number"]))
                volume = str(page.get("volume") or "")[:LONGEST_NAME]
                told += [Told(str(user), size, count, Kept(kept)) for user, size, count, kept in page["mailboxes"]]
            except (KeyError, TypeError, ValueError) as failure:
                raise StoreError("its answer cannot be read") from failure
            if not page.get("more"):
                return News(mark, tuple(told), whole, volume)
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
        """Make one request on a connection of its own."""
        host = access.host(store)
        pool = urllib3.HTTPSConnectionPool(
            pod.ip,
            INVENTORY_PORT,
            ssl_context=self._context(access.authority),
            server_hostname=host,
            assert_hostname=host,
            timeout=urllib3.Timeout(connect=1.0, read=LONGEST_SILENCE),
            retries=False,
            maxsize=1,
        )
        headers = {"Authorization": f"Bearer {access.token}", "Content-Type": "application/json"}
        content = json.dumps(body).encode() if body is not None else None
        try:
            response = pool.request(method, target, body=content, headers=headers, preload_content=False)
            answer: Any = json.loads(response.read(LONGEST_ANSWER))
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
