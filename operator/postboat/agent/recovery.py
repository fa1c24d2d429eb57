"""Delivering at once when a store is back: Postfix by itself tries what it deferred again after up to ten minutes.

Where mail for mailboxes is deferred, flush(8) notes it in a file. Then the stores are asked for what a delivery needs,
LMTP within TLS, until all of them answer. One that was away and is back means that all mail for mailboxes is tried now;
mail for other servers keeps its own pace, and so does what a store itself puts off, like mail for a full mailbox.
"""

from __future__ import annotations

import logging
import re
import threading
import time
from typing import TYPE_CHECKING

from postboat.agent.probe import Probe, Tls

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from postboat.agent.children import Children

log = logging.getLogger(__name__)

BEAT = 2.0  # seconds between two looks
SECONDS = 5.0  # for an answer of a store
PORT = 10024
_HOST = re.compile(r"inet:(?P<host>[a-z0-9.-]+):12340")
_SETTING = re.compile(r"^(?P<name>lmtp_tls_servername|fast_flush_domains) = (?P<value>\S+)$", re.MULTILINE)


class Recovery:
    """The stores of one platform as one Postfix sees them, by `main.cf` in the folder `active`.

    `notes` is the folder of flush(8), and `answers` tells whether a store answers.
    """

    def __init__(
        self,
        active: Path,
        children: Children,
        notes: Path,
        answers: Callable[[Probe], bool] = lambda probe: probe.answers(SECONDS),
    ) -> None:
        self._active = active
        self._children = children
        self._notes = notes
        self._noted = 0.0
        self._answers = answers
        self._away: frozenset[str] = frozenset()

    def start(self) -> None:
        """Look for ever, in a thread of its own."""
        threading.Thread(target=self._run, name="recovery", daemon=True).start()

    def look(self) -> None:
        """Ask all stores if mail was deferred since the last look or one was away, and flush when one is back."""
        noted = max((note.stat().st_mtime for note in self._notes.glob("*")), default=0.0)
        if noted <= self._noted and not self._away:
            return
        text = (self._active / "main.cf").read_text()
        settings = {match["name"]: match["value"] for match in _SETTING.finditer(text)}
        stores = frozenset(match["host"] for match in _HOST.finditer(text))
        probes = {store: self._probe(store, settings["lmtp_tls_servername"]) for store in stores}
        away = frozenset(store for store, probe in probes.items() if not self._answers(probe))
        back = (self._away & stores) - away
        self._noted, self._away = noted, away
        if back:
            log.info("mail that waits is tried now: %s answers again", ", ".join(sorted(back)))
            self._children.run(("postqueue", "-c", str(self._active), "-s", settings["fast_flush_domains"]))

    def _probe(self, store: str, name: str) -> Probe:
        pair = self._active / "client.pem"
        return Probe((store, PORT), (b"220",), farewell=b"QUIT\r\n", tls=Tls(name, self._active / "ca.pem", pair, pair))

    def _run(self) -> None:
        while True:
            time.sleep(BEAT)
            try:
                self.look()
            except Exception:  # what is wrong with one look may be right with the next
                log.exception("stores were not looked at")
