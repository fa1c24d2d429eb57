"""Events (events.k8s.io/v1) on objects, for people who look at one object: on transitions only, each once.

The name of an Event is made of its content, so a restarted operator does not repeat one that still exists.
"""

from __future__ import annotations

import datetime as dt
import logging
import queue
import threading
import time
from collections import OrderedDict
from dataclasses import dataclass
from hashlib import blake2b
from typing import TYPE_CHECKING

from postboat.cluster.types import EVENT, Json

if TYPE_CHECKING:
    from postboat.cluster.client import Client

log = logging.getLogger(__name__)

REMEMBERED = 4096
"""Events whose repetition is recognised."""
AGAIN = 60.0
"""Seconds within which an Event is not repeated."""
PER_SECOND = 5.0
"""Events written per second, at most."""
BACKLOG = 200
"""Events that may wait; more are dropped."""
LONGEST_NOTE = 1024
"""Bytes, as the API server counts them."""
LONGEST_STEM = 200
"""Characters of the object's name that go into the name of the Event."""


@dataclass(frozen=True, slots=True)
class Notice:
    """One Event to write."""

    api_version: str
    kind: str
    namespace: str
    name: str
    uid: str
    normal: bool
    """True for type Normal, False for type Warning."""
    reason: str
    """CamelCase, as in `kubectl get events`."""
    note: str
    """The text for people."""
    generation: int = 0
    """`metadata.generation` of the object; 0 when the Event is about no generation."""

    @property
    def mark(self) -> str:
        """Return 16 hex digits that are equal for equal Events."""
        said = "\0".join((self.uid, self.reason, self.note, str(self.generation)))
        return blake2b(said.encode(), digest_size=8).hexdigest()

    @property
    def event_name(self) -> str:
        """Return the name of the Event, a DNS subdomain (RFC 1123) of at most 217 characters."""
        return f"{self.name[:LONGEST_STEM].rstrip('.-')}.{self.mark}"

    @property
    def cut(self) -> str:
        """Return the note, cut to LONGEST_NOTE bytes."""
        return self.note.encode()[:LONGEST_NOTE].decode(errors="ignore")


@dataclass(slots=True)
class _Said:
    count: int = 0
    at: float = 0.0


class EventRecorder:
    """Writes Events on a thread of its own, at a limited rate, and drops what does not fit: Events are not essential.

    An Event is not repeated within a minute, unless it was dropped; later repetitions update `series.count`.

    Args:
        identity: `reportingInstance`, cut to 128 characters.
    """

    def __init__(self, client: Client, identity: str) -> None:
        self._client = client
        self._identity = identity[:128]
        self._queue: queue.Queue[Notice] = queue.Queue(BACKLOG)
        self._lock = threading.Lock()
        self._said: OrderedDict[str, _Said] = OrderedDict()
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._work, name="events", daemon=True)

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def stop(self) -> None:
        """Ask the thread to end; Events that wait are lost."""
        self._stopping.set()

    def tell(self, notice: Notice) -> None:
        """Queue an Event, unless it was queued within the last minute or the queue is full. It never blocks."""
        now = time.monotonic()
        with self._lock:
            said = self._said.setdefault(notice.mark, _Said())
            if said.count and now - said.at < AGAIN:
                return
            said.count, said.at = said.count + 1, now
            self._said.move_to_end(notice.mark)
            while len(self._said) > REMEMBERED:
                self._said.popitem(last=False)
        try:
            self._queue.put_nowait(notice)
        except queue.Full:
            self._unsaid(notice)

    def _unsaid(self, notice: Notice) -> None:
        """Forget an Event that was dropped, so that it is written when it comes again."""
        log.debug("the queue of Events is full: dropped one")
        with self._lock:
            self._said.pop(notice.mark, None)

    def _write(self, notice: Notice) -> None:
        body = _body(notice, self._identity)
        if self._client.create(EVENT, body):
            return
        with self._lock:
            said = self._said.get(notice.mark, _Said())
        if said.count > 1:
            series = {"count": said.count, "lastObservedTime": body["eventTime"]}
            self._client.merge(EVENT, notice.namespace, body["metadata"]["name"], {"series": series})

    def _work(self) -> None:
        while not self._stopping.is_set():
            try:
                notice = self._queue.get(timeout=1)
            except queue.Empty:
                continue
            try:
                self._write(notice)
            except Exception as failure:  # noqa: BLE001 - a lost Event harms nobody
                log.debug("writing an Event failed: %s", failure)
                self._unsaid(notice)
            self._queue.task_done()
            time.sleep(1 / PER_SECOND)


def _body(notice: Notice, identity: str) -> Json:
    moment = dt.datetime.now(dt.UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    return {
        "apiVersion": EVENT.api_version,
        "kind": EVENT.kind,
        "metadata": {"name": notice.event_name, "namespace": notice.namespace},
        "eventTime": moment,
        "type": "Normal" if notice.normal else "Warning",
        "reason": notice.reason,
        "action": "Reconcile",
        "note": notice.cut,
        "reportingController": "postboat.dev/operator",
        "reportingInstance": identity,
        "regarding": {
            "apiVersion": notice.api_version,
            "kind": notice.kind,
            "namespace": notice.namespace,
            "name": notice.name,
            "uid": notice.uid,
        },
    }
