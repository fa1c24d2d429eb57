"""A local copy of all objects of one type: a paginated list, then a watch, for ever.

It survives every answer of the server, notices deletions that it missed, and keeps only what `transform` returns.
"""

from __future__ import annotations

import json
import logging
import random
import threading
import time
from dataclasses import dataclass, field
from sys import intern
from typing import TYPE_CHECKING, Generic, TypeVar

import urllib3
from typing_extensions import override

from postboat.cluster.cache import Cache
from postboat.cluster.client import JSON, METADATA, PAGE
from postboat.cluster.retry import Backoff
from postboat.cluster.types import ApiError, ConnectionFailedError, ExpiredError, Json, Key, ResourceType, api_error

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from postboat.cluster.client import Client

log = logging.getLogger(__name__)
R = TypeVar("R")

WATCH_FAILURES_BEFORE_RELIST = 5
"""Failures in a row after which the next attempt lists instead of watching."""


@dataclass(frozen=True, slots=True)
class Source:
    """What one reflector mirrors."""

    kind: ResourceType
    namespace: str = ""
    """Empty for all namespaces."""
    selector: str = ""
    """Label selector; "" selects everything."""
    metadata_only: bool = False
    """Whether to read PartialObjectMetadata instead of whole objects."""

    @override
    def __str__(self) -> str:
        return f"{self.kind.plural}@{self.namespace or '*'}"


@dataclass(frozen=True, slots=True)
class Tuning:
    """Timing of a reflector; tests use shorter times."""

    silence: float = 70.0
    """Seconds without a line after which a watch counts as broken. The server sends a bookmark about every minute."""
    watch_seconds: tuple[int, int] = (240, 480)
    """Shortest and longest `timeoutSeconds` of a watch; one between is chosen at random."""
    settled: float = 5.0
    """Seconds; a watch that ends sooner and without any event counts as a failure."""
    page: int = PAGE
    """Objects in a page of a list."""
    backoff: Backoff = field(default_factory=Backoff)


@dataclass(slots=True)
class Counters:
    """Counters of one reflector since its start, for metrics and tests."""

    lists: int = 0
    watches: int = 0
    failures: int = 0
    ghosts: int = 0
    """Objects whose deletion was only noticed by a list."""
    events: int = 0


@dataclass(slots=True)
class _Version:
    uid: str
    version: str


