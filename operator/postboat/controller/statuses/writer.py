"""Writes statuses: the newest judgement of an object only, and only fields that differ.

Its threads are not those that apply objects, so many statuses do not delay the next change.
"""

from __future__ import annotations

import logging
import threading
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from postboat import telemetry
from postboat.cluster.types import InvalidError, Key, NotFoundError, StatusPatch
from postboat.controller.statuses.retry_queue import RetryQueue

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from postboat.api import Resource
    from postboat.cluster.client import Client
    from postboat.cluster.types import ResourceType
    from postboat.controller.statuses.pending import PendingStatuses

WRITERS = 12
"""More than half of what may be in flight: while mailboxes are created in bulk, their statuses keep up with them."""
LONGEST_PAUSE = 0.5
"""Seconds; a round of a bulk import takes longer, and its statuses are to keep up."""
log = logging.getLogger(__name__)

Name = tuple[str, str, str, str]
"""Kind, namespace and name of an object, and the part of its status."""


@dataclass(frozen=True, slots=True)
class Judgement:
    """What makes the status of an object at the moment of writing; it gives None when nothing differs."""

    kind: ResourceType
    namespace: str
    name: str
    status: Callable[[], StatusPatch | None]
    part: str = ""
    """Parts of one status that have nothing to do with each other are judged and written apart."""


def patch_of(resource: Resource, fields: Mapping[str, Any] | None) -> StatusPatch | None:
    """Write fields of a status for this very object, or nothing."""
    return None if fields is None else StatusPatch(resource.uid, fields, blank=not resource.status)


class StatusWriter(RetryQueue[Name, Judgement]):
    """The newest judgement of each object and part."""

    def __init__(self, client: Client, pending_statuses: PendingStatuses) -> None:
        super().__init__("the status", WRITERS, self._judge)
        self._client, self._pending_statuses = client, pending_statuses
        self._resumed = threading.Event()
        self._resumed.set()
        self._paused_at = 0.0

    def pause(self) -> None:
        """Let a reconcile go first, for `LONGEST_PAUSE` at most: twelve threads would leave it little time."""
        self._paused_at = time.monotonic()
        self._resumed.clear()

    def resume(self) -> None:
        """Write again: the reconcile has ended."""
        self._resumed.set()

    def judge(self, judgement: Judgement, *, after: float = 0.0) -> None:
        """Take a judgement, to be written after so many seconds; an older one of the same object is superseded."""
        self.put((judgement.kind.kind, judgement.namespace, judgement.name, judgement.part), judgement, after=after)

    def _judge(self, _name: Name, judgement: Judgement) -> bool:
        if not self._resumed.is_set():
            self._resumed.wait(max(0.0, self._paused_at + LONGEST_PAUSE - time.monotonic()))
        try:
            self._write_status(judgement)
        except NotFoundError:
            self._forget(judgement)  # the object is gone, and so is its status
        except InvalidError as failure:
            self._forget(judgement)
            log.debug("dropped a status of %s: the object was deleted and created again: %s", judgement.name, failure)
            return False  # judged anew, from what the watch shows then
        except Exception:
            self._forget(judgement)
            telemetry.STATUS_ERRORS.labels(judgement.kind.kind).inc()
            raise
        return True

    def _forget(self, judgement: Judgement) -> None:
        self._pending_statuses.forget(judgement.kind.kind, Key(judgement.namespace, judgement.name))

    def _write_status(self, judgement: Judgement) -> None:
        patch = judgement.status()
        if patch is None:
            return
        self._client.write_status(judgement.kind, judgement.namespace, judgement.name, patch)
        patch.written()
        telemetry.STATUS_WRITES.labels(judgement.kind.kind).inc()
