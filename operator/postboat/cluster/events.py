"""Events on objects, for people who look at one object: on transitions only, and each of them once.

The name of an Event follows from what it says, so a restarted operator does not say it again while it is remembered.
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
AGAIN = 60.0
"""Seconds for which a notice is not said again."""
PER_SECOND = 5.0
BACKLOG = 200
LONGEST_NOTE = 1024
"""Bytes, as the API server counts them."""
LONGEST_STEM = 200


@dataclass(frozen=True, slots=True)
class Notice:
    """One thing worth an Event; `normal` is False for a warning."""

    api_version: str
    kind: str
    namespace: str
    name: str
    uid: str
    normal: bool
    reason: str
    note: str
    generation: int = 0

    @property
    def mark(self) -> str:
        """What makes it the same notice as another one."""
        said = "\0".join((self.uid, self.reason, self.note, str(self.generation)))
        return blake2b(said.encode(), digest_size=8).hexdigest()

    @property
    def event_name(self) -> str:
        """The name of the Event; however long that of the object is, a DNS subdomain (RFC 1123)."""
        return f"{self.name[:LONGEST_STEM].rstrip('.-')}.{self.mark}"

    @property
    def cut(self) -> str:
        """The note, as far as the API server takes it."""
        return self.note.encode()[:LONGEST_NOTE].decode(errors="ignore")


@dataclass(slots=True)
class _Said:
    count: int = 0
    at: float = 0.0


class EventRecorder:
    """Writes notices in a thread of its own, slowly, and drops what does not fit: Events are a courtesy.

    What was said within a minute is not said again, unless it was dropped; what comes back later counts up the series
    of its Event, as Kubernetes has it.
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
        """Begin to write."""
        self._thread.start()

    def stop(self) -> None:
        """Write no more."""
        self._stopping.set()

    def tell(self, notice: Notice) -> None:
        """Take a notice, unless it was said before or too many wait."""
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
        """Forget a notice that did not get out, so that it is taken when it comes again."""
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