class Reflector(threading.Thread, Generic[R]):
    """A thread that mirrors one source into a cache and reports each difference to a listener.

    Args:
        transform: Makes a record of an object. When it raises, the object is skipped and the record before stays.
        listener: Called with key, old and new record, on this thread; None stands for no record. What it raises is
            logged.
        cache: Where the records go; None makes a new cache.

    Attributes:
        synced: Set after the first complete list.
        heartbeat: When data last arrived or an attempt began, in seconds of the monotonic clock.
    """

    def __init__(  # noqa: PLR0913 - what to mirror, what to keep, whom to tell
        self,
        client: Client,
        source: Source,
        transform: Callable[[Json], R],
        listener: Callable[[Key, R | None, R | None], None],
        *,
        cache: Cache[R] | None = None,
        tuning: Tuning | None = None,
    ) -> None:
        super().__init__(name=f"reflector {source}", daemon=True)
        self.source = source
        self.cache: Cache[R] = cache if cache is not None else Cache()
        self.synced = threading.Event()
        self.counters = Counters()
        self.heartbeat = time.monotonic()
        self._client = client
        self._transform = transform
        self._listener = listener
        self._tuning = tuning or Tuning()
        self._known: dict[Key, _Version] = {}
        self._resume: str | None = None
        self._failures = 0
        self._stopping = threading.Event()
        self._response: urllib3.BaseHTTPResponse | None = None

    def stop(self) -> None:
        """Ask the thread to end, and interrupt it while it waits for the server."""
        self._stopping.set()
        response = self._response
        if response is not None:
            try:
                response.shutdown()
            except Exception:  # noqa: BLE001 - it may be closed or not yet readable; the silence timeout ends it too
                log.debug("watch of %s was not open", self.source)

    @override
    def run(self) -> None:
        """List and watch until `stop` is called."""
        while not self._stopping.is_set():
            self.heartbeat = time.monotonic()
            try:
                if self._resume is None:
                    self._list()
                else:
                    self._watch(self._resume)
            except Exception as failure:  # noqa: BLE001 - a reflector outlives every failure
                self._recover(failure)

    def _recover(self, failure: Exception) -> None:
        if self._stopping.is_set():
            return
        self.counters.failures += 1
        self._failures += 1
        expired = isinstance(failure, ExpiredError)
        if expired or self._failures % WATCH_FAILURES_BEFORE_RELIST == 0:
            self._resume = None
        foreseen = isinstance(failure, (ApiError, ConnectionFailedError))
        level = logging.DEBUG if expired or self._failures == 1 else logging.WARNING
        log.log(level, "watch of %s interrupted: %s", self.source, failure, exc_info=None if foreseen else failure)
        pause = self._tuning.backoff.delay(self._failures, random.random())  # noqa: S311 - jitter, not a secret
        if isinstance(failure, ApiError) and failure.retry_after is not None:
            pause = max(pause, min(failure.retry_after, self._tuning.backoff.cap))
        self._stopping.wait(pause)

    def _list(self) -> None:
        """Read the whole list; what is known and not listed was deleted meanwhile."""
        listed: set[Key] = set()
        token = ""
        while True:
            source = self.source
            page = self._client.page(
                source.kind,
                source.namespace,
                selector=source.selector,
                token=token,
                metadata_only=source.metadata_only,
                limit=self._tuning.page,
            )
            self.heartbeat = time.monotonic()
            version = page["metadata"]["resourceVersion"]
            for listing in page.get("items") or ():
                listed.add(_key(listing))
                self._upsert(listing)
            token = page["metadata"].get("continue", "")
            if not token:
                break
            if self._stopping.is_set():
                return
        for key in [key for key in self._known if key not in listed]:
            self.counters.ghosts += self.synced.is_set()
            self._remove(key)
        self.counters.lists += 1
        self._resume = version
        self._failures = 0
        self.synced.set()

    def _watch(self, version: str) -> None:
        source = self.source
        path = source.kind.path(
            source.namespace,
            watch="true",
            allowWatchBookmarks="true",
            resourceVersion=version,
            labelSelector=source.selector,
            timeoutSeconds=str(random.randint(*self._tuning.watch_seconds)),  # noqa: S311 - jitter, not a secret
        )
        accept = METADATA if source.metadata_only else JSON
        opened = time.monotonic()
        response = self._client.watch(path, accept=accept, silence=self._tuning.silence)
        self._response = response
        self.counters.watches += 1
        seen = 0
        try:
            for line in self._lines(response):
                self._event(json.loads(line))
                seen += 1
                self._failures = 0
        except (urllib3.exceptions.HTTPError, OSError, ValueError) as failure:
            raise ConnectionFailedError(f"watch of {source} broke off: {type(failure).__name__}") from failure
        finally:
            self._response = None
            response.close()
        if not seen and time.monotonic() - opened < self._tuning.settled:
            raise ConnectionFailedError(f"watch of {source} ended at once")

    def _lines(self, response: urllib3.BaseHTTPResponse) -> Iterator[bytes]:
        """Yield complete lines; an incomplete last line is dropped. Bytes without a line end count as silence."""
        rest = b""
        last = time.monotonic()
        for chunk in response.stream(65536, decode_content=False):
            now = time.monotonic()
            if self._stopping.is_set():
                return
            if b"\n" not in chunk:
                if now - last > self._tuning.silence:
                    raise ConnectionFailedError(f"watch of {self.source} is silent")
                rest += chunk
                continue
            last = self.heartbeat = now
            *lines, rest = (rest + chunk).split(b"\n")
            yield from (line for line in lines if line)

    def _event(self, event: Json) -> None:
        kind, subject = event["type"], event["object"]
        if kind == "ERROR":
            raise api_error(int(subject.get("code") or 500), str(subject.get("reason", "")), f"WATCH {self.source}")
        self.counters.events += 1
        if kind in {"ADDED", "MODIFIED"}:
            self._upsert(subject)
        elif kind == "DELETED":
            key = _key(subject)
            known = self._known.get(key)
            if known is not None and known.uid == subject["metadata"]["uid"]:
                self._remove(key)
        self._resume = subject["metadata"]["resourceVersion"]

    def _upsert(self, subject: Json) -> None:
        key, meta = _key(subject), subject["metadata"]
        known = self._known.get(key)
        if known is not None and known.uid != meta["uid"]:
            self._remove(key)
            known = None
        if known is not None and known.version == meta["resourceVersion"]:
            return
        if not self.source.metadata_only:
            meta.pop("managedFields", None)
        try:
            record = self._transform(subject)
        except Exception:
            log.exception("cannot parse object %s/%s of %s", key.namespace, key.name, self.source)
            return
        old = self.cache.get(key)
        self._known[key] = _Version(meta["uid"], meta["resourceVersion"])
        self.cache.put(key, record)
        self._tell(key, old, record)

    def _remove(self, key: Key) -> None:
        old = self.cache.get(key)
        self._known.pop(key, None)
        self.cache.remove(key)
        if old is not None:
            self._tell(key, old, None)

    def _tell(self, key: Key, old: R | None, new: R | None) -> None:
        try:
            self._listener(key, old, new)
        except Exception:
            log.exception("the listener of %s failed", self.source)


def _key(subject: Json) -> Key:
    meta = subject["metadata"]
    return Key(intern(meta.get("namespace", "")), intern(meta["name"]))
