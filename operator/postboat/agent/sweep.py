"""Deletes expired mail from Junk, also of users who never log in and get no mail.

Dovecot itself deletes only when a session ends or mail arrives. Each retention time has an interval of its own.
"""

from __future__ import annotations

import logging
import sqlite3
import threading
import time
from contextlib import closing
from typing import TYPE_CHECKING

from postboat.agent.mailstore.folders import public

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path

    from postboat.agent.children import Children

log = logging.getLogger(__name__)

BEAT = 10.0  # seconds between two looks at what is due
SHORTEST, LONGEST = 10.0, 6 * 3600.0  # seconds between two sweeps of the same span
FIRST = 300.0  # seconds after which a span is swept for the first time at the latest
_REST = 10.0  # a sweep that took a minute is followed by at least ten minutes without one
_HOURS = 6 * 3600.0


class Sweep:
    """Deletes expired mail from the Junk folders of one store.

    Args:
        table: The SQLite file with the retention of each user.
        mail: Root of the mail volume.
        clock: Returns seconds of a monotonic clock.
    """

    def __init__(
        self,
        table: Path,
        mail: Path,
        children: Children,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._table = table
        self._mail = mail
        self._children = children
        self._clock = clock
        self._due: dict[int, float] = {}

    def start(self) -> None:
        """Start the thread; it ends with the process."""
        threading.Thread(target=self._run, name="sweep", daemon=True).start()

    def look(self) -> None:
        """Delete what has expired for each retention time that is due.

        It blocks until doveadm has ended, up to 6 hours for each retention time.
        """
        spans = {int(span) for (span,) in self._rows("SELECT DISTINCT retention FROM users") if int(span) > 0}
        now = self._clock()
        self._due = {span: self._due.get(span, now + min(beat(span), FIRST)) for span in spans}
        for span in sorted(spans):
            if self._due[span] <= now:
                began = self._clock()
                self._expunge(span)
                ended = self._clock()
                self._due[span] = ended + max(beat(span), _REST * (ended - began))

    def _expunge(self, span: int) -> None:
        users = [user for (user,) in self._rows("SELECT user FROM users WHERE retention = ?", str(span))]
        here = [user for user in users if any(junk.is_dir() for junk in self._junk_of(user))]
        if not here:
            return
        outcome = self._children.run(
            ("nice", "-n", "19", "doveadm", "expunge", "-F", "-", "mailbox", "Junk", "savedbefore", f"{span}secs"),
            given="".join(f"{user}\n" for user in sorted(here)).encode(),
            seconds=_HOURS,
        )
        if outcome.status:
            log.warning("expunging Junk ended with %d: %s", outcome.status, outcome.output[-2000:])

    def _junk_of(self, user: str) -> tuple[Path, Path]:
        """Return the Junk folders of a user and of a public mailbox of that name."""
        return self._mail / user / "Maildir" / ".Junk", public(self._mail) / user / "Junk"

    def _rows(self, query: str, *values: str) -> Iterable[tuple[str, ...]]:
        """Return rows of the table; one that is missing or being built has none."""
        try:
            with closing(sqlite3.connect(f"file:{self._table}?mode=ro", uri=True, timeout=5)) as connection:
                return connection.execute(query, values).fetchall()
        except sqlite3.Error:
            return ()

    def _run(self) -> None:
        while True:
            time.sleep(BEAT)
            try:
                self.look()
            except Exception:
                log.exception("expunging Junk failed")


def beat(span: int) -> float:
    """Return the seconds between two sweeps for a retention time: a tenth of it, from 10 s to 6 hours.

    Args:
        span: Retention in seconds.
    """
    return min(max(span / 10, SHORTEST), LONGEST)
