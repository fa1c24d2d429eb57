"""The Secrets that users refer to, read one by one by name and never listed.

Those with the label `postboat.dev/watch=true` are watched. The others are polled: in turn one that is missing or
important, and one that is neither, so that many ordinary ones cannot delay the few. RBAC cannot grant by label: the
right to list is used for the labelled ones only.
"""

from __future__ import annotations

import base64
import heapq
import logging
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from postboat.cluster.children import older
from postboat.cluster.types import SECRET, ApiError, ConnectionFailedError, Json, Key
from postboat.model.snapshot import SecretContent

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable

    from postboat.cluster.client import Client

log = logging.getLogger(__name__)

WATCH_LABEL = "postboat.dev/watch=true"
READERS = 12
"""Secrets that are read at the same time."""
SLICE = 500
"""Secrets that are requested in one batch, so that a hundred thousand do not fill the queue of the pool."""


@dataclass(frozen=True, slots=True)
class Rhythm:
    """How often Secrets are polled. With many Secrets `per_second` is the limit, and the times become longer."""

    missing: float = 2.0
    """Seconds between two reads of a Secret that does not exist."""
    important: float = 10.0
    """Seconds between two reads of an important Secret."""
    ordinary: float = 15.0
    """Seconds between two reads of any other Secret; also the wait after a failed read."""
    per_second: float = 10.0
    """Reads per second in all, at most."""


@dataclass(slots=True)
class _Entry:
    content: SecretContent
    due: float
    watched: bool = False


@dataclass(slots=True)
class _Turns:
    """Two queues by time, served alternately while both have something due."""

    urgent: list[tuple[float, Key]] = field(default_factory=list)
    ordinary: list[tuple[float, Key]] = field(default_factory=list)
    after_urgent: bool = False

    def order(self) -> tuple[list[tuple[float, Key]], list[tuple[float, Key]]]:
        """Return the queues, the one to serve next first."""
        return (self.ordinary, self.urgent) if self.after_urgent else (self.urgent, self.ordinary)


def content_of(raw: Json) -> SecretContent:
    """Return the content of a Secret, its data decoded from base64.

    Args:
        raw: A v1 Secret as JSON.
    """
    data = {name: base64.b64decode(value or "") for name, value in (raw.get("data") or {}).items()}
    meta = raw["metadata"]
    return SecretContent(
        meta["namespace"],
        meta["name"],
        exists=True,
        data=data,
        type=raw.get("type", "Opaque"),
        version=meta.get("resourceVersion", ""),
    )


