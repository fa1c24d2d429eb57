"""The changes that wait for the next reconcile of one MailServer, and the worker's cache of its namespace.

Changes come from many threads. The worker takes all of them at once, and only the worker changes the cache.
"""

from __future__ import annotations

import threading
from collections import Counter
from typing import TYPE_CHECKING

from postboat.api import Resource
from postboat.model.kinds import secret_names
from postboat.model.snapshot import Gone, HighestStore, Home, InventoryComplete, SecretContent, Servers

if TYPE_CHECKING:
    from collections.abc import Iterable

    from postboat.model.snapshot import Change
    from postboat.model.verdict import Key


class ChangeBuffer:
    """Changes that wait, the newest of each object only; safe to use from many threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._changes: dict[tuple[str, str], Change] = {}

    def put(self, change: Change) -> None:
        """Insert a change; it replaces an older one of the same object."""
        with self._lock:
            self._changes[_key(change)] = change

    def __len__(self) -> int:
        return len(self._changes)

    def take(self) -> tuple[Change, ...]:
        """Return all changes and empty the buffer."""
        with self._lock:
            changes, self._changes = self._changes, {}
        return tuple(changes.values())


class NamespaceCache:
    """The resources of a namespace as the worker knows them; only the worker may use it.

    Attributes:
        resources: All resources, by kind and name.
    """

    def __init__(self) -> None:
        self.resources: dict[Key, Resource] = {}
        self._uses: Counter[str] = Counter()
        self._referenced: frozenset[str] | None = frozenset()

    def update(self, changes: Iterable[Change]) -> set[Key]:
        """Apply changes.

        Returns:
            The keys of resources that differ in more than their status.
        """
        touched = set()
        for change in changes:
            if not isinstance(change, Resource | Gone):
                continue
            key = (change.kind, change.name)
            old = self.resources.pop(key, None)
            if isinstance(change, Gone):
                touched.add(key)
            else:
                self.resources[key] = change
                if _differs(old, change):
                    touched.add(key)
            self._refer(_names(old), _names(self.resources.get(key)))
        return touched

    def missed(self, there: Iterable[Resource]) -> list[Change]:
        """Return the changes that lead to the state of the informers; differences in status alone are left out.

        Args:
            there: All resources of the namespace in the informers.
        """
        known = {(resource.kind, resource.name): resource for resource in there}
        gone: list[Change] = [Gone(*key) for key in self.resources.keys() - known.keys()]
        return gone + [one for key, one in known.items() if _differs(self.resources.get(key), one)]

    def of_kind(self, kind: str) -> tuple[Resource, ...]:
        """Return the resources of a kind."""
        return tuple(resource for (known, _), resource in self.resources.items() if known == kind)

    @property
    def referenced(self) -> frozenset[str]:
        """Return the names of all Secrets that any of the resources references."""
        if self._referenced is None:
            self._referenced = frozenset(self._uses)
        return self._referenced

    def _refer(self, old: frozenset[str], new: frozenset[str]) -> None:
        for name in new - old:
            self._uses[name] += 1
            if self._uses[name] == 1:
                self._referenced = None
        for name in old - new:
            self._uses[name] -= 1
            if not self._uses[name]:
                del self._uses[name]
                self._referenced = None


def _differs(held: Resource | None, new: Resource) -> bool:
    if held is new:
        return False
    return held is None or (held.uid, held.generation, held.deleting, held.annotations) != (
        new.uid,
        new.generation,
        new.deleting,
        new.annotations,
    )


def _names(resource: Resource | None) -> frozenset[str]:
    return frozenset() if resource is None else secret_names(resource)


def _key(change: Change) -> tuple[str, str]:
    match change:
        case SecretContent():
            return "Secret", change.name
        case Home():
            return "home", change.user
        case HighestStore():
            return "highest store", ""
        case InventoryComplete():
            return "inventory", ""
        case Servers():
            return "servers", ""
        case _:
            return change.kind, change.name
