"""Ending the sessions of users whom the directory has no more: Dovecot asks for a user when a session begins only.

Whoever is there again by then keeps his sessions.
"""

from __future__ import annotations

import logging
import threading
from typing import TYPE_CHECKING

from postboat.agent.mailstore.ledger import listed

if TYPE_CHECKING:
    from collections.abc import Collection
    from pathlib import Path

    from postboat.agent.children import Children

log = logging.getLogger(__name__)

AGAIN = 5.0
LOOKS = 2
"""How often each is looked for: a session that was just being opened shows only later."""
_SECONDS = 10.0
_NOBODY = 68
"""The exit status of `doveadm kick` when there is no session of the user."""


class Dismissal:
    """Sees off who has left; `directory` is the file that Dovecot looks users up in."""

    def __init__(self, directory: Path, children: Children) -> None:
        self._directory = directory
        self._children = children
        self._lock = threading.Lock()
        self._looks: dict[str, int] = {}
        self._replaced: set[str] = set()
        self._woken = threading.Event()

    def start(self) -> None:
        """Work in a thread that ends with the process."""
        threading.Thread(target=self._run, name="dismissal", daemon=True).start()

    def dismiss(self, users: Collection[str], *, anyway: bool = False) -> None:
        """Take users who have left the directory, or in whose place somebody else is (`anyway`); it returns at once."""
        with self._lock:
            self._looks.update(dict.fromkeys(users, LOOKS))
            if anyway:
                self._replaced.update(users)
        self._woken.set()

    def look(self) -> bool:
        """Look for the sessions of all who have left; tell whether there is reason to look again."""
        with self._lock:
            users = tuple(self._looks)
        failed = ""
        for user in users:
            try:
                failed = self._see_off(user) or failed
            except OSError as error:
                failed = str(error)
        if failed:
            log.warning("kicking sessions of removed users failed, retrying: %s", failed)
        with self._lock:
            return bool(self._looks)

    def _see_off(self, user: str) -> str:
        """End the sessions of one user; the result is why that failed."""
        if user not in self._replaced and listed(self._directory, user):
            self._settle(user, LOOKS)
            return ""
        outcome = self._children.run(("doveadm", "kick", user), seconds=_SECONDS)
        if outcome.status not in {0, _NOBODY}:
            return f"doveadm ended with {outcome.status}: {outcome.output[-500:]}"
        self._settle(user, 1)
        return ""

    def _settle(self, user: str, looks: int) -> None:
        with self._lock:
            self._looks[user] -= looks
            if self._looks[user] <= 0:
                del self._looks[user]
                self._replaced.discard(user)

    def _run(self) -> None:
        again = False
        while True:
            self._woken.wait(AGAIN if again else None)
            self._woken.clear()
            try:
                again = self.look()
            except Exception:
                log.exception("looking for sessions of removed users failed")
                again = True
