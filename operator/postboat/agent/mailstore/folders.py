"""Which mailboxes have a folder on the volume: read at the start and every 10 minutes, followed by inotify.

Entries whose name no user can have (a trash, lost+found, a file) are ignored.
"""

from __future__ import annotations

import logging
import os
import re
import sqlite3
import stat
import threading
import time
from typing import TYPE_CHECKING

from postboat.agent.inotify import Watch

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from postboat.agent.mailstore.ledger import Kind, Ledger

log = logging.getLogger(__name__)

_LABEL = r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?"
_USER = re.compile(rf"[a-z0-9_](?:[a-z0-9_-]|\.[a-z0-9_-])*(?:@(?:{_LABEL}\.)+{_LABEL})?", re.ASCII)
_LONGEST = 200
_LONGEST_LOCAL = 64
_LOOK_ANYWAY = 600.0  # seconds; inotify tells at once, this is for what it cannot tell
_SETTLE = 0.2


def valid(user: str) -> bool:
    """Return whether a name is a user name: a local part, or `local@domain`, in lower case.

    It is never a path: it has no slash and begins with no dot. The form is that of `model.names.mailbox`.

    Args:
        user: Any text; more than 200 characters, or 64 in the local part, are no user name.
    """
    return len(user) <= _LONGEST and len(user.partition("@")[0]) <= _LONGEST_LOCAL and _USER.fullmatch(user) is not None


def public(mail: Path) -> Path:
    """Return the folder with the public mailboxes of a volume.

    Args:
        mail: Root of the mail volume.
    """
    return mail / ".public" / "mail"


def public_homes(mail: Path) -> Path:
    """Return the folder with a home for each public mailbox that is or was declared; those that clients make have none.

    Args:
        mail: Root of the mail volume.
    """
    return mail / ".public" / "home"


def seen(mail: Path) -> Path:
    r"""Return the folder with the \Seen flags of each user in public mailboxes.

    Args:
        mail: Root of the mail volume.
    """
    return mail / ".public" / "seen"


def present(root: Path) -> frozenset[str]:
    """Return the names of the mailboxes that have a folder.

    Raises:
        OSError: The folder cannot be read.
    """
    with os.scandir(root) as entries:
        return frozenset(entry.name for entry in entries if valid(entry.name) and entry.is_dir(follow_symlinks=False))


class Folders:
    """Keeps the ledger up to date with the folders of one kind.

    Args:
        root: The folder that contains them.
    """

    def __init__(self, root: Path, kind: Kind, ledger: Ledger) -> None:
        self._root, self._kind, self._ledger = root, kind, ledger

    def start(self) -> None:
        """Start the thread that follows the volume; it ends with the process."""
        threading.Thread(target=self._follow, name="folders", daemon=True).start()

    def _follow(self) -> None:
        watch = Watch(self._root)
        due = 0.0
        while True:
            try:
                if time.monotonic() >= due:
                    self.look()
                    due = time.monotonic() + _LOOK_ANYWAY
                names = watch.names(due - time.monotonic())
                if names is None:
                    due = 0.0
                elif names:
                    time.sleep(_SETTLE)  # many come at once, and each note is a transaction
                    self.look_at(names | (watch.names(0) or frozenset()))
            except (OSError, sqlite3.Error):
                log.exception("scanning the mail folders failed")
                time.sleep(5)
                due = 0.0

    def look(self) -> None:
        """Compare all folders with the ledger.

        Raises:
            OSError: The folder cannot be read.
            sqlite3.Error: The ledger cannot be read or written.
        """
        there, known = present(self._root), self._ledger.folders(self._kind)
        if there != known:
            self._ledger.note(self._kind, {user: user in there for user in there ^ known})

    def look_at(self, names: Iterable[str]) -> None:
        """Update single folders in the ledger.

        Args:
            names: Entries of the folder; those that are no user name are ignored.

        Raises:
            OSError: The folder cannot be read.
            sqlite3.Error: The ledger cannot be written.
        """
        users = [name for name in names if valid(name)]
        if users:
            self._ledger.note(self._kind, {user: self._there(user) for user in users})

    def _there(self, user: str) -> bool:
        try:
            return stat.S_ISDIR((self._root / user).lstat().st_mode)
        except FileNotFoundError:
            return False
