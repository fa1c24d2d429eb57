"""Writes statuses with a few threads, the newest judgement of an object only, and only what differs.

It shares nothing with the threads that apply objects, so a flood of statuses does not delay the next change.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import OrderedDict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from postboat import telemetry
from postboat.cluster.retry import Backoff
from postboat.cluster.types import ApiError, ConnectionFailedError, FencedError, Key

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from postboat.cluster.client import Client
    from postboat.cluster.types import ResourceType
    from postboat.controller.echoes import Echoes

log = logging.getLogger(__name__)

WRITERS = 6
Name = tuple[str, str, str, str]
"""Kind, namespace and name of an object, and the part of its status."""


@dataclass(frozen=True, slots=True)
class Judgement:
    """What makes the status of an object at the moment of writing; it gives None when nothing differs."""

    kind: ResourceType
    namespace: str
    name: str
    status: Callable[[], Mapping[str, Any] | None]
    part: str = ""
    """Parts of one status that have nothing to do with each other are judged and written apart."""


class StatusWriter:
    """A queue by object name and the threads that empty it."""

    def __init__(self, client: Client, echoes: Echoes) -> None:
        self.heartbeat = time.monotonic()
        self._client, self._echoes = client, echoes
        self._condition = threading.Condition()
        self._due: OrderedDict[Name, Judgement] = OrderedDict()
        self._failures: dict[Name, int] = {}
        self._held: dict[Name, float] = {}
        self._busy: set[Name] = set()
        self._backoff = Backoff(base=0.5, cap=30.0)
        self._stopping = False
        self._threads = [
            threading.Thread(target=self._work, name=f"status {number}", daemon=True) for number in range(WRITERS)
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

    def forget(self) -> None:
        """Drop what waits: somebody else writes from now on."""
        with self._condition:
            self._due.clear()
            self._failures.clear()
            self._held.clear()

    def put(self, judgement: Judgement, *, after: float = 0.0) -> None:
        """Take a judgement, to be written after so many seconds; an older one of the same object is superseded."""
        name = (judgement.kind.kind, judgement.namespace, judgement.name, judgement.part)
        with self._condition:
            self._due[name] = judgement
            if after:
                self._held[name] = time.monotonic() + after
            elif name not in self._failures:
                self._held.pop(name, None)
            self._condition.notify()

    def __len__(self) -> int:
        return len(self._due)

    def _take(self) -> tuple[Name, Judgement] | None:
        """Wait for a judgement whose object no other thread is writing and that is not held back after a failure."""
        with self._condition:
            while not self._stopping:
                self.heartbeat = now = time.monotonic()
                for name, judgement in self._due.items():
                    if name not in self._busy and self._held.get(name, 0.0) <= now:
                        del self._due[name]
                        self._busy.add(name)
                        return name, judgement
                self._condition.wait(0.5 if self._due else 5)
            return None

    def _work(self) -> None:
        while (taken := self._take()) is not None:
            name, judgement = taken
            try:
                self._write(judgement)
                failed = False
            except FencedError:
                failed = True
            except (ApiError, ConnectionFailedError) as failure:
                log.warning("the status of %s %s/%s was not written: %s", *name[:3], failure)
                failed = True
            except Exception:
                log.exception("the status of %s %s/%s was not written", *name[:3])
                failed = True
            if failed:
                self._echoes.forget(judgement.kind.kind, Key(judgement.namespace, judgement.name))
            self._done(name, judgement, failed=failed)

    def _done(self, name: Name, judgement: Judgement, *, failed: bool) -> None:
        with self._condition:
            self._busy.discard(name)
            if not failed:
                self._failures.pop(name, None)
                self._held.pop(name, None)
                return
            telemetry.STATUS_ERRORS.labels(judgement.kind.kind).inc()
            self._failures[name] = self._failures.get(name, 0) + 1
            self._held[name] = time.monotonic() + self._backoff.delay(self._failures[name], 1.0)
            self._due.setdefault(name, judgement)

    def _write(self, judgement: Judgement) -> None:
        status = judgement.status()
        if status is None:
            return
        body = {"status": dict(status)}
        try:
            self._client.merge(judgement.kind, judgement.namespace, judgement.name, body, subresource="status")
        except ApiError as error:
            if error.status == 404:  # noqa: PLR2004 - the object is gone, and so is its status
                self._echoes.forget(judgement.kind.kind, Key(judgement.namespace, judgement.name))
                return
            raise
        telemetry.STATUS_WRITES.labels(judgement.kind.kind).inc()
