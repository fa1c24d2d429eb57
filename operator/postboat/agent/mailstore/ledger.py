"""Usage of each mailbox, and whether its folder exists, in one SQLite file on the mail volume.

Dovecot writes the usage (quota_clone), the agent the folders. A trigger numbers every change, so that the operator
reads only what is new.
"""

from __future__ import annotations

import logging
import secrets
import sqlite3
import threading
from contextlib import closing
from enum import IntFlag
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Mapping
    from collections.abc import Set as AbstractSet
    from pathlib import Path

log = logging.getLogger(__name__)

PAGE = 2000
"""Mailboxes in one answer, at most."""
_SECONDS = 10
_DAMAGES = ("SQLITE_CORRUPT", "SQLITE_NOTADB")
# Dovecot inserts and updates `bytes` and `messages` by `user` and knows nothing of the other columns.
_SCHEMA = """
CREATE TABLE IF NOT EXISTS counter (number INTEGER NOT NULL);
INSERT INTO counter SELECT 0 WHERE NOT EXISTS (SELECT 1 FROM counter);
CREATE TABLE IF NOT EXISTS volume (name TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS mailbox (
  user TEXT PRIMARY KEY, bytes INTEGER, messages INTEGER,
  folder INTEGER NOT NULL DEFAULT 0, number INTEGER NOT NULL DEFAULT 0
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS mailbox_number ON mailbox (number);
CREATE TRIGGER IF NOT EXISTS mailbox_new AFTER INSERT ON mailbox BEGIN
  UPDATE counter SET number = number + 1;
  UPDATE mailbox SET number = (SELECT number FROM counter) WHERE user = new.user;
END;
CREATE TRIGGER IF NOT EXISTS mailbox_changed AFTER UPDATE OF bytes, messages, folder ON mailbox
WHEN old.bytes IS NOT new.bytes OR old.messages IS NOT new.messages OR old.folder IS NOT new.folder BEGIN
  UPDATE counter SET number = number + 1;
  UPDATE mailbox SET number = (SELECT number FROM counter) WHERE user = new.user;
END;
"""
_SET_FOLDER = (
    "INSERT INTO mailbox (user, folder) VALUES (:user, :kept)"
    " ON CONFLICT (user) DO UPDATE SET folder = folder & ~:kind | excluded.folder"
)


class Kind(IntFlag):
    """What is kept under a name: mail of a user, or of a public mailbox; the numbers go to the operator."""

    PERSONAL = 1
    PUBLIC = 2


class Entry(NamedTuple):
    """One mailbox in the ledger.

    Attributes:
        user: User name, or name of a public mailbox.
        bytes: Bytes in use; None until Dovecot has counted them.
        messages: Number of messages; None until Dovecot has counted them.
        folder: Which folders of that name exist.
    """

    user: str
    bytes: int | None
    messages: int | None
    folder: Kind


class Page(NamedTuple):
    """One page of changes.

    Attributes:
        entries: The mailboxes that have changed.
        number: The number of the last change in the page, from which to continue.
        more: Whether there are further changes already.
    """

    entries: tuple[Entry, ...]
    number: int
    more: bool


