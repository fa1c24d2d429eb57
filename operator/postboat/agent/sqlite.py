"""Tables in one SQLite file, changed in one transaction while Dovecot reads them.

The file is in WAL mode: readers and the writer do not wait for each other, and the next look-up finds a new row.
"""

from __future__ import annotations

import sqlite3
import sys
from contextlib import closing
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Mapping
    from collections.abc import Set as AbstractSet
    from pathlib import Path

    from postboat.agent.manifest import Table
    from postboat.agent.tables import Delta, Row

_SECONDS = 10


_DAMAGES = ("SQLITE_CORRUPT", "SQLITE_NOTADB")


class _DamagedError(ValueError):
    """The file is no database, or no longer a whole one."""


class SqliteDriver:
    """The tables of a container in one SQLite file.

    Args:
        path: The file.
        on_removed: Called after the transaction with a table's name and the keys that it has lost.
        before: Called before the transaction with a table and the rows that are new or changed.
    """

    limit = sys.maxsize
    replaces = False

    def __init__(
        self,
        path: Path,
        on_removed: Callable[[str, AbstractSet[str]], None] | None = None,
        before: Callable[[Table, Collection[Row]], None] | None = None,
    ) -> None:
        self._path = path
        self._on_removed, self._before = on_removed, before

    def rebuild(self, tables: Mapping[Table, Iterable[Row]]) -> None:
        """Replace all tables by these; readers see the old ones until the transaction ends.

        Args:
            tables: The rows of each table, all columns as text.

        Raises:
            ValueError: The file cannot be written.
            OSError: Its folder cannot be created.
        """
        self._path.parent.mkdir(parents=True, exist_ok=True)
        told = {table: tuple(rows) for table, rows in tables.items()}
        self._announce(told)
        try:
            self._replace(told)
        except _DamagedError:  # left so by an earlier run; its readers are gone or see nothing of use
            for suffix in ("", "-wal", "-shm"):
                self._path.with_name(self._path.name + suffix).unlink(missing_ok=True)
            self._replace(told)

    def update(self, deltas: Mapping[Table, Delta]) -> bool:
        """Apply all differences in one transaction.

        Args:
            deltas: The keys to delete and the rows to write, for each table.

        Returns:
            False: readers need not open the tables again.

        Raises:
            ValueError: The file cannot be written, or a table does not exist.
        """
        self._announce({table: tuple(delta.changed.values()) for table, delta in deltas.items()})
        with closing(self._connect()) as connection:
            try:
                connection.execute("BEGIN IMMEDIATE")
                for table, delta in deltas.items():
                    connection.executemany(
                        f'DELETE FROM "{table.name}" WHERE "{table.columns[0]}" = ?',  # noqa: S608  a word, see manifest
                        ((key,) for key in delta.removed),
                    )
                    _insert(connection, table, delta.changed.values())
                connection.execute("COMMIT")
            except sqlite3.Error as error:
                raise self._failure(error) from error
        self._tell({table.name: delta.removed for table, delta in deltas.items()})
        return False

    def _announce(self, tables: Mapping[Table, Collection[Row]]) -> None:
        if self._before is not None:
            for table, rows in tables.items():
                if rows:
                    self._before(table, rows)

    def _tell(self, removed: Mapping[str, AbstractSet[str]]) -> None:
        if self._on_removed is not None:
            for name, keys in removed.items():
                if keys:
                    self._on_removed(name, keys)

    def _replace(self, tables: Mapping[Table, Iterable[Row]]) -> None:
        removed = {}
        with closing(self._connect()) as connection:
            try:
                connection.execute("PRAGMA journal_mode = WAL")
                connection.execute("BEGIN IMMEDIATE")
                before = {table.name: _keys(connection, table) for table in tables}
                for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall():
                    connection.execute(f'DROP TABLE "{name}"')
                for table, rows in tables.items():
                    columns = ", ".join(f'"{column}" TEXT NOT NULL' for column in table.columns)
                    connection.execute(
                        f'CREATE TABLE "{table.name}" ({columns}, PRIMARY KEY ("{table.columns[0]}")) WITHOUT ROWID'
                    )
                    _insert(connection, table, rows)
                    removed[table.name] = before[table.name] - _keys(connection, table)
                connection.execute("COMMIT")
                connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
            except sqlite3.Error as error:
                raise self._failure(error) from error
        self._tell(removed)

    def _connect(self) -> sqlite3.Connection:
        try:
            connection = sqlite3.connect(self._path, timeout=_SECONDS, isolation_level=None)
            connection.execute("PRAGMA synchronous = OFF")  # what a crash of the machine takes is built again
        except sqlite3.Error as error:
            raise self._failure(error) from error
        return connection

    def _failure(self, error: sqlite3.Error) -> ValueError:
        """Return the error to raise: _DamagedError only for a damaged file.

        A file must not be removed because of a full disk or a lock, since Dovecot would go on with the removed one.
        """
        kind = _DamagedError if error.sqlite_errorname in _DAMAGES else ValueError
        return kind(f"{self._path.name}: {error}")


def _keys(connection: sqlite3.Connection, table: Table) -> set[str]:
    """Return the keys of a table; a missing table has none."""
    there = "SELECT 1 FROM pragma_table_info(?) WHERE name = ?"
    if connection.execute(there, (table.name, table.columns[0])).fetchone() is None:
        return set()
    query = f'SELECT "{table.columns[0]}" FROM "{table.name}"'  # noqa: S608  words, see manifest
    return {key for (key,) in connection.execute(query)}


def _insert(connection: sqlite3.Connection, table: Table, rows: Iterable[Row]) -> None:
    marks = ", ".join("?" for _ in table.columns)
    connection.executemany(f'INSERT OR REPLACE INTO "{table.name}" VALUES ({marks})', rows)  # noqa: S608  a word, see manifest
