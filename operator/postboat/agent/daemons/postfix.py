"""Postfix: its master process is started directly, so that the agent sends its signals and no stale pid file matters.

`postfix check` accepts values that make smtpd fail. SIGTERM to master ends open sessions in the middle of a command,
and so does a reload that removes a listener; a reload that changes its options lets sessions end.
"""

from __future__ import annotations

import fcntl
import os
import re
import shutil
import signal
import sys
import termios
import threading
import time
from array import array
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from postboat.agent import ports
from postboat.agent.children import wait_until
from postboat.agent.daemons.base import Daemon, override
from postboat.agent.delivery_log import DeliveryLog, passing_on
from postboat.agent.lmdb import LmdbDriver
from postboat.agent.probe import Probe, Pulse
from postboat.agent.recovery import Recovery

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from postboat.agent.children import Child, Children
    from postboat.agent.tables import Driver
    from postboat.agent.validation import Effort

_LIBEXEC = "/usr/lib/postfix/sbin"
_PORT = ports.SMTP.number
_INNER = ports.INNER.number  # no milter stands before its banner, so it tells of Postfix alone
_QUEUE = Path("/var/spool/postfix")
_PROTOCOL = (b"protocol",)
_LOOK_AT_INCOMING = b"I"  # qmgr_trigger_event; it closes the connection when it has read that
_DATA = Path("/var/lib/postfix")
_OWNER = "postfix"
_QUEUES = ("incoming", "active", "deferred", "hold", "corrupt")
# New sessions are refused at the banner with 421, which asks the client to come again: elsewhere, or later.
_REFUSAL = (
    " -o smtpd_delay_reject=no"
    " -o { smtpd_client_restrictions = check_client_access static:{421 4.3.2 Service shutting down} }"
)
_ESTABLISHED = "01"
_LOG_BYTES = 1 << 20  # so much may be logged while nobody reads
_PLAIN = tuple(
    word
    for option in ("smtpd_tls_security_level=none", "smtpd_tls_wrappermode=no", "smtpd_upstream_proxy_protocol=")
    for word in ("-o", option)
)
_LARGEST = re.compile(r"(?m)^message_size_limit = (?P<bytes>\d+)$")
_OPTION = re.compile(r"(?P<service>[^/\s]+/inet)/(?P<name>\S+) = (?P<value>.*)")


