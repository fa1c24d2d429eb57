"""Which Mailbox object owns each mailbox, by uid: the next owner of a name must not run scripts of the former one.

Mail stays for the next owner of the name. Scripts stay too, renamed to `former-owner-NAME`, but none is active, so
nothing is redirected. Any ManageSieve client, or `doveadm sieve activate`, activates one again.
"""

from __future__ import annotations

import logging
import os
import sqlite3
from contextlib import closing, suppress
from typing import TYPE_CHECKING

from postboat.agent.mailstore.folders import valid

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

log = logging.getLogger(__name__)

FORMER = "former-owner-"
ACTIVE = ".dovecot.sieve"
_FOLDER, _SUFFIX, _COMPILED = "sieve", ".sieve", ".svbin"
_LONGEST = 200  # bytes of a file's name that are kept; most file systems allow 255
_SECONDS = 10


class Owners:
    """The owners of the mailboxes below a folder, in a SQLite file on the same volume.

    Args:
        root: Root of the mail volume.
    """

    def __init__(self, root: Path) -> None:
        self._root = root
        self._path = root / ".postboat" / "owners.sqlite"

    def settle(self, uids: Mapping[str, str]) -> frozenset[str]:
        """Record the owners of mailboxes, and deactivate the scripts of mailboxes that have changed hands.

        A mailbox without a known owner only gets one. What fails is logged, and tried again with the next call that has
        the user.

        Args:
            uids: The uid of the Mailbox object by user name; "" means unknown and is ignored.

        Returns:
            The users whose mailbox had another owner before.
        """
        try:
            with closing(self._connect()) as connection:
                known = dict(connection.execute("SELECT user, uid FROM owner"))
                told = {user: uid for user, uid in uids.items() if uid and valid(user)}
                passed_on = {user for user, uid in told.items() if known.get(user, uid) != uid}
                failed = {user for user in passed_on if not self._set_aside(user)}
                noted = [(u, told[u]) for u in told.keys() - failed if known.get(u) != told[u]]
                connection.execute("BEGIN IMMEDIATE")
                connection.executemany("INSERT OR REPLACE INTO owner VALUES (?, ?)", noted)
                connection.execute("COMMIT")
        except (OSError, sqlite3.Error):
            log.exception("recording the owners of mailboxes failed, retrying with the next change")
            return frozenset()
        return frozenset(passed_on)

    def _connect(self) -> sqlite3.Connection:
        self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        connection = sqlite3.connect(self._path, timeout=_SECONDS, isolation_level=None)
        connection.execute("CREATE TABLE IF NOT EXISTS owner (user TEXT PRIMARY KEY, uid TEXT NOT NULL) WITHOUT ROWID")
        return connection

    def _set_aside(self, user: str) -> bool:
        try:
            names = set_aside(self._root / user)
        except OSError:
            log.exception("deactivating the Sieve scripts of the former owner of mailbox %s failed", user)
            return False
        if names:
            log.warning("mailbox %s has a new owner; deactivated Sieve scripts: %s", user, ", ".join(names))
        return True


def deactivate(home: Path) -> str:
    """Deactivate the active Sieve script of a user; it is kept under a name.

    Args:
        home: Home of the user on the mail volume.

    Returns:
        The name of the script; "" when none was active.

    Raises:
        OSError: The volume cannot be written.
    """
    active = home / ACTIVE
    if active.is_symlink():
        name = active.readlink().name.removesuffix(_SUFFIX)
        active.unlink()
        return name
    if not active.is_file():
        return ""
    folder = home / _FOLDER
    folder.mkdir(mode=0o700, exist_ok=True)
    target = _free(folder, "script")
    active.rename(target)
    return target.name.removesuffix(_SUFFIX)


def set_aside(home: Path) -> tuple[str, ...]:
    """Deactivate all Sieve scripts of a user and rename them to `former-owner-NAME`.

    The active script is the first, so that a failure leaves none active.

    Args:
        home: Home of the user on the mail volume.

    Returns:
        The new names; those that were renamed before are left out.

    Raises:
        OSError: The volume cannot be written.
    """
    deactivate(home)
    folder = home / _FOLDER
    found = sorted(folder.glob(f"*{_SUFFIX}")) if folder.is_dir() else []
    names = []
    for script in found:
        if script.name.startswith(FORMER):
            continue
        with suppress(FileNotFoundError):
            script.with_suffix(_COMPILED).unlink()
        target = _free(folder, FORMER + script.name.removesuffix(_SUFFIX))
        script.rename(target)
        names.append(target.name.removesuffix(_SUFFIX))
    return tuple(names)


def _free(folder: Path, name: str) -> Path:
    """Return a free path for a script; a long name is cut between characters."""
    short = name.encode()[:_LONGEST].decode(errors="ignore")
    paths = (folder / f"{short}{number}{_SUFFIX}" for number in ("", *(f"-{n}" for n in range(2, 1000))))
    return next(path for path in paths if not os.path.lexists(path))
