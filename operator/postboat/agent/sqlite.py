"""Tables in one SQLite file, changed in place in one transaction while Dovecot reads it.

The file is in WAL mode: readers never wait for the writer nor it for them, and a new row counts with the next lookup.
"""

from __future__ import annotations

import sqlite3
import sys
from contextlib import closing
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

    from postboat.agent.manifest import Table
    from postboat.agent.tables import Delta, Row

_SECONDS = 10


_DAMAGES = ("SQLITE_CORRUPT", "SQLITE_NOTADB")


class _DamagedError(ValueError):
    """The file is no database, or no longer a whole one."""


class SqliteDriver:
    """The tables of a container in the SQLite file `path`."""

    limit = sys.maxsize
    replaces = False

    def __init__(self, path: Path) -> None:
        self._path = path

    def rebuild(self, tables: Mapping[Table, Iterable[Row]]) -> None:
        """Make the file hold these tables and no others; a reader sees the old ones until the transaction ends."""
        self._path.parent.mkdir(parents=True, exist_ok=True)
        try:
            self._replace(tables)
        except _DamagedError:  # left so by an earlier run; its readers are gone or see nothing of use
            for suffix in ("", "-wal", "-shm"):
                self._path.with_name(self._path.name + suffix).unlink(missing_ok=True)
            self._replace(tables)

    def update(self, deltas: Mapping[Table, Delta]) -> None:
        """Apply all differences in one transaction."""
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

    def _replace(self, tables: Mapping[Table, Iterable[Row]]) -> None:
        with closing(self._connect()) as connection:
            try:
                connection.execute("PRAGMA journal_mode = WAL")
                connection.execute("BEGIN IMMEDIATE")
                for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall():
                    connection.execute(f'DROP TABLE "{name}"')
                for table, rows in tables.items():
                    columns = ", ".join(f'"{column}" TEXT NOT NULL' for column in table.columns)
                    connection.execute(
                        f'CREATE TABLE "{table.name}" ({columns}, PRIMARY KEY ("{table.columns[0]}")) WITHOUT ROWID'
                    )
                    _insert(connection, table, rows)
                connection.execute("COMMIT")
                connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
            except sqlite3.Error as error:
                raise self._failure(error) from error

    def _connect(self) -> sqlite3.Connection:
        try:
            connection = sqlite3.connect(self._path, timeout=_SECONDS, isolation_level=None)
            connection.execute("PRAGMA synchronous = OFF")  # what a crash of the machine takes is built again
        except sqlite3.Error as error:
            raise self._failure(error) from error
        return connection

    def _failure(self, error: sqlite3.Error) -> ValueError:
        """Tell damage from a full disk or a lock: to remove the file then would leave Dovecot reading a ghost."""
        kind = _DamagedError if error.sqlite_errorname in _DAMAGES else ValueError
        return kind(f"{self._path.name}: {error}")


def _insert(connection: sqlite3.Connection, table: Table, rows: Iterable[Row]) -> None:
    marks = ", ".join("?" for _ in table.columns)
    connection.executemany(f'INSERT OR REPLACE INTO "{table.name}" VALUES ({marks})', rows)  # noqa: S608  a word, see manifest
