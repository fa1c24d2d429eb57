"""Starting what a store keeps beside Dovecot: the ledger of its mailboxes, the eraser, and the operator's port.

A full or damaged volume must not keep Dovecot from serving mail, so what fails here is tried again beside it.
"""

from __future__ import annotations

import logging
import sqlite3
import threading
import time
from typing import TYPE_CHECKING, Protocol

from postboat.agent.mailstore.endpoint import Endpoint
from postboat.agent.mailstore.eraser import Eraser
from postboat.agent.mailstore.folders import Folders, present, public, public_homes
from postboat.agent.mailstore.ledger import Kind, Ledger

if TYPE_CHECKING:
    from pathlib import Path

    from postboat.agent.children import Children

log = logging.getLogger(__name__)

_AGAIN = 20.0


class Places(Protocol):
    """What is needed of the agent's settings."""

    @property
    def state(self) -> Path:
        """The folder of the tables."""

    @property
    def run(self) -> Path:
        """The folder with the files in force."""

    @property
    def operator_port(self) -> int:
        """The port for the operator."""


def keep(mail: Path, places: Places, children: Children) -> None:
    """Make the ledger, which has to be there before Dovecot is, and start everything that lives by it."""
    if not _begin(mail, places, children):
        threading.Thread(target=_begin_later, args=(mail, places, children), name="keeping", daemon=True).start()


def _begin_later(mail: Path, places: Places, children: Children) -> None:
    while True:
        time.sleep(_AGAIN)
        if _begin(mail, places, children):
            return


def _begin(mail: Path, places: Places, children: Children) -> bool:
    ledger = Ledger(mail / ".postboat" / "usage.sqlite")
    eraser = Eraser(mail, places.state / "tables" / "directory.sqlite", ledger, children)
    roots = {Kind.PERSONAL: mail, Kind.PUBLIC: public_homes(mail)}
    try:
        for folder in (public(mail), public_homes(mail)):
            folder.mkdir(parents=True, exist_ok=True)
        ledger.open({kind: present(root) for kind, root in roots.items()})
        eraser.start()
        endpoint = Endpoint(places.operator_port, places.run / "active", ledger, eraser)
    except (OSError, sqlite3.Error):
        log.exception("opening the ledger of mailboxes failed, retrying")
        return False
    for kind, root in roots.items():
        Folders(root, kind, ledger).start()
    endpoint.start()
    return True
