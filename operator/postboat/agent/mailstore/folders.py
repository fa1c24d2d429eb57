"""Which mailboxes have a folder on the volume: looked up whole at the start and now and then, followed by inotify.

A name that no user can have (a trash, lost+found, a file) is nobody's folder.
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
    """Tell whether a name is that of a user, as the operator has them: a local part or an address, never a path."""
    return len(user) <= _LONGEST and len(user.partition("@")[0]) <= _LONGEST_LOCAL and _USER.fullmatch(user) is not None


def public(mail: Path) -> Path:
    """Give the folder in which the public mailboxes of a volume lie."""
    return mail / ".public" / "mail"


def public_homes(mail: Path) -> Path:
    """Give the folder with a home for each public mailbox that is or was declared; those of clients have none."""
    return mail / ".public" / "home"


def seen(mail: Path) -> Path:
    """Give the folder with what each person has read in public mailboxes."""
    return mail / ".public" / "seen"


def present(root: Path) -> frozenset[str]:
    """Give the users that have a folder."""
    with os.scandir(root) as entries:
        return frozenset(entry.name for entry in entries if valid(entry.name) and entry.is_dir(follow_symlinks=False))


class Folders:
    """Keeps the ledger's word about the folders of one kind true; all of them lie in `root`."""

    def __init__(self, root: Path, kind: Kind, ledger: Ledger) -> None:
        self._root, self._kind, self._ledger = root, kind, ledger

    def start(self) -> None:
        """Follow the volume in a thread that ends with the process."""
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
        """Compare everything."""
        there, known = present(self._root), self._ledger.folders(self._kind)
        if there != known:
            self._ledger.note(self._kind, {user: user in there for user in there ^ known})

    def look_at(self, names: Iterable[str]) -> None:
        """Look at single names again."""
        users = [name for name in names if valid(name)]
        if users:
            self._ledger.note(self._kind, {user: self._there(user) for user in users})

    def _there(self, user: str) -> bool:
        try:
            return stat.S_ISDIR((self._root / user).lstat().st_mode)
        except FileNotFoundError:
            return False
