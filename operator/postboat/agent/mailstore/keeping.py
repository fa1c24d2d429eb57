"""Starts what a store runs beside Dovecot: the ledger of its mailboxes, the eraser, and the operator's port.

A full or damaged volume must not keep Dovecot from serving mail, so what fails here is repeated in the background.
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
    """The part of the agent's settings that is needed here."""

    @property
    def state(self) -> Path:
        """Return the folder of the tables."""

    @property
    def run(self) -> Path:
        """Return the folder with the active configuration."""

    @property
    def operator_port(self) -> int:
        """Return the TCP port for the operator."""


def keep(mail: Path, places: Places, children: Children) -> None:
    """Create the ledger, which must exist before Dovecot starts, and start all that uses it.

    What fails is tried again every 20 s in a thread.

    Args:
        mail: Root of the mail volume.
        places: Folders and port.
    """
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
