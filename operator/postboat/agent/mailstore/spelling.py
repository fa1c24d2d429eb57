"""Renames mail folders whose names Dovecot spells differently since dots are allowed in names.

These are folders with a tilde at the beginning of a lower level. They are renamed once, before Dovecot starts; their
content stays, UIDVALIDITY included.
"""

from __future__ import annotations

import logging
import re
from typing import TYPE_CHECKING

from postboat.agent.mailstore.folders import present

if TYPE_CHECKING:
    from pathlib import Path

log = logging.getLogger(__name__)

_TILDE = re.compile(r"(?<=[^/]\.)~")
_ESCAPED = "\x017e"  # mailbox_list_storage_escape_char of the store, and the letter in hexadecimal digits


def respell(mail: Path) -> None:
    """Rename the folders of all users on a volume, unless that was done before. What fails is tried at the next start.

    Args:
        mail: Root of the mail volume.
    """
    done = mail / ".postboat" / "folder-names"
    if done.exists():
        return
    try:
        for user in present(mail):
            _respell_folders(mail / user / "Maildir")
        done.parent.mkdir(parents=True, exist_ok=True)
        done.touch()
    except OSError:
        log.exception("renaming folders failed: their users do not see them")


def _respell_folders(maildir: Path) -> None:
    if not maildir.is_dir():
        return
    for folder in list(maildir.iterdir()):
        spelled = folder.with_name(_TILDE.sub(_ESCAPED, folder.name))
        if folder.name.startswith(".") and spelled != folder and not spelled.exists():
            folder.rename(spelled)
