"""What owners may do in public mailboxes, as the global ACL files of Dovecot, and the folders that these are about.

Dovecot looks at such a file at each access, in running sessions too, and puts it before all that clients have written:
what is declared holds whatever a client does. Nothing is ever written into a file that belongs to clients.
"""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

    from postboat.agent.manifest import Table
    from postboat.agent.tables import Delta, Row

_MAILDIR = ("cur", "new", "tmp")
# An owner of the mailbox is visited by people whose mail is elsewhere; their empty inboxes here are nobody's business.
_VISITORS_OWN = ("INBOX", ".own", ".own/*")


class AclDriver:
    """The files `public.acl` and `visitors.acl` in `folder`, about the mailboxes that lie in `mail`.

    A row is a mailbox and its owners: `IDENTIFIER:RIGHTS:RIGHTS BELOW`, separated by commas. Visitors see public
    mailboxes without the prefix. Mail that is kept though its mailbox is gone is closed to everybody.
    """

    limit = sys.maxsize
    replaces = False

    def __init__(self, folder: Path, mail: Path, *, keeps_mail: bool) -> None:
        self._folder = folder
        self._mail = mail
        self._keeps_mail = keeps_mail
        self._owners: dict[str, str] = {}

    def rebuild(self, tables: Mapping[Table, Iterable[Row]]) -> None:
        """Write the rights of all mailboxes."""
        self._write({row[0]: row[1] for rows in tables.values() for row in rows})

    def update(self, deltas: Mapping[Table, Delta]) -> None:
        """Write the rights of all mailboxes, for the file is read whole in any case."""
        owners = dict(self._owners)
        for delta in deltas.values():
            for mailbox in delta.removed:
                owners.pop(mailbox, None)
            owners |= {row[0]: row[1] for row in delta.changed.values()}
        self._write(owners)

    def _write(self, owners: dict[str, str]) -> None:
        if self._keeps_mail:
            for mailbox in owners:
                for part in _MAILDIR:
                    (self._mail / mailbox / part).mkdir(parents=True, exist_ok=True)
        kept = self._mail.iterdir() if self._mail.is_dir() else ()
        closed = sorted(path.name for path in kept if path.name not in owners and path.is_dir())
        self._folder.mkdir(parents=True, exist_ok=True)
        for name, prefix, more in (("public.acl", "Public/", ()), ("visitors.acl", "", _VISITORS_OWN)):
            lines = [*_rights(owners, prefix), *_closed(closed, prefix), *(f"{mailbox} anyone\n" for mailbox in more)]
            _replace(self._folder / name, "".join(lines))
        self._owners = owners


def _rights(owners: Mapping[str, str], prefix: str) -> Iterable[str]:
    for mailbox in sorted(owners):
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
    """Swap a file whole; its time differs from the last one's by seconds, which is all that Dovecot compares."""
    new = path.with_name(f"{path.name}.new")
    new.write_text(content)
    if path.exists():
        later = max(int(new.stat().st_mtime), int(path.stat().st_mtime) + 1)
        os.utime(new, (later, later))
    new.replace(path)