class SecretCache:
    """The contents of all Secrets in use; safe to use from many threads.

    Args:
        listener: Called with each changed content, on the polling thread or that of the watch.

    Attributes:
        heartbeat: When the polling thread was last alive, in seconds of the monotonic clock.
    """

    def __init__(
        self, client: Client, listener: Callable[[SecretContent], None], *, rhythm: Rhythm | None = None
    ) -> None:
        self.heartbeat = time.monotonic()
        self._client = client
        self._listener = listener
        self._rhythm = rhythm or Rhythm()
        self._lock = threading.Lock()
        self._entries: dict[Key, _Entry] = {}
        self._shown: dict[Key, SecretContent] = {}
        """What the watch shows, demanded or not, so that a Secret that is demanded later is watched from the start."""
        self._important: set[Key] = set()
        self._users: dict[Key, frozenset[str]] = {}
        self._turns = _Turns()
        self._stopping = threading.Event()
        self._pool = ThreadPoolExecutor(READERS, thread_name_prefix="secret")
        self._thread = threading.Thread(target=self._rotate, name="secrets", daemon=True)

    def start(self) -> None:
        """Start the polling thread."""
        self._thread.start()

    def stop(self) -> None:
        """Stop polling."""
        self._stopping.set()
        self._pool.shutdown(wait=False, cancel_futures=True)

    def demand(self, user: Key, names: frozenset[str], important: Collection[str] = ()) -> None:
        """Set which Secrets a MailServer refers to; those that no MailServer refers to any more are dropped.

        Args:
            user: Namespace and name of the MailServer; the Secrets are in that namespace.
            names: Names of all Secrets that it refers to; they replace those of the call before.
            important: Those among them to poll more often.
        """
        with self._lock:
            dropped = self._users.get(user, frozenset()) - names
            self._users[user] = names
            self._important.update(Key(user.namespace, name) for name in important)
            for name in dropped:
                self._forget(Key(user.namespace, name))

    def release(self, user: Key) -> None:
        """Drop the Secrets of a MailServer that was deleted."""
        self.demand(user, frozenset())
        with self._lock:
            self._users.pop(user, None)

    def read(
        self, namespace: str, names: Iterable[str], *, anew: bool = False, beat: Callable[[], None] = lambda: None
    ) -> dict[str, SecretContent]:
        """Return the contents of Secrets by name; those that are not cached are read, 12 at a time. The call blocks.

        Args:
            names: Names of Secrets in the namespace.
            anew: Read the cached ones too.
            beat: Called before each batch of 500 reads, as a heartbeat.

        Returns:
            A content for each name; that of a Secret that does not exist has `exists=False`.

        Raises:
            ApiError: A read was refused; a failure is never taken for a missing Secret.
            ConnectionFailedError: The server did not answer.
        """
        keys = [Key(namespace, name) for name in names]
        with self._lock:
            unknown = [key for key in keys if anew or key not in self._entries]
        fresh: dict[str, SecretContent] = {}
        for start in range(0, len(unknown), SLICE):
            beat()
            for content in self._pool.map(self._fetch, unknown[start : start + SLICE]):
                fresh[content.name] = self._keep(content, tell=False)
        with self._lock:
            return {key.name: self._entries[key].content for key in keys if key in self._entries} | fresh

    def known(self, namespace: str) -> dict[str, SecretContent]:
        """Return all cached contents of a namespace, by name."""
        with self._lock:
            return {key.name: entry.content for key, entry in self._entries.items() if key.namespace == namespace}

    def noticed(self, key: Key, _old: SecretContent | None, new: SecretContent | None) -> None:
        """Record what the watch on labelled Secrets reports; called on the thread of its reflector.

        Args:
            new: None when the Secret was deleted or lost its label: it is polled at once to tell which.
        """
        with self._lock:
            if new is None:
                self._shown.pop(key, None)
            else:
                self._shown[key] = new
            entry = self._entries.get(key)
            if entry is None:
                return
            entry.watched = new is not None
            if new is None:
                self._schedule(key, time.monotonic())
        if new is not None:
            self._keep(new, tell=True, watched=True)

    def _fetch(self, key: Key) -> SecretContent:
        raw = self._client.get(SECRET, key.namespace, key.name)
        if raw is None:
            return SecretContent(key.namespace, key.name, exists=False, data={}, type="")
        return content_of(raw)

    def _keep(self, content: SecretContent, *, tell: bool, watched: bool = False) -> SecretContent:
        """Store a content and return the newest; a read never overwrites a newer content of the watch."""
        key = Key(content.namespace, content.name)
        with self._lock:
            entry = self._entries.get(key)
            if entry is not None and entry.watched and not watched:
                return content
            changed = entry is None or entry.content != content
            if entry is None:
                shown = self._shown.get(key)
                overtaken = shown is not None and (not content.exists or older(content.version, shown.version))
                newest = shown if shown is not None and overtaken else content
                entry = self._entries[key] = _Entry(newest, 0.0, watched=shown is not None)
            elif changed:
                entry.content = content
            self._schedule(key, time.monotonic() + self._interval(key, content))
            newest = entry.content
        if changed and tell:
            self._listener(newest)
        return newest

    def _interval(self, key: Key, content: SecretContent) -> float:
        if not content.exists:
            return self._rhythm.missing
        return self._rhythm.important if key in self._important else self._rhythm.ordinary

    def _schedule(self, key: Key, due: float) -> None:
        entry = self._entries[key]
        entry.due = due
        urgent = key in self._important or not entry.content.exists
        heapq.heappush(self._turns.urgent if urgent else self._turns.ordinary, (due, key))

    def _forget(self, key: Key) -> None:
        still = any(user.namespace == key.namespace and key.name in names for user, names in self._users.items())
        if not still:
            self._entries.pop(key, None)
            self._important.discard(key)

    def _due(self, now: float) -> Key | None:
        """Return the next Secret to read, or None; outdated entries of the queues are skipped."""
        with self._lock:
            for queue in self._turns.order():
                while queue and queue[0][0] <= now:
                    due, key = heapq.heappop(queue)
                    entry = self._entries.get(key)
                    if entry is not None and entry.due == due and not entry.watched:
                        self._turns.after_urgent = queue is self._turns.urgent
                        return key
        return None

    def _rotate(self) -> None:
        pause = 1.0 / self._rhythm.per_second
        while not self._stopping.wait(pause):
            self.heartbeat = time.monotonic()
            key = self._due(self.heartbeat)
            if key is None:
                continue
            try:
                self._keep(self._fetch(key), tell=True)
            except (ApiError, ConnectionFailedError) as failure:
                log.warning("reading a Secret failed, retrying: %s", failure)
                self._later(key)
            except Exception:
                log.exception("the callback for a changed Secret failed")
                self._later(key)

    def _later(self, key: Key) -> None:
        with self._lock:
            if key in self._entries:
                self._schedule(key, time.monotonic() + self._rhythm.ordinary)
