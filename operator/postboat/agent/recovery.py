"""Flushes the queue when a store is back; by itself Postfix waits up to ten minutes before it tries deferred mail.

When mail for mailboxes is deferred, flush(8) writes it into a file. Then the stores are probed (LMTP with TLS) until
all of them answer. When one that was away is back, all mail for mailboxes is tried again. A store may be back before it
is probed first, so the records of defer(8) count too: mail that was deferred because a store did not answer is tried
again when all of them answer. Mail for other servers is not flushed, and neither is what a store itself defers, such as
mail for a full mailbox.
"""

from __future__ import annotations

import logging
import os
import re
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from postboat.agent import ports
from postboat.agent.probe import Probe, Tls

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from postboat.agent.children import Children

log = logging.getLogger(__name__)

BEAT = 2.0  # seconds between two looks
SECONDS = 5.0  # for an answer of a store
PAUSE = 10.0  # seconds at least between two flushes for mail that stores which answer did not take
_HOST = re.compile(rf"inet:(?P<host>[a-z0-9.-]+):{ports.QUOTA.number}")
# The DSN codes of a store that cannot be found or reached, says 421, or gives no answer. During DATA it is no sign that
# the store was away: a message that breaks a delivery would be tried without end.
_NOT_REACHED = re.compile(r"^(?:4\.4\.\d+|4\.7\.5|4\.3\.2)$")
_DURING_DATA = ("while sending end of data", "while sending message body")
_LATE = 1.0  # seconds by which the note of a deferral may follow its record
_SETTING = re.compile(r"^(?P<name>lmtp_tls_servername|fast_flush_domains) = (?P<value>\S+)$", re.MULTILINE)


class Recovery:
    """Watches the stores of one platform for one Postfix.

    Args:
        active: Folder of the active configuration; `main.cf` has the names of the stores.
        notes: Folder of flush(8).
        records: Folder of defer(8).
        answers: Returns whether a store answers a probe.
    """

    def __init__(
        self,
        active: Path,
        children: Children,
        notes: Path,
        records: Path,
        answers: Callable[[Probe], bool] = lambda probe: probe.answers(SECONDS),
    ) -> None:
        self._active = active
        self._children = children
        self._notes = notes
        self._records = records
        self._noted = 0.0
        self._looked = 0.0
        self._unreached = False
        self._flushed = -PAUSE
        self._answers = answers
        self._away: frozenset[str] = frozenset()

    def start(self) -> None:
        """Start the thread that looks every 2 s; it ends with the process."""
        threading.Thread(target=self._run, name="recovery", daemon=True).start()

    def look(self) -> None:
        """Probe the stores if mail was deferred since the last look or waits for one, and flush what can be delivered.

        It blocks up to 5 s for each step of a probe.

        Raises:
            OSError: `main.cf` or a note cannot be read.
        """
        noted = max((note.stat().st_mtime for note in self._notes.glob("*")), default=0.0)
        if noted <= self._noted and not self._away and not self._unreached:
            return
        text = (self._active / "main.cf").read_text()
        settings = {match["name"]: match["value"] for match in _SETTING.finditer(text)}
        domain = settings["fast_flush_domains"]
        if noted > self._noted:
            since, self._looked = self._looked - _LATE, time.time()
            self._unreached = self._unreached or any(
                _waits_for_store(path, domain) for path in _written(self._records, since)
            )
        stores = frozenset(match["host"] for match in _HOST.finditer(text))
        probes = {store: self._probe(store, settings["lmtp_tls_servername"]) for store in stores}
        away = frozenset(store for store, probe in probes.items() if not self._answers(probe))
        back = (self._away & stores) - away
        self._noted, self._away = noted, away
        if back:
            log.info("flushing the queue: %s answers again", ", ".join(sorted(back)))
        elif self._unreached and not away and time.monotonic() - self._flushed >= PAUSE:
            log.info("flushing the queue: mail was deferred because a store did not answer, and all stores answer now")
        else:
            return
        self._unreached = bool(away) and self._unreached
        self._flushed = time.monotonic()
        self._children.run(("postqueue", "-c", str(self._active), "-s", domain))

    def _probe(self, store: str, name: str) -> Probe:
        pair = self._active / "client.pem"
        return Probe(
            (store, ports.LMTP.number),
            (b"220",),
            farewell=b"QUIT\r\n",
            tls=Tls(name, self._active / "ca.pem", pair, pair),
        )

    def _run(self) -> None:
        while True:
            time.sleep(BEAT)
            try:
                self.look()
            except Exception:  # what is wrong with one look may be right with the next
                log.exception("probing the stores failed")


def _written(records: Path, since: float) -> Iterator[Path]:
    """Yield the records of defer(8), in folders by hash_queue_depth, that were written since a time."""
    for folder, _, names in os.walk(records):
        for path in (Path(folder, name) for name in names):
            with suppress(FileNotFoundError):  # its message has gone meanwhile
                if path.stat().st_mtime >= since:
                    yield path


def _waits_for_store(record: Path, domain: str) -> bool:
    """Return whether a recipient of a message at `domain` waits for a store that was not reached, by its record."""
    try:
        text = record.read_text(errors="replace")
    except FileNotFoundError:
        return False
    for block in text.split("\n\n"):
        fields = dict(line.split("=", 1) for line in block.splitlines() if "=" in line)
        reason = fields.get("reason", "")
        if (
            fields.get("recipient", "").endswith(f"@{domain}")
            and _NOT_REACHED.match(fields.get("status", ""))
            and not any(word in reason for word in _DURING_DATA)
        ):
            return True
    return False
