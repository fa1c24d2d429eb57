"""Rights in public mailboxes, as global ACL files of Dovecot, and the folders that they are about.

Dovecot reads such a file at each access, in open sessions too, and it has precedence over what clients write: what is
declared applies whatever a client does. Files of clients are never written.
"""

from __future__ import annotations

import contextlib
import logging
import os
import sys
import time
from typing import TYPE_CHECKING

from postboat.agent.mailstore.folders import public, public_homes, valid

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from pathlib import Path

    from postboat.agent.manifest import Table
    from postboat.agent.tables import Delta, Row

log = logging.getLogger(__name__)

_MAILDIR = ("cur", "new", "tmp")
_GIVEN = "dovecot-acl"
# Dovecot's own files beside the mailboxes: no mailbox that a client makes may take their place.
_TAKEN = (_GIVEN, "dovecot-acl-list", "dovecot-uidvalidity", "dovecot.mailbox.log")
# Those who may make mailboxes have all rights at the root, for Dovecot copies these, but may use one of them only; and
# rights at the root are no rights in mailboxes that say nothing about somebody. An entry that takes nothing away does.
_BEFORE_ALL = "Public -authenticated lrwstipexa\nPublic/* -anyone\n"
# An owner of the mailbox is visited by people whose mail is elsewhere; their empty inboxes here are nobody's business.
_VISITORS_OWN = "".join(f"{mailbox} anyone\n" for mailbox in ("INBOX", ".own", ".own/*"))
_MOMENT = 60.0  # seconds within which a mailbox that is being made gets its rights


class AclDriver:
    """The files `public.acl` and `visitors.acl`, about the public mailboxes of one volume.

    A row is a mailbox and its owners, `IDENTIFIER:RIGHTS:RIGHTS_BELOW` separated by commas, with rights as in RFC 4314.
    Visitors from other stores see public mailboxes without the prefix `Public/`. Mail that is kept although its mailbox
    is gone is closed to everybody; its home distinguishes it from what clients made, since each declared mailbox has a
    home and no client can make or remove one.

    Args:
        folder: Where the files are written.
        mail: Root of the mail volume.
        keeps_mail: Whether this store has the public mailboxes, so that folders are created in it.
    """

    limit = sys.maxsize
    replaces = False

    def __init__(self, folder: Path, mail: Path, *, keeps_mail: bool) -> None:
        self._folder = folder
        self._mail, self._homes = public(mail), public_homes(mail)
        self._keeps_mail = keeps_mail
        self._owners: dict[str, str] = {}

    def rebuild(self, tables: Mapping[Table, Iterable[Row]]) -> None:
        """Write the rights of all mailboxes.

        Args:
            tables: Rows of two columns: name of the mailbox, and its owners.

        Raises:
            OSError: The files cannot be written.
        """
        self._write({row[0]: row[1] for rows in tables.values() for row in rows})

    def update(self, deltas: Mapping[Table, Delta]) -> bool:
        """Write the rights of all mailboxes; the files are always written as a whole.

        Args:
            deltas: Changed rows of two columns: name of the mailbox, and its owners.

        Returns:
            False: readers need not open the tables again.

        Raises:
            OSError: The files cannot be written.
        """
        owners = dict(self._owners)
        for delta in deltas.values():
            for mailbox in delta.removed:
                owners.pop(mailbox, None)
            owners |= {row[0]: row[1] for row in delta.changed.values()}
        self._write(owners)
        return False

    def _write(self, owners: dict[str, str]) -> None:
        if self._keeps_mail:
            self._prepare(owners)
        kept = self._homes.iterdir() if self._homes.is_dir() else ()
        closed = sorted(path.name for path in kept if path.name not in owners and path.is_dir())
        self._folder.mkdir(parents=True, exist_ok=True)
        for name, prefix, more in (("public.acl", "Public/", _BEFORE_ALL), ("visitors.acl", "", _VISITORS_OWN)):
            lines = (more, *_rights(owners, prefix), *_closed(closed, prefix))
            _replace(self._folder / name, "".join(lines))
        self._owners = owners

    def _prepare(self, owners: Iterable[str]) -> None:
        """Create what declared mailboxes need, and treat unreachable mail like that of a deleted mailbox."""
        with _going_on():
            _make(self._mail, _TAKEN)
        for mailbox in owners:
            with _going_on():
                (self._homes / mailbox).mkdir(parents=True, exist_ok=True)
                _make(self._mail / mailbox, (_GIVEN,))
        for folder in self._mail.iterdir() if self._mail.is_dir() else ():
            if valid(folder.name) and folder.name not in _MAILDIR and _unreachable(folder):
                with _going_on():
                    (self._homes / folder.name).mkdir(parents=True, exist_ok=True)


@contextlib.contextmanager
def _going_on() -> Iterator[None]:
    """Log an OSError and continue: a full volume or a file in the way must not block other changes."""
    try:
        yield
    except OSError:
        log.exception("making the folders of a public mailbox failed")


def _make(folder: Path, files: Iterable[str]) -> None:
    """Create a Maildir, with empty files where Dovecot has none yet."""
    for part in _MAILDIR:
        (folder / part).mkdir(parents=True, exist_ok=True)
    for name in files:
        if not (folder / name).exists():
            (folder / name).touch()


def _unreachable(folder: Path) -> bool:
    """Return whether a folder holds mail but grants no rights: it was moved here from below a mailbox with owners."""
    given = folder / _GIVEN
    try:
        if not (folder / "cur").is_dir() or (given.is_file() and given.stat().st_size):
            return False
        return time.time() - folder.stat().st_ctime > _MOMENT
    except FileNotFoundError:
        return False  # a client has just removed it


def _rights(owners: Mapping[str, str], prefix: str) -> Iterable[str]:
    for mailbox in sorted(owners):
        # Whoever made it or was given the right may not delete it any more, nor rename it.
        yield f"{prefix}{mailbox} -authenticated x\n"
        for owner in filter(None, owners[mailbox].split(",")):
            identifier, rights, below = owner.split(":")
            yield f"{prefix}{mailbox} {identifier} {rights}\n"
            yield f"{prefix}{mailbox}/* {identifier} {below}\n"


def _closed(mailboxes: Iterable[str], prefix: str) -> Iterable[str]:
    for mailbox in mailboxes:
        name = f"{prefix}{mailbox}".replace("\\", "\\\\").replace('"', '\\"')
        yield f'"{name}" anyone\n'
        yield f'"{name}/*" anyone\n'


def _replace(path: Path, content: str) -> None:
    """Replace a file as a whole, with a modification time that differs by at least a second, as Dovecot compares."""
    new = path.with_name(f"{path.name}.new")
    new.write_text(content)
    if path.exists():
        later = max(int(new.stat().st_mtime), int(path.stat().st_mtime) + 1)
        os.utime(new, (later, later))
    new.replace(path)
