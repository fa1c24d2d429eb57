"""Dovecot as an edge or as a store: the same program, told apart by its configuration only.

Facts behind it: a pid file left by a killed container keeps Dovecot from starting when another process has that id by
now, and with `shutdown_clients = no` sessions outlive their master, so its end is not the end of the service.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from postboat.agent.daemons.base import Daemon, empty, override
from postboat.agent.probe import Probe
from postboat.agent.sqlite import SqliteDriver

if TYPE_CHECKING:
    from collections.abc import Mapping

    from postboat.agent.tables import Driver

_RUN = Path("/run/dovecot")
_LISTENERS: Mapping[str, Probe] = {
    r"port\s*=\s*10143\b": Probe(10143, (b"* OK",), farewell=b"a LOGOUT\r\n"),
    r"port\s*=\s*10110\b": Probe(10110, (b"+OK",), farewell=b"QUIT\r\n"),
    r"port\s*=\s*14190\b": Probe(14190, (b'"IMPLEMENTATION"',), farewell=b"LOGOUT\r\n"),
    r"port\s*=\s*10024\b": Probe(10024, (b"220",), farewell=b"QUIT\r\n"),
    r"unix_listener\s+/run/edge/lmtp\b": Probe("/run/edge/lmtp", (b"220",), farewell=b"QUIT\r\n"),
    r"unix_listener\s+/run/edge/auth\b": Probe("/run/edge/auth", (b"VERSION",)),
}


class Dovecot(Daemon):
    """Dovecot with its directory in SQLite."""

    name: ClassVar[str] = "dovecot"

    @override
    def command(self) -> tuple[str, ...]:
        """Return Dovecot in the foreground."""
        return ("dovecot", "-F", "-c", str(self.active / "dovecot.conf"))

    @override
    def drivers(self) -> Mapping[str, Driver]:
        """Return SQLite."""
        return {"sqlite": SqliteDriver(self.state / "tables" / "directory.sqlite")}

    @override
    def clean(self) -> None:
        """Remove pid file and sockets; nothing runs any more when this is called."""
        empty(_RUN)

    @override
    def complaint(self, staged: Path) -> str:
        """Ask doveconf, which refuses unknown settings and bad values; only its complaint is kept, not the secrets."""
        return self.check("sh", "-c", 'exec doveconf -n -c "$1" > /dev/null', "doveconf", str(staged / "dovecot.conf"))

    @override
    def probes(self) -> tuple[Probe, ...]:
        """Return the greetings of every known listener that the active configuration has and whose protocol is on."""
        text = (self.active / "dovecot.conf").read_text()
        found = tuple(probe for pattern, probe in _LISTENERS.items() if re.search(pattern, text))
        return found or (Probe(10143, (b"* OK",)),)