class Ledger:
    """The usage and the folders of all mailboxes on a volume; safe to use from many threads.

    Args:
        path: The SQLite file.

    Attributes:
        epoch: 16 hex digits that name this run of the agent; change numbers of another run are not comparable.
        volume: Name of the volume, 16 hex digits; "" before `open`.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._writing = threading.Lock()
        self.epoch = secrets.token_hex(8)
        self.volume = ""
        """The name of the volume, given to it once: another one, or one that is empty, has another."""

    def open(self, folders: Mapping[Kind, AbstractSet[str]]) -> None:
        """Create or repair the file, as it must be before Dovecot starts. A damaged file is created again.

        Args:
            folders: For each kind the user names that have a folder now; other users are removed.

        Raises:
            sqlite3.Error: The file cannot be written, or is locked for 10 s.
            OSError: The folder of the file cannot be created.
        """
        self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        try:
            self._open(folders)
        except sqlite3.DatabaseError as error:
            if error.sqlite_errorname not in _DAMAGES:
                raise
            log.error("creating the ledger of mailboxes anew: %s", error)  # noqa: TRY400  the cause says it all
            for suffix in ("", "-wal", "-shm"):
                self._path.with_name(self._path.name + suffix).unlink(missing_ok=True)
            self._open(folders)

    def _open(self, folders: Mapping[Kind, AbstractSet[str]]) -> None:
        """What is gone is dropped: the epoch is new, so whoever asks begins from nothing."""
        with self._writing, closing(self._connect()) as connection:
            connection.execute("PRAGMA journal_mode = WAL")
            connection.executescript(_SCHEMA)
            known = {user for (user,) in connection.execute("SELECT user FROM mailbox")}
            gone = known.difference(*folders.values())
            connection.execute("BEGIN IMMEDIATE")
            connection.executemany("DELETE FROM mailbox WHERE user = ?", ((user,) for user in gone))
            for kind, there in folders.items():
                noted = ((user, user in there) for user in there | known - gone)
                connection.executemany(_SET_FOLDER, (_folder(user, kind, kept=kept) for user, kept in noted))
            if (named := connection.execute("SELECT name FROM volume").fetchone()) is None:
                named = (secrets.token_hex(8),)
                connection.execute("INSERT INTO volume VALUES (?)", named)
            connection.execute("COMMIT")
            self.volume = str(named[0])

    def note(self, kind: Kind, folders: Mapping[str, bool]) -> None:
        """Record which folders exist.

        Args:
            kind: What is kept in the folders; one flag.
            folders: For user names whether the folder exists; other names are unchanged.

        Raises:
            sqlite3.Error: The file cannot be written, or is locked for 10 s.
        """
        with self._writing, closing(self._connect()) as connection:
            connection.execute("BEGIN IMMEDIATE")
            rows = (_folder(user, kind, kept=there) for user, there in folders.items())
            connection.executemany(_SET_FOLDER, rows)
            connection.execute("COMMIT")

    def forget(self, user: str, kind: Kind) -> None:
        """Record that mail was erased; usage becomes None until Dovecot counts again.

        Args:
            user: User name, or name of a public mailbox.
            kind: What was erased; one flag.

        Raises:
            sqlite3.Error: The file cannot be written, or is locked for 10 s.
        """
        erased = "UPDATE mailbox SET bytes = NULL, messages = NULL, folder = folder & ~? WHERE user = ?"
        with self._writing, closing(self._connect()) as connection:
            connection.execute(erased, (int(kind), user))

    def changes(self, since: int, limit: int = PAGE) -> Page:
        """Return the changes after a number, oldest first.

        Args:
            since: Number of the last change that is known; 0 for all mailboxes.
            limit: Mailboxes at most.

        Raises:
            sqlite3.Error: The file cannot be read.
        """
        query = "SELECT user, bytes, messages, folder, number FROM mailbox WHERE number > ? ORDER BY number LIMIT ?"
        with closing(self._connect()) as connection:
            rows = connection.execute(query, (since, limit)).fetchall()
        entries = tuple(Entry(user, size, count, Kind(folder)) for user, size, count, folder, _ in rows)
        return Page(entries, rows[-1][-1] if rows else since, len(rows) == limit)

    def folders(self, kind: Kind) -> frozenset[str]:
        """Return the user names whose folders of a kind exist, as far as the ledger knows.

        Raises:
            sqlite3.Error: The file cannot be read.
        """
        with closing(self._connect()) as connection:
            found = connection.execute("SELECT user FROM mailbox WHERE folder & ?", (int(kind),))
            return frozenset(user for (user,) in found)

    def _connect(self) -> sqlite3.Connection:
        return sqlite3.connect(self._path, timeout=_SECONDS, isolation_level=None)


def _folder(user: str, kind: Kind, *, kept: bool) -> dict[str, str | int]:
    return {"user": user, "kind": int(kind), "kept": int(kind) if kept else 0}


def listed(directory: Path, user: str) -> bool:
    """Return whether a user is in the directory that Dovecot looks up.

    Args:
        directory: The SQLite file of the tables.
        user: User name.

    Raises:
        OSError: There is no directory yet, or it cannot be read.
    """
    return bool(_look_up(directory, "SELECT 1 FROM users WHERE user = ?", user))


def address(directory: Path, user: str) -> str:
    """Return the address of a user; the user name when he has none, or is not in the directory.

    Args:
        directory: The SQLite file of the tables.
        user: User name.

    Raises:
        OSError: There is no directory yet, or it cannot be read.
    """
    found = _look_up(directory, "SELECT email FROM users WHERE user = ?", user)
    return str(found[0]) if found else user


def _look_up(directory: Path, query: str, user: str) -> tuple[object, ...] | None:
    if not directory.is_file():
        raise FileNotFoundError("there is no directory yet")
    try:
        with closing(sqlite3.connect(directory, timeout=_SECONDS)) as connection:
            found: tuple[object, ...] | None = connection.execute(query, (user,)).fetchone()
            return found
    except sqlite3.Error as error:
        raise OSError(f"the directory cannot be read: {error}") from error
