"""Ends the sessions of users who were removed from the directory.

Dovecot looks a user up at the start of a session only. A user who is in the directory again keeps his sessions.
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
"""Seconds before sessions are looked for again."""
LOOKS = 2
"""How often the sessions of a user are looked for, since one that is just being opened is not listed at first."""
_SECONDS = 10.0
_NOBODY = 68
"""The exit status of `doveadm kick` when there is no session of the user."""


class Dismissal:
    """Ends the sessions of removed users.

    Args:
        directory: The SQLite file in which Dovecot looks up users.
    """

    def __init__(self, directory: Path, children: Children) -> None:
        self._directory = directory
        self._children = children
        self._lock = threading.Lock()
        self._looks: dict[str, int] = {}
        self._replaced: set[str] = set()
        self._woken = threading.Event()

    def start(self) -> None:
        """Start the thread; it ends with the process."""
        threading.Thread(target=self._run, name="dismissal", daemon=True).start()

    def dismiss(self, users: Collection[str], *, anyway: bool = False) -> None:
        """Queue users whose sessions have to end; the call does not block.

        Args:
            users: User names that were removed from the directory.
            anyway: End the sessions even if the directory has the user, since another person has that name now.
        """
        with self._lock:
            self._looks.update(dict.fromkeys(users, LOOKS))
            if anyway:
                self._replaced.update(users)
        self._woken.set()

    def look(self) -> bool:
        """Look once for the sessions of all queued users; it blocks up to 10 s for each.

        Returns:
            Whether users are left to look for again.
        """
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
