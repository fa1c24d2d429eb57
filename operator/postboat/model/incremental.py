"""Which decided values were read from which facts, so that a changed fact names all that must be decided again.

A value that is a function of the facts it read, and is decided again when one of them changes, is always up to date.
"""

from collections.abc import Hashable, Iterable
from typing import Generic, TypeVar

_Value = TypeVar("_Value", bound=Hashable)


class Ledger(Generic[_Value]):
    """Remembers, for each decided value, the facts behind it; a fact that was found absent is a fact as well."""

    def __init__(self) -> None:
        self._facts: dict[_Value, frozenset[Hashable]] = {}
        self._readers: dict[Hashable, set[_Value]] = {}

    def note(self, value: _Value, facts: Iterable[Hashable]) -> None:
        """Remember what a value was decided from, instead of what it was decided from before."""
        new = frozenset(facts)
        old = self._facts.pop(value, frozenset())
        for fact in old - new:
            readers = self._readers[fact]
            readers.discard(value)
            if not readers:
                del self._readers[fact]
        for fact in new - old:
            self._readers.setdefault(fact, set()).add(value)
        if new:
            self._facts[value] = new

    def readers(self, facts: Iterable[Hashable]) -> set[_Value]:
        """Name the values that must be decided again when these facts are different."""
        return {value for fact in facts for value in self._readers.get(fact, ())}
