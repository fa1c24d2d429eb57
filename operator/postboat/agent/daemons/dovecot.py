"""Dovecot as an edge or as a store; only the configuration differs.

A pid file left by a killed container keeps Dovecot from starting when another process has that id by now. With
`shutdown_clients = no` sessions outlive the master process, so its end is not the end of the service.
"""

from __future__ import annotations

import os
import re
import socket
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from postboat.agent import ports
from postboat.agent.acl import AclDriver
from postboat.agent.daemons.base import Daemon, empty, override
from postboat.agent.dismissal import Dismissal
from postboat.agent.mailstore.crashes import Crashes
from postboat.agent.mailstore.owners import Owners
from postboat.agent.mailstore.spelling import respell
from postboat.agent.probe import Probe, Pulse, Tls
from postboat.agent.sqlite import SqliteDriver
from postboat.agent.sweep import Sweep

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping
    from collections.abc import Set as AbstractSet

    from postboat.agent.children import Child, Children
    from postboat.agent.manifest import Table
    from postboat.agent.tables import Driver, Row
    from postboat.agent.validation import Effort

_RUN = Path("/run/dovecot")
# Dovecot lets sessions make folders below this one, for users that it does not find.
_NOWHERE = _RUN / "user-not-found"
_LMTP = ports.LMTP.number  # only a store has it
_STORE_SECONDS = 6.0
_MAIL = Path("/srv/mail")
_UID = "uid"  # the column of a store's users, and of no edge's, that tells one owner of a name from the next
_LISTENER = re.compile(r"(?:inet|unix)_listener\s+(?P<name>\S+)\s*\{(?P<settings>[^{}]*)\}")
_NAME = re.compile(r'^local_name "?(?P<name>[^\s"]+)"? \{$', re.MULTILINE)
_SETTING = re.compile(r"^\s*(?P<name>\w+)\s*=\s*(?P<value>\S+)\s*$", re.MULTILINE)
# The first login protocol that is there stands for all of them: each probe is a line in the log.
_LOGIN = (
    Probe(ports.IMAP.number, (b"* OK",), farewell=b"a LOGOUT\r\n"),
    Probe(ports.POP3.number, (b"+OK",), farewell=b"QUIT\r\n"),
    Probe(ports.SIEVE.number, (b'"IMPLEMENTATION"',), farewell=b"LOGOUT\r\n"),
)
_OTHERS = (Probe("/run/edge/auth", (b"VERSION",)),)

# Dovecot's auth-master protocol; nobody is asked for who could have a mailbox.
_LOOK_UP = b"VERSION\t1\t1\nUSER\t1\tnobody@probe.invalid\tservice=probe\n"
_FOUND = (b"\nNOTFOUND\t1", b"\nUSER\t1", b"\nFAIL\t1")