class Postfix(Daemon):
    """Postfix with its queue on a volume and its tables in LMDB."""

    name: ClassVar[str] = "postfix"

    def __init__(self, active: Path, state: Path, children: Children) -> None:
        super().__init__(active, state, children)
        self._deliveries = DeliveryLog()
        self._log: int | None = None

    @override
    def command(self) -> tuple[str, ...]:
        """Return master in the foreground; `-s` leaves standard output to `maillog_file = /dev/stdout`."""
        return ("env", f"MAIL_CONFIG={self.active}", f"{_LIBEXEC}/master", "-s")

    @override
    def drivers(self) -> Mapping[str, Driver]:
        """Return LMDB."""
        return {"lmdb": LmdbDriver(self.state / "tables", self.state / "postmap", self.children)}

    @override
    def probes(self) -> tuple[Probe, ...]:
        """Return the banner of smtpd."""
        there = frozenset(listeners((self.active / "master.cf").read_text()))
        return (Probe(_INNER if _INNER in there else _PORT, (b"220",), farewell=b"QUIT\r\n"),)

    @override
    def output(self) -> int:
        """Return a pipe from which the log is copied on; deliveries to relay hosts are read from it.

        There is one pipe for the life of the container, so that its reader outlives the daemon.
        """
        if self._log is None:
            receiving, sending = os.pipe2(os.O_CLOEXEC)
            with suppress(OSError):  # a node may give out no more; less is enough while somebody reads
                fcntl.fcntl(sending, fcntl.F_SETPIPE_SZ, _LOG_BYTES)
            arguments = (receiving, sys.stdout.fileno(), self._deliveries)
            threading.Thread(target=passing_on, args=arguments, name="log", daemon=True).start()
            self._log = sending
        return self._log

    @override
    def pages(self) -> Mapping[str, Callable[[], bytes]]:
        """Return `/deliveries`: the last deliveries through relay hosts."""
        return {"/deliveries": self._deliveries.page}

    @override
    def begin(self) -> None:
        """Start to look after mail that waits for a store."""
        Recovery(self.active, self.children, _QUEUE / "flush", _QUEUE / "defer").start()

    @override
    def pulses(self) -> tuple[Pulse, ...]:
        """Return smtpd, and the services that every message passes, by what they send when one connects.

        `showq` ends when nobody has asked for 100 s, so that `master` has to start it for each probe. A connection to
        `cleanup` writes a line to the log.
        """
        (banner,) = self.probes()
        return (
            Pulse("smtpd", banner, ("smtpd",), crowded=True),
            Pulse("qmgr", Probe(f"{_QUEUE}/public/qmgr", (b"",), ask=_LOOK_AT_INCOMING), ("qmgr",)),
            Pulse("trivial-rewrite", Probe(f"{_QUEUE}/private/rewrite", _PROTOCOL), ("trivial-rewrite",)),
            Pulse("cleanup", Probe(f"{_QUEUE}/public/cleanup", _PROTOCOL), ("cleanup",), every=60.0, crowded=True),
            Pulse("master", Probe(f"{_QUEUE}/public/showq", _PROTOCOL), ("master", "showq"), every=130.0),
        )

    @override
    def clean(self) -> None:
        """Set the owner of a new data folder; the lock on `pid/master.pid` ended with the process that held it."""
        shutil.chown(_DATA, _OWNER, _OWNER)
        _DATA.chmod(0o700)

    @override
    def prepare(self, folder: Path, effort: Effort) -> str:
        """Run `postfix check`, which creates the folders of an empty queue volume; it is too slow for each change."""
        return self.check(effort, "postfix", "-c", str(folder), "check")

    @override
    def complaint(self, staged: Path, effort: Effort) -> str:
        """Check master.cf, and start each smtpd in it.

        `postfix check` does not check values of main.cf, so a real smtpd is started as `sendmail -bs` does: once
        without options, and once with those of each listener.
        """
        services = self.judge(effort, "postconf", "-c", str(staged), "-M")
        complaint = ""
        if services.status or "postlogd" not in services.output:
            complaint = f"master.cf, which needs postlogd: {services.output}"
        for options in ((), *self._listeners(staged, effort)):
            complaint = complaint or self._smtpd(staged, options, effort)
        return complaint

    @override
    def stop(self, main: Child, seconds: float) -> None:
        """Refuse new sessions, wait until no client is connected or the time is over, then end all processes."""
        deadline = time.monotonic() + seconds
        master = self.active / "master.cf"
        text = master.read_text()
        ports = frozenset(listeners(text))
        _replace(master, refusing(text))
        main.send(signal.SIGHUP)
        wait_until(lambda: main.status is not None or not connected(ports), deadline - time.monotonic())
        super().stop(main, 5.0)
        _replace(master, text)
        wait_until(self._logged, 1.0)

    @override
    def needed(self) -> int:
        """Return the bytes that smtpd wants to be free: one and a half times `message_size_limit`, see postconf(5)."""
        try:
            found = _LARGEST.search((self.active / "main.cf").read_text())
        except OSError:  # nothing is in force yet
            return 0
        return int(found["bytes"]) * 3 // 2 if found else 0

    @override
    def metrics(self) -> str:
        """Return the number of messages in each queue of this pod."""
        metric = "postboat_postfix_queue_messages"
        rows = (f'{metric}{{queue="{name}"}} {_files(_QUEUE / name)}\n' for name in _QUEUES)
        return f"# HELP {metric} Messages in the queue of this pod.\n# TYPE {metric} gauge\n{''.join(rows)}"

    def _logged(self) -> bool:
        """Return whether everything that Postfix has logged was passed on."""
        waiting = array("i", [0])
        if self._log is not None:
            fcntl.ioctl(self._log, termios.FIONREAD, waiting)
        return not waiting[0]

    def _listeners(self, staged: Path, effort: Effort) -> list[tuple[str, ...]]:
        """Return the distinct sets of `-o` options of the smtpd listeners in a staged master.cf."""
        commands = self.judge(effort, "postconf", "-c", str(staged), "-F", "*/inet/command").output
        smtpd = {match["service"] for match in _OPTION.finditer(commands) if match["value"].split()[:1] == ["smtpd"]}
        options: dict[str, tuple[str, ...]] = {}
        parameters = self.judge(effort, "postconf", "-c", str(staged), "-P", "*/inet/*").output
        for match in _OPTION.finditer(parameters):
            if match["service"] in smtpd:
                option = ("-o", f"{match['name']}={match['value']}")
                options[match["service"]] = options.get(match["service"], ()) + option
        return sorted(set(options.values()))

    def _smtpd(self, staged: Path, options: tuple[str, ...], effort: Effort) -> str:
        """Start an smtpd and send QUIT; its options are changed so that it waits for no TLS handshake and no tlsmgr."""
        plain = _PLAIN if options else ()
        command = ("env", f"MAIL_CONFIG={staged}", f"{_LIBEXEC}/smtpd", "-S", *options, *plain)
        outcome = self.judge(effort, *command, given=b"QUIT\r\n")
        if outcome.status == 0 and "\n221 " in f"\n{outcome.output}":
            return ""
        return f"smtpd {' '.join(options)} ended with {outcome.status}: {outcome.output[-4000:]}"


def listeners(master: str) -> Iterator[int]:
    """Yield the ports of the smtpd listeners.

    Args:
        master: Content of master.cf.
    """
    for line in master.splitlines():
        fields = line.split()
        if _is_listener(line, fields):
            port = fields[0].rpartition(":")[2]
            if port.isdecimal():
                yield int(port)


def refusing(master: str) -> str:
    """Return a master.cf whose smtpd listeners answer 421 to every new client (RFC 5321, 4.2.1).

    Args:
        master: Content of master.cf.
    """
    lines: list[str] = []
    pending = False
    for line in master.splitlines():
        if line[:1] not in ("", " ", "\t", "#"):  # the first line of an entry ends the entry before it
            if pending:
                lines.append(_REFUSAL)
            pending = _is_listener(line, line.split())
        lines.append(line)
    return "\n".join([*lines, *([_REFUSAL] if pending else [])]) + "\n"


def connected(ports: frozenset[int]) -> bool:
    """Return whether a client is connected to one of these ports of the pod, from /proc/net/tcp (proc_net_tcp.rst)."""
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        try:
            rows = Path(table).read_text().splitlines()[1:]
        except OSError:
            continue
        for row in rows:
            _, local, _, state = row.split()[:4]
            if state == _ESTABLISHED and int(local.rpartition(":")[2], 16) in ports:
                return True
    return False


def _is_listener(line: str, fields: list[str]) -> bool:
    return line[:1] not in ("", " ", "\t", "#") and fields[1:2] == ["inet"] and fields[7:8] == ["smtpd"]


def _replace(path: Path, text: str) -> None:
    replacement = path.with_name(f"{path.name}.new")
    replacement.write_text(text)
    replacement.replace(path)


def _files(folder: Path) -> int:
    return sum(len(names) for _, _, names in os.walk(folder))
