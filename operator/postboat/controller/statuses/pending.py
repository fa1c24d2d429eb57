"""Statuses that were written and that the informers do not show yet, so that nothing is written twice.

A failed write is dropped: the copy of the informer counts again, and the next attempt sees the difference.
"""

from __future__ import annotations

import threading
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from postboat.cluster.types import Key, lean

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from postboat.api import Resource


class PendingStatuses:
    """The newest status of each object that is being written or not shown yet; safe to use from many threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._written: dict[tuple[str, Key], tuple[str, Mapping[str, Any]]] = {}

    def __len__(self) -> int:
        return len(self._written)

    def wrote(self, resource: Resource, status: Mapping[str, Any]) -> None:
        """Record a status that is being written.

        Args:
            status: The merge patch for the status; None removes a field.
        """
        with self._lock:
            self._written[resource.kind, Key(resource.namespace, resource.name)] = (resource.uid, status)

    def shown(self, old: Resource | None, new: Resource | None, fields: Iterable[str]) -> bool:
        """Record what the watch shows, and return whether it changed these fields only as written here.

        Args:
            old: None for a new object.
            new: None for a deleted object.
            fields: Top-level fields of the status that the operator writes.
        """
        known = new or old
        if known is None:
            return True
        with self._lock:
            _, written = self._written.pop((known.kind, Key(known.namespace, known.name)), ("", {}))
        if old is None or new is None:
            return True
        return all(
            old.status.get(field) == new.status.get(field)
            or (field in written and lean(written[field]) == new.status.get(field))
            for field in fields
        )

    def forget(self, kind: str, key: Key) -> None:
        """Drop a status, since its write has failed."""
        with self._lock:
            self._written.pop((kind, key), None)

    def newest(self, resource: Resource) -> Resource:
        """Return the resource with the status that it will have after the writes that are under way."""
        with self._lock:
            written = self._written.get((resource.kind, Key(resource.namespace, resource.name)))
        if written is None or written[0] != resource.uid:
            return resource
        return replace(resource, status=lean({**resource.status, **written[1]}))
