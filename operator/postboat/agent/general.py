"""General rows: a row of a shard that stands for one row in each local domain, and the list of these domains.

A local part is written once, and the domains in one shard; whoever reads a shard makes the rows from both. So a domain
comes and goes with one file, and no row of an address is older or newer than the domain that it is in.
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from collections.abc import Set as AbstractSet

MARK = "*"
"""The first column of a general row. An agent that knows none sees too many columns, and keeps the rows that it has."""
PLACE = "@*"
"""The end of the column that a domain is put into."""
LIST = "@local"
"""Stands for the name of a table in the lines that list the domains; no table can have it."""
EACH, FIRST = "each", "first"
"""A row for each form of each domain, and one row with the first domain, or with the host where there is none."""
CATCH_ALL, AWAY = "catchall", "away"
"""As `EACH`, in domains that take all mail, and in those that lead all mail to another server."""
MORE = 3
"""So many columns has a general row beside those of its table."""
_WHICH = frozenset({EACH, FIRST, CATCH_ALL, AWAY})
_GZIP = 31  # see wbits of zlib


@dataclass(frozen=True, slots=True)
class Domain:
    """A local domain: its name, all forms that clients write, and its classes."""

    name: str
    forms: tuple[str, ...]
    classes: frozenset[str]


@dataclass(frozen=True, slots=True)
class Domains:
    """All local domains in their order, and the host that stands in where there is none."""

    host: str
    domains: tuple[Domain, ...] = ()


def different(one: Domains | None, other: Domains | None) -> frozenset[str]:
    """Name the domains that are not the same in two lists."""
    held = (frozenset(found.domains if found is not None else ()) for found in (one, other))
    return frozenset(domain.name for domain in next(held) ^ next(held))


def listed(shards: Iterable[bytes]) -> Domains | None:
    """Read the list of domains from the shard that has it, or give None; it stands at the beginning of that shard."""
    start = f"{LIST}\t".encode()
    for content in shards:
        if zlib.decompressobj(_GZIP).decompress(content, len(start)) == start:
            lines = zlib.decompress(content, _GZIP).decode().splitlines()
            return _list([line.split("\t")[1:] for line in lines if line.startswith(f"{LIST}\t")])
    return None


def _list(entries: Iterable[list[str]]) -> Domains:
    """Take the entries `name, forms, classes`; the one without a name has the host as its form."""
    host, domains = "", []
    for name, forms, classes in entries:
        if name:
            domains.append(Domain(name, tuple(forms.split(",")), frozenset(classes.split(","))))
        else:
            host = forms
    return Domains(host, tuple(domains))


class Expansion:
    """Writes the rows that general rows stand for, by one list of domains.

    With `only`, domains of other names are left out, save where a row depends on all of them.
    """

    def __init__(self, domains: Domains | None, only: AbstractSet[str] | None = None) -> None:
        self._domains, self._only = domains, only
        self._by_name = {domain.name: domain for domain in domains.domains} if domains is not None else {}
        self._everywhere: dict[str, tuple[str, ...]] = {}
        """The forms for rows without limits, which most rows are."""

    def forms(self, which: str, limits: str) -> tuple[str, ...]:
        """Give what takes the place of `*` in a row.

        Raises ValueError where there is no list of domains, or nobody knows `which` domains are meant.
        """
        if limits or which not in self._everywhere:
            if self._domains is None:
                raise ValueError("there are general rows, and no shard lists the domains")
            if which not in _WHICH:
                raise ValueError(f"nobody knows what a general row for {which!r} is")
            found = tuple(self._forms(which, self._meant(limits), self._domains.host))
            if limits:
                return found
            self._everywhere[which] = found
        return self._everywhere[which]

    def rows(self, values: list[str]) -> list[tuple[str, ...]]:
        """Write the rows that a general row stands for.

        `values` are its columns without the name of the table: `MARK`, which domains, limits, and the columns of the
        table. Raises ValueError as `forms` does, and for a row without a place for a domain.
        """
        forms = self.forms(values[1], values[2])
        columns = values[MORE:]
        for index, column in enumerate(columns):
            if column.endswith(PLACE):
                before, local, after = columns[:index], column.removesuffix(PLACE[1:]), columns[index + 1 :]
                return [(*before, local + form, *after) for form in forms]
        raise ValueError("a general row has no place for a domain")

    def _meant(self, limits: str) -> Iterable[Domain]:
        """Give the domains within the limits of a row, in their order, which is that of their names."""
        named = limits[1:].split(",")
        if limits.startswith("+"):
            return (self._by_name[name] for name in sorted(named) if name in self._by_name)
        left_out = frozenset(named)
        return (domain for name, domain in self._by_name.items() if name not in left_out)

    def _forms(self, which: str, meant: Iterable[Domain], host: str) -> Iterator[str]:
        if which == FIRST:
            yield next((domain.name for domain in meant), host)
            return
        for domain in meant:
            if (self._only is None or domain.name in self._only) and (which == EACH or which in domain.classes):
                yield from domain.forms
