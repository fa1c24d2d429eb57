"""Removes the rights that others gave to a user whose mail was erased, so that the next user of that name has none.

The rights are in ACL files of Dovecot beside the mail. A file is replaced as a whole, under the lock that Dovecot uses.
"""

from __future__ import annotations

import os
import re
import time
from contextlib import suppress
from typing import TYPE_CHECKING

from postboat.agent.mailstore.folders import public, valid

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_FILE = "dovecot-acl"
_MAILDIR = frozenset({"cur", "new", "tmp"})
_STALE = 120.0
"""Seconds after which Dovecot takes a lock for forgotten."""


def revoke(root: Path, user: str) -> None:
    """Remove all rights of a user in folders of this store.

    Args:
        root: Root of the mail volume.
        user: User name, with its domain if it is bound to one.

    Raises:
        OSError: A file is locked or cannot be written; the call has to be repeated.
    """
    entry = re.compile(rb"-?user=" + re.escape(user.encode()) + rb"(?=\s|$)")
    for folder in (*_shared(root, user), *_public(root)):
        path = folder / _FILE
        with suppress(FileNotFoundError):
            if any(map(entry.match, path.read_bytes().splitlines())):
                _replace(path, entry)


def _shared(root: Path, user: str) -> Iterator[Path]:
    """Yield the folders of all owners who share a folder with the user.

    Dovecot records them in `.shares`: for each a line with both names, and one with a value.
    """
    known = f"shared/shared-boxes/user/{user}/"
    try:
        keys = (root / ".shares").read_text(errors="replace").splitlines()[::2]
    except FileNotFoundError:
        return
    for owner in {key.removeprefix(known) for key in keys if key.startswith(known)}:
        maildir = root / owner / "Maildir"
        if valid(owner) and maildir.is_dir():
            yield maildir
            yield from (folder for folder in maildir.iterdir() if folder.name.startswith(".") and folder.is_dir())


def _public(root: Path) -> Iterator[Path]:
    for folder, below, files in os.walk(public(root)):
        below[:] = sorted(set(below) - _MAILDIR)
        if _FILE in files:
            yield public(root) / folder


def _replace(path: Path, entry: re.Pattern[bytes]) -> None:
    """Replace a file by one without the lines that match.

    Raises:
        FileExistsError: The file is locked.
        OSError: It cannot be written.
    """
    lock = path.with_name(f"{path.name}.lock")
    with suppress(FileNotFoundError):
        if time.time() - lock.stat().st_mtime > _STALE:
            lock.unlink()
    with lock.open("xb") as file:
        try:
            os.fchmod(file.fileno(), path.stat().st_mode & 0o777)
            lines = path.read_bytes().splitlines(keepends=True)
            file.writelines(line for line in lines if not entry.match(line))
            file.flush()
            os.fsync(file.fileno())
            lock.replace(path)
        except OSError:
            lock.unlink(missing_ok=True)
            raise