class Dovecot(Daemon):
    """Dovecot with its directory in SQLite."""

    name: ClassVar[str] = "dovecot"
    no_verdicts: ClassVar[frozenset[int]] = frozenset(range(80, 85))  # lib/failures.h: log, memory, exec

    def __init__(self, active: Path, state: Path, children: Children) -> None:
        super().__init__(active, state, children)
        self._directory = state / "tables" / "directory.sqlite"
        self._dismissal = Dismissal(self._directory, children)
        self._crashes = Crashes(_RUN / "log-errors", _MAIL, self._directory, children)

    @override
    def command(self) -> tuple[str, ...]:
        """Return Dovecot in the foreground."""
        return ("dovecot", "-F", "-c", str(self.active / "dovecot.conf"))

    @override
    def drivers(self) -> Mapping[str, Driver]:
        """Return SQLite, and the ACL files of public mailboxes, whose mail is on the first store."""
        tables = self.state / "tables"
        return {
            "acl": AclDriver(tables, _MAIL, keeps_mail=socket.gethostname().endswith("-store-0")),
            "sqlite": SqliteDriver(self._directory, self._removed, self._arriving),
        }

    @override
    def begin(self) -> None:
        """Start what runs beside Dovecot: expiry of Junk, ending of sessions, counting of crashes.

        An edge has no mail and no retention, so there only crashes are counted.
        """
        Sweep(self._directory, _MAIL, self.children).start()
        self._dismissal.start()
        self._crashes.start()

    def _arriving(self, table: Table, rows: Collection[Row]) -> None:
        """Before users count who have the names of others: no script of these may run, and no session go on."""
        if table.name != "users" or _UID not in table.columns:
            return
        user, uid = table.columns.index("user"), table.columns.index(_UID)
        passed_on = Owners(_MAIL).settle({row[user]: row[uid] for row in rows})
        self._dismissal.dismiss(passed_on, anyway=True)

    def _removed(self, table: str, keys: AbstractSet[str]) -> None:
        """See off users who have left: a session that passes an edge ends with that on its store."""
        if table == "users" and self._keeps_mail():
            self._dismissal.dismiss(keys)

    def _keeps_mail(self) -> bool:
        try:
            return _LMTP in listeners((self.active / "dovecot.conf").read_text(), tls=True)
        except FileNotFoundError:  # nothing is in force yet, so nobody has a session
            return False

    @override
    def metrics(self) -> str:
        """Return the number of killed processes."""
        return self._crashes.metrics()

    @override
    def clean(self) -> None:
        """Remove pid file and sockets, and make the folder for unknown users unwritable. No process runs meanwhile."""
        empty(_RUN)
        _NOWHERE.mkdir(mode=0o500, parents=True, exist_ok=True)
        if os.environ.get("POSTBOAT_MAIL"):
            respell(_MAIL)

    @override
    def stop(self, main: Child, seconds: float) -> None:
        """Let sessions end; a store waits only 6 s, for commands and deliveries, since clients cannot log in."""
        super().stop(main, min(seconds, _STORE_SECONDS) if self._keeps_mail() else seconds)

    @override
    def complaint(self, staged: Path, effort: Effort) -> str:
        """Run doveconf, which refuses unknown settings and bad values; its standard output has secrets."""
        return self.check(effort, "doveconf", "-n", "-c", str(staged / "dovecot.conf"), errors_only=True)

    @override
    def probes(self) -> tuple[Probe, ...]:
        """Return the greetings to expect: one login protocol, LMTP and SASL, as far as they are configured."""
        configuration = (self.active / "dovecot.conf").read_text()
        there = listeners(configuration)
        login = [probe for probe in _LOGIN if probe.address in there][:1]
        return (*login, *self._deliveries(configuration), *(probe for probe in _OTHERS if probe.address in there))

    def _deliveries(self, configuration: str) -> tuple[Probe, ...]:
        """Return the probe of LMTP: a store lets in who calls it by its name and shows a certificate of ours."""
        name = _NAME.search(configuration)
        if name is None or _LMTP not in listeners(configuration, tls=True):
            return ()
        tls = Tls(name["name"], self.active / "ca.crt", self.active / "client.crt", self.active / "client.key")
        return (Probe(_LMTP, (b"220",), farewell=b"QUIT\r\n", tls=tls),)

    @override
    def pulses(self) -> tuple[Pulse, ...]:
        """Return the master process, the one that looks users up, and one that greets.

        LMTP is left out: a delivery that waits for another server is no hang.
        """
        there = listeners((self.active / "dovecot.conf").read_text())
        logins = ("imap-login", "pop3-login", "managesieve-login")
        return (
            Pulse("master", Probe(f"{_RUN}/master", (b"VERSION\t",)), ("dovecot",)),
            Pulse("auth", Probe(f"{_RUN}/auth-userdb", _FOUND, ask=_LOOK_UP, anywhere=True), ("auth",)),
            *[Pulse("login", probe, logins, crowded=True) for probe in _LOGIN if probe.address in there][:1],
        )


def listeners(configuration: str, *, tls: bool = False) -> frozenset[int | str]:
    """Return the ports and socket paths without PROXY protocol that a configuration listens on.

    Args:
        configuration: Content of dovecot.conf.
        tls: Return those with TLS from the first byte instead of those without.
    """
    found: set[int | str] = set()
    for listener in _LISTENER.finditer(configuration):
        settings = {setting["name"]: setting["value"] for setting in _SETTING.finditer(listener["settings"])}
        if settings.get("haproxy") != "yes" and (settings.get("ssl") == "yes") == tls:
            port = settings.get("port", "")
            found.add(int(port) if port.isdecimal() else settings.get("path", listener["name"]))
    return frozenset(found - {0})
