"""Counts Dovecot processes that die, by service, and deactivates a Sieve script that crashed a delivery.

Pigeonhole 2.4.1 fails an assertion when it matches some patterns, such as `?` right before a last `*` (`"??*"`), with a
text that ends there. The message would be tried again for ever; without the script the next attempt succeeds. The log
process of Dovecot keeps the last errors in memory, each with the user that it is about.
"""

from __future__ import annotations

import logging
import re
import secrets
import socket
import threading
import time
from collections import Counter
from typing import TYPE_CHECKING, NamedTuple

from postboat.agent.mailstore.folders import valid
from postboat.agent.mailstore.ledger import address, listed
from postboat.agent.mailstore.owners import deactivate

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from postboat.agent.children import Children

log = logging.getLogger(__name__)

BEAT = 2.0  # seconds between two looks; Postfix comes again after half a minute
_SECONDS = 2.0
_MOST = 4_000_000  # bytes of errors that are looked at
_DELIVERY = "lmtp"
_PREFIX = re.compile(r"(?P<service>[a-z-]+)\((?P<user>[^)]*)\)<(?P<process>\d+)>")
_KILLED = re.compile(r"service\((?P<service>[a-z-]+)\): child (?P<process>\d+) killed with signal (?P<signal>\d+)")
_IN_A_SCRIPT = re.compile(r"Raw backtrace: .*\bsieve_\w+\[")
_MESSAGE = """\
From: Mail system <{address}>
To: <{address}>
Subject: Your Sieve script was switched off
Date: {date}
Message-ID: <script.{token}@{domain}>
Auto-Submitted: auto-generated
MIME-Version: 1.0
Content-Type: text/plain; charset=utf-8
Content-Transfer-Encoding: 8bit

Your Sieve script "{script}" made the mail system stop in the middle of a delivery. It has been
switched off, and your mail is delivered without it.

Look in it for tests with :matches whose pattern has a question mark right before a last asterisk,
like "??*", or after an asterisk, like "*?end". Write them in another way, for example with
:contains or :regex, and activate the script again.
"""


class Line(NamedTuple):
    """One line of Dovecot's errors: Unix time in seconds, prefix (service, user, process) and text."""

    time: float
    prefix: str
    text: str


class Death(NamedTuple):
    """A process that a signal killed: service, user, number of the signal, and whether a Sieve script was running.

    The user may be the address that mail came to, until Dovecot has looked it up, and is "" when it is not known.
    """

    service: str
    user: str
    signal: int
    in_script: bool


def lines(content: str) -> Iterator[Line]:
    """Yield the lines that the log process answers; malformed ones are skipped.

    Args:
        content: Lines of kind, Unix time, prefix and text, separated by tabs.
    """
    for line in content.splitlines():
        fields = line.split("\t", 3)
        if len(fields) == len(Line._fields) + 1:
            try:
                yield Line(float(fields[1]), fields[2], fields[3])
            except ValueError:
                continue


def deaths(told: Iterable[Line]) -> Iterator[Death]:
    """Yield the processes that were killed.

    Args:
        told: Lines in the order of the log: a backtrace comes before the end of its process.
    """
    scripts: set[str] = set()
    for line in told:
        about = _PREFIX.match(line.prefix)
        if about and _IN_A_SCRIPT.search(line.text):
            scripts.add(about["process"])
        killed = _KILLED.search(line.text)
        if killed:
            user = about["user"].lower() if about else ""
            yield Death(killed["service"], user, int(killed["signal"]), killed["process"] in scripts)


class Crashes:
    """Follows the errors of Dovecot.

    Args:
        errors: The socket of Dovecot's log process.
        mail: Root of the mail volume.
        directory: The SQLite file in which Dovecot looks up users.
    """

    def __init__(self, errors: Path, mail: Path, directory: Path, children: Children) -> None:
        self._errors, self._mail, self._directory, self._children = errors, mail, directory, children
        self._seen = 0.0
        self._counts: Counter[str] = Counter()

    def start(self) -> None:
        """Start the thread that looks every 2 s; it ends with the process."""
        threading.Thread(target=self._run, name="crashes", daemon=True).start()

    def metrics(self) -> str:
        """Return the number of killed processes by service, in the Prometheus text format."""
        name = "postboat_dovecot_crashes_total"
        rows = "".join(f'{name}{{service="{service}"}} {count}\n' for service, count in sorted(self._counts.items()))
        return f"# HELP {name} Processes that a signal killed.\n# TYPE {name} counter\n{rows}"

    def look(self) -> None:
        """Read the errors and handle new ones. It blocks for up to 2 s between two parts of the answer."""
        new = [line for line in lines(self._read()) if line.time > self._seen]
        if not new or any(_unfinished(line, new) for line in new):
            return
        self._seen = new[-1].time
        for death in deaths(new):
            self._counts[death.service] += 1
            log.error("a process of Dovecot service %s was killed by signal %d", death.service, death.signal)
            if death.service == _DELIVERY and death.in_script and (user := self._user(death.user)):
                self._switch_off(user)

    def _user(self, named: str) -> str:
        """Return the user for a name in the log; "" for none.

        It is the user of exactly that name, else the one of its local part.
        """
        user = named if valid(named) and listed(self._directory, named) else named.partition("@")[0]
        return user if valid(user) else ""

    def _switch_off(self, user: str) -> None:
        script = deactivate(self._mail / user)
        if script:
            log.error("Sieve script %r of %s crashed a delivery: deactivated it, and notified the user", script, user)
            self._tell(user, script)

    def _tell(self, user: str, script: str) -> None:
        own = address(self._directory, user)
        message = _MESSAGE.format(
            address=own,
            domain=own.rpartition("@")[2],
            date=time.strftime("%a, %d %b %Y %H:%M:%S +0000", time.gmtime()),
            token=secrets.token_hex(16),
            script=script,
        )
        save = ("doveadm", "-o", "quota_enforce=no", "save", "-u", user, "-m", "INBOX")
        outcome = self._children.run(save, given=message.encode(), seconds=30)
        if outcome.status:
            log.error("notifying %s of a deactivated Sieve script failed: %s", user, outcome.output[-500:])

    def _read(self) -> str:
        """Return the errors in the memory of Dovecot's log process; "" while Dovecot does not run."""
        content = b""
        try:
            with socket.socket(socket.AF_UNIX) as connection:
                connection.settimeout(_SECONDS)
                connection.connect(str(self._errors))
                while len(content) < _MOST and (part := connection.recv(65536)):
                    content += part
        except OSError:
            return ""
        return content.decode(errors="replace")

    def _run(self) -> None:
        while True:
            time.sleep(BEAT)
            try:
                self.look()
            except Exception:
                log.exception("reading the errors of Dovecot failed")


def _unfinished(line: Line, told: Iterable[Line]) -> bool:
    """Return whether a backtrace is in the log and the end of its process is not yet; both are needed together."""
    fresh = time.time() - line.time < BEAT
    return (
        fresh
        and "Raw backtrace: " in line.text
        and not any(other.prefix == line.prefix and _KILLED.search(other.text) for other in told)
    )
