"""Erases the mail of one mailbox: a rename hides it at once, then it is deleted in the background, even after a kill.

Only mail is erased whose user name is valid and not in the directory, and nothing outside of the volume.
"""

from __future__ import annotations

import contextlib
import logging
import os
import re
import shutil
import threading
import time
from enum import Enum
from typing import TYPE_CHECKING

from postboat.agent.mailstore.folders import public, public_homes, seen, valid
from postboat.agent.mailstore.grants import revoke
from postboat.agent.mailstore.ledger import Kind, listed

if TYPE_CHECKING:
    from pathlib import Path

    from postboat.agent.children import Children
    from postboat.agent.mailstore.ledger import Ledger

log = logging.getLogger(__name__)

_AGAIN = 5.0
# No user name has such an end, since a domain has a dot: nobody's trash can be taken for somebody else's.
_MARKS = {Kind.PERSONAL: "@", Kind.PUBLIC: "@public@"}


class Answer(Enum):
    """The result of an order to erase.

    DONE: no mail of that name is left. ERASING: deletion is in progress. LIVING: the directory has the user. INVALID:
    the name is no user name.
    """

    DONE = "done"
    ERASING = "erasing"
    LIVING = "living"
    INVALID = "invalid"


class Eraser:
    """Erases mail on one volume.

    Args:
        root: Root of the mail volume.
        directory: The SQLite file in which Dovecot looks up users.
    """

    def __init__(self, root: Path, directory: Path, ledger: Ledger, children: Children) -> None:
        self._roots = {Kind.PERSONAL: (seen(root), root), Kind.PUBLIC: (public(root), public_homes(root))}
        self._root, self._directory, self._ledger, self._children = root, directory, ledger, children
        self._trash = root / ".postboat" / "trash"
        self._ordering = threading.Lock()
        self._due = threading.Event()

    def start(self) -> None:
        """Create the trash, and start the thread that deletes its content, also that of earlier runs.

        The thread ends with the process.

        Raises:
            OSError: The trash cannot be created.
        """
        self._trash.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._due.set()
        threading.Thread(target=self._work, name="eraser", daemon=True).start()

    def erase(self, user: str, kind: Kind) -> Answer:
        """Erase the mail of a user or of a public mailbox; to repeat the call is harmless and returns the progress.

        It ends sessions of the user first, which blocks for up to 10 s.

        Args:
            user: User name, or name of a public mailbox.
            kind: Which of the two; exactly one flag.

        Raises:
            OSError: The directory cannot be read, or the volume cannot be written.
            sqlite3.Error: The ledger cannot be written.
        """
        if not valid(user):
            return Answer.INVALID
        with self._ordering:
            if listed(self._directory, user):
                return Answer.LIVING
            if self._there(user, kind):
                self._end_sessions(user)
                if listed(self._directory, user):  # that took time, in which the name may have been given anew
                    return Answer.LIVING
                self._put_away(user, kind)
            elif not self._waiting(user, kind):
                self._ledger.forget(user, kind)
                return Answer.DONE
        self._due.set()
        return Answer.ERASING

    def _there(self, user: str, kind: Kind) -> bool:
        """Return whether there is anything to erase; a public mailbox without a home was made by a client."""
        if kind is Kind.PUBLIC:
            return os.path.lexists(public_homes(self._root) / user)
        return any(os.path.lexists(root / user) for root in self._roots[kind])

    def _end_sessions(self, user: str) -> None:
        """End the sessions of the user, who cannot open a new one."""
        outcome = self._children.run(("doveadm", "kick", user), seconds=10)
        log.info("kicked the sessions before erasing the mail: exit status %s", outcome.status)

    def _put_away(self, user: str, kind: Kind) -> None:
        """Move the folder into the trash."""
        for root in self._roots[kind]:
            with contextlib.suppress(FileNotFoundError):
                (root / user).rename(self._trash / f"{user}{_MARKS[kind]}{time.time_ns():x}")
                _sync(root)
        _sync(self._trash)
        self._ledger.forget(user, kind)

    def _waiting(self, user: str, kind: Kind) -> bool:
        marked = re.compile(f"{re.escape(user)}{_MARKS[kind]}[0-9a-f]+")
        return any(marked.fullmatch(entry) for entry in os.listdir(self._trash))  # noqa: PTH208  names only

    def _work(self) -> None:
        while True:
            self._due.wait()
            self._due.clear()
            if not self._empty():
                time.sleep(_AGAIN)
                self._due.set()

    def _empty(self) -> bool:
        """Delete the content of the trash; return False when something could not be deleted."""
        emptied = True
        try:
            for path in sorted(self._trash.iterdir()):
                try:
                    self._forget(path.name)
                    _delete(path)
                except OSError as error:
                    emptied = False
                    log.error("erasing mail failed, retrying: %s", error)  # noqa: TRY400  it says it all
        except OSError:
            log.exception("emptying the trash failed, retrying")
            return False
        return emptied

    def _forget(self, entry: str) -> None:
        """Revoke the rights of a user whose folder is in the trash, unless the name is in use again."""
        user, mark, _ = entry.rpartition(_MARKS[Kind.PERSONAL])
        if mark and valid(user) and not listed(self._directory, user):
            revoke(self._root, user)


def _delete(path: Path) -> None:
    """Delete a folder with everything in it; a link is not followed."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def _sync(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
