"""Records of one kind by namespace and name, written by a reflector and read by workers.

A reader gets an immutable tuple of one namespace, which is cached until something in that namespace changes.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Generic, TypeVar

if TYPE_CHECKING:
    from postboat.cluster.types import Key

R = TypeVar("R")


class Cache(Generic[R]):
    """A thread-safe mapping of namespace and name to a record, with cheap snapshots of a namespace."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._records: dict[str, dict[str, R]] = {}
        self._tuples: dict[str, tuple[R, ...]] = {}

    def put(self, key: Key, record: R) -> None:
        """Insert or replace a record."""
        with self._lock:
            self._records.setdefault(key.namespace, {})[key.name] = record
            self._tuples.pop(key.namespace, None)

    def remove(self, key: Key) -> None:
        """Remove a record; a missing one is no error."""
        with self._lock:
            names = self._records.get(key.namespace)
            if names is None or names.pop(key.name, None) is None:
                return
            self._tuples.pop(key.namespace, None)
            if not names:
                del self._records[key.namespace]

    def get(self, key: Key) -> R | None:
        """Return one record, or None."""
        with self._lock:
            return self._records.get(key.namespace, {}).get(key.name)

    def namespace(self, namespace: str) -> tuple[R, ...]:
        """Return all records of a namespace, in no particular order."""
        with self._lock:
            known = self._tuples.get(namespace)
            if known is None:
                known = tuple(self._records.get(namespace, {}).values())
                self._tuples[namespace] = known
            return known

    def everything(self) -> tuple[R, ...]:
        """Return all records of all namespaces."""
        with self._lock:
            return tuple(record for names in self._records.values() for record in names.values())

    def __len__(self) -> int:
        with self._lock:
            return sum(len(names) for names in self._records.values())
