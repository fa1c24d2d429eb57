"""Statuses that were written and that the watch has not shown yet, so that nothing is written twice.

A write that failed is forgotten: what the watch shows counts again, and the next attempt finds its difference.
"""

from __future__ import annotations

import threading
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from postboat.cluster.types import Key

if TYPE_CHECKING:
    from collections.abc import Mapping

    from postboat.api import Resource


class Echoes:
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

    def forget(self, kind: str, key: Key) -> None:
        """Forget it, now that the watch has shown the object or the write has failed."""
        with self._lock:
            self._written.pop((kind, key), None)

    def newest(self, resource: Resource) -> Resource:
        """Give the resource with the status it has or will have in a moment; a field written as None is taken away."""
        with self._lock:
            written = self._written.get((resource.kind, Key(resource.namespace, resource.name)))
        if written is None or written[0] != resource.uid:
            return resource
        status = {**resource.status, **written[1]}
        return replace(resource, status={field: value for field, value in status.items() if value is not None})
