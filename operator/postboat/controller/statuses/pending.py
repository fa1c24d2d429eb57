"""Statuses that were written and that the informers do not show yet (read your writes): nothing is written twice.

A failed write is dropped: the informer's copy counts again, and the next attempt sees the difference.
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
    """The newest status of each object whose write is under way or on its way back."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._written: dict[tuple[str, Key], tuple[str, Mapping[str, Any]]] = {}

    def __len__(self) -> int:
        return len(self._written)

    def wrote(self, resource: Resource, status: Mapping[str, Any]) -> None:
        """Remember what is being written."""
        with self._lock:
            self._written[resource.kind, Key(resource.namespace, resource.name)] = (resource.uid, status)

    def shown(self, old: Resource | None, new: Resource | None, fields: Iterable[str]) -> bool:
        """Take in what the watch shows, and tell whether all that differs in these fields was written here."""
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
        """Forget it, now that the write has failed."""
        with self._lock:
            self._written.pop((kind, key), None)

    def newest(self, resource: Resource) -> Resource:
        """Give the resource with the status it has or will have in a moment; a field written as None is taken away."""
        with self._lock:
            written = self._written.get((resource.kind, Key(resource.namespace, resource.name)))
        if written is None or written[0] != resource.uid:
            return resource
        return replace(resource, status=lean({**resource.status, **written[1]}))
