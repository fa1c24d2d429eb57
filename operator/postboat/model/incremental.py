"""Which decisions have read which facts, so that a changed fact names the decisions to repeat.

A decision that depends only on the facts it has read, and is repeated when one of them changes, is always up to date.
"""

from collections.abc import Collection, Hashable, Iterable
from typing import Any, Generic, TypeVar

_Value = TypeVar("_Value", bound=Hashable)


class Ledger(Generic[_Value]):
    """For each decided value the facts that it depends on; a fact may be that something does not exist.

    Most facts have one reader, which is stored without a set: sets for all would be the largest part of a directory.
    """

    def __init__(self) -> None:
        self._facts: dict[_Value, tuple[Hashable, ...]] = {}
        self._readers: dict[Hashable, Any] = {}
        """The reader of each fact, or the set of them where there are several; no value is a set."""

    def note(self, value: _Value, facts: Collection[Hashable]) -> None:
        """Record the facts that a value was decided from; they replace those recorded before.

        Args:
            value: Any hashable that is not a set, such as a user name.
            facts: As in `dependencies.Reading.seen`; empty removes the value.
        """
        old = self._facts.pop(value, ())
        for fact in old:
            if fact not in facts:
                self._leave(fact, value)
        known = frozenset(old)
        for fact in facts:
            if fact not in known:
                self._join(fact, value)
        if facts:
            self._facts[value] = tuple(facts)

    def _join(self, fact: Hashable, value: _Value) -> None:
        known = self._readers.get(fact)
        if isinstance(known, set):
            known.add(value)
        else:
            self._readers[fact] = value if known is None else {known, value}

    def _leave(self, fact: Hashable, value: _Value) -> None:
        known = self._readers[fact]
        if isinstance(known, set):
            known.discard(value)
            if len(known) == 1:
                self._readers[fact] = known.pop()
        else:
            del self._readers[fact]

    def readers(self, facts: Iterable[Hashable]) -> set[_Value]:
        """Return the values that depend on one of the facts."""
        found: set[_Value] = set()
        for fact in facts:
            known = self._readers.get(fact)
            if isinstance(known, set):
                found |= known
            elif known is not None:
                found.add(known)
        return found
