"""The directory tables of a container: what is in force, what the mount holds, and only the difference between them.

Shards are kept as they came, compressed: 100,000 rows cost a few megabytes, a changed row the parsing of one shard.
Where the list of local domains is another one, all general rows are read again, and only rows in these domains written.
"""

from __future__ import annotations

import gzip
import logging
import zlib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

from postboat.agent.errors import ActivationError, Failure
from postboat.agent.general import MARK, MORE, Expansion, different, listed

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from collections.abc import Set as AbstractSet

    from postboat.agent.general import Domains
    from postboat.agent.manifest import Table

    Entry = tuple[Table, tuple[str, ...]]
    """A row with its table."""

log = logging.getLogger(__name__)

Row = tuple[str, ...]


@dataclass(slots=True)
class Delta:
    """The difference of one table: keys to delete, and rows, key first, to insert or replace."""

    removed: set[str] = field(default_factory=set)
    changed: dict[str, Row] = field(default_factory=dict)


class Driver(Protocol):
    """One kind of table file.

    More than `limit` changed rows are worth a rebuild; with `replaces`, readers must open the tables again after one.
    """

    limit: int
    replaces: bool

    def rebuild(self, tables: Mapping[Table, Iterable[Row]]) -> None:
        """Write whole tables, replacing what there is; raise OSError or ValueError when that fails."""

    def update(self, deltas: Mapping[Table, Delta]) -> bool:
        """Apply differences in place; tell whether readers remember what these tables said, and must begin anew.

        Raises OSError or ValueError when it fails.
        """


class Directory:
    """All tables of a container: keeps the shards that are in force and brings new ones in force."""

    def __init__(self, drivers: Mapping[str, Driver]) -> None:
        self._drivers = drivers
        self._tables: tuple[Table, ...] = ()
        self._shards: dict[str, bytes] = {}
        self._domains: Domains | None = None
        self._known = False

    def completed(self, named: Iterable[str], shards: Mapping[str, bytes]) -> tuple[dict[str, bytes], frozenset[str]]:
        """Put what is in force in the place of shards that are named and missing, and tell which are missing.

        Whoever removes rows changes a shard or the names: a Secret that somebody deleted removes nobody. Raises
        ActivationError (IncompleteMount) while nothing is in force that could be gone on with.
        """
        missing = frozenset(named) - shards.keys()
        if missing and not self._tables:
            text = f"missing: directory shards {', '.join(sorted(missing))}"
            raise ActivationError(Failure.INCOMPLETE_MOUNT, text)
        return {**shards, **{name: self._shards[name] for name in missing if name in self._shards}}, missing

    def apply(self, tables: tuple[Table, ...], shards: Mapping[str, bytes]) -> bool:
        """Bring the tables in force and return whether those who read them must open them again.

        The first time, after a failure and when the tables themselves differ, everything is rebuilt from the shards.
        Raises ActivationError (TableUpdateFailed); the next call then rebuilds.
        """
        if self._known and tables == self._tables and shards == self._shards:
            return False
        incremental, self._known = self._known and tables == self._tables, False
        try:
            domains = listed(shards.values())
            if incremental:
                reopen = self._update(shards, domains)
            else:
                reopen = self._rebuild(self._drivers, tables, shards, domains)
        except (OSError, ValueError, EOFError, zlib.error) as error:
            raise ActivationError(Failure.TABLE_UPDATE_FAILED, str(error)) from error
        self._tables, self._shards, self._domains, self._known = tables, dict(shards), domains, True
        return reopen

    def _rebuild(
        self,
        drivers: Mapping[str, Driver],
        tables: tuple[Table, ...],
        shards: Mapping[str, bytes],
        domains: Domains | None,
    ) -> bool:
        expansion = Expansion(domains)
        for name, driver in drivers.items():
            mine = {table.name: table for table in tables if table.driver == name}
            rows: dict[Table, list[Row]] = {table: [] for table in mine.values()}
            for content in shards.values():
                for table, row in _rows(_lines(content), mine, expansion):
                    rows[table].append(row)
            if rows:
                driver.rebuild(rows)
        return any(driver.replaces for driver in drivers.values())

    def _update(self, shards: Mapping[str, bytes], domains: Domains | None) -> bool:
        changed = [name for name in shards.keys() | self._shards.keys() if shards.get(name) != self._shards.get(name)]
        old = {line for name in changed for line in _lines(self._shards.get(name))}
        new = {line for name in changed for line in _lines(shards.get(name))}
        reopen = False
        for name, driver in self._drivers.items():
            mine = {table.name: table for table in self._tables if table.driver == name}
            before = [*_rows(old - new, mine, Expansion(self._domains))]
            after = [*_rows(new - old, mine, Expansion(domains))]
            if domains != self._domains:
                self._move(shards, new - old, mine, domains, (before, after))
            deltas = difference(before, after)
            if sum(len(delta.changed) + len(delta.removed) for delta in deltas.values()) > driver.limit:
                reopen |= self._rebuild({name: driver}, self._tables, shards, domains)
            elif deltas:
                reopen |= driver.update(deltas)
        return reopen

    def _move(
        self,
        shards: Mapping[str, bytes],
        new: AbstractSet[bytes],
        tables: Mapping[str, Table],
        domains: Domains | None,
        rows: tuple[list[Entry], list[Entry]],
    ) -> None:
        """Add what general lines that stay, those that are not `new`, come to with other domains, before and after."""
        mark, only = f"\t{MARK}\t".encode(), different(self._domains, domains)
        was, will = Expansion(self._domains, only), Expansion(domains, only)
        for content in shards.values():
            staying = (line.decode().split("\t") for line in _lines(content) if mark in line and line not in new)
            for name, *values in staying:
                table = tables.get(name)
                if table is None or values[0] != MARK:
                    continue
                if was.forms(*values[1:MORE]) != will.forms(*values[1:MORE]):
                    rows[0].extend((table, row) for row in was.rows(values))
                    rows[1].extend((table, row) for row in will.rows(values))


def difference(before: Iterable[Entry], after: Iterable[Entry]) -> dict[Table, Delta]:
    """Return what leads from the rows that were to the rows that are; a key that stays is no deletion."""
    old = {(table.name, row): table for table, row in before}
    deltas: dict[Table, Delta] = {}
    keys: set[tuple[str, str]] = set()
    for table, row in after:
        keys.add((table.name, row[0]))
        if old.pop((table.name, row), None) is None:
            deltas.setdefault(table, Delta()).changed[row[0]] = row
    for (name, row), table in old.items():
        if (name, row[0]) not in keys:
            deltas.setdefault(table, Delta()).removed.add(row[0])
    return deltas


def _lines(content: bytes | None) -> list[bytes]:
    return gzip.decompress(content).splitlines() if content else []


def _rows(
    lines: Iterable[bytes],
    tables: Mapping[str, Table],
    expansion: Expansion,
) -> Iterator[Entry]:
    """Yield the rows of the tables asked for, with those that general rows stand for.

    Raises ValueError for a line whose columns do not fit.
    """
    for line in lines:
        name, *values = line.decode().split("\t")
        table = tables.get(name)
        if table is None:
            continue
        if len(values) == len(table.columns):
            yield table, tuple(values)
        elif len(values) == len(table.columns) + MORE and values[0] == MARK:
            for row in expansion.rows(values):
                yield table, row
        else:
            raise ValueError(f"table {name}: a row has {len(values)} columns instead of {len(table.columns)}")
