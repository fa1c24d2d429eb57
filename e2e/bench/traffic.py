"""What strangers and users do to a server: messages over several sessions, and clients that read mail."""

from __future__ import annotations

import smtplib
import socket
import ssl
import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from e2e.kube import eventually

SESSIONS = 10
_LINE = "x" * 70 + "\r\n"
_LETTER = "From: <sender@outside.test>\r\nTo: <{to}>\r\nSubject: {number}\r\nMessage-ID: <{name}>\r\n\r\n" + _LINE * 56
"""A message of 4 kB."""


@dataclass(frozen=True)
class Server:
    """Where a server is reached, and where it keeps mail: the folder that holds one folder for each user."""

    smtp: tuple[str, int]
    imaps: tuple[str, int]
    mail: Path


def deliver(server: Server, recipients: Sequence[str], messages: int, run: str) -> tuple[float, float]:
    """Messages a second that were taken over ten sessions, and that lay in the mailboxes."""
    users = [recipient.partition("@")[0] for recipient in recipients]
    before = _stored(server.mail, users)
    begun = time.monotonic()

    def send(session: int) -> None:
        with smtplib.SMTP(*server.smtp, local_hostname="client.outside.test", timeout=120) as smtp:
            for number in range(session, messages, SESSIONS):
                to = recipients[number % len(recipients)]
                text = _LETTER.format(to=to, number=number, name=f"{run}.{number}@outside.test")
                smtp.sendmail("sender@outside.test", [to], text)

    with ThreadPoolExecutor(SESSIONS) as sessions:
        list(sessions.map(send, range(SESSIONS)))
    taken = time.monotonic() - begun
    eventually(lambda: _stored(server.mail, users) >= before + messages, "all is delivered", timeout=300, every=0.05)
    return messages / taken, messages / (time.monotonic() - begun)


def _stored(mail: Path, users: Iterable[str]) -> int:
    """How many messages lie in the INBOXes; a folder that nobody made yet holds none."""
    return sum(
        sum(1 for _ in folder.iterdir())
        for user in users
        for kind in ("new", "cur")
        if (folder := mail / user / "Maildir" / kind).is_dir()
    )


class Reader:
    """One IMAP session, with as little work of its own as can be."""

    def __init__(self, address: tuple[str, int], context: ssl.SSLContext, user: str, password: str) -> None:
        self.socket = context.wrap_socket(socket.create_connection(address, timeout=60))
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.rest = b""
        self._until(b"* OK")
        self.command(f"LOGIN {user} {password}")

    def command(self, text: str) -> None:
        """One command and its answer, which is OK."""
        self.socket.sendall(f"a {text}\r\n".encode())
        self._until(b"a ")

    def append(self, letter: bytes) -> None:
        self.socket.sendall(b"a APPEND INBOX {%d+}\r\n%b\r\n" % (len(letter), letter))
        self._until(b"a ")

    def close(self) -> None:
        self.command("LOGOUT")
        self.socket.close()

    def _until(self, start: bytes) -> None:
        """Read lines to the one that begins so."""
        while True:
            line, found, self.rest = self.rest.partition(b"\n")
            if not found:
                more = self.socket.recv(65536)
                if not more:
                    raise ConnectionError(f"the server ended the session: {line!r}")
                self.rest = line + more
            elif line.startswith(start):
                assert line.startswith((b"* OK", b"a OK")), line
                return


LETTER = b"From: a@outside.test\r\nSubject: kept\r\n\r\n" + _LINE.encode() * 14
"""What readers append, 1 kB."""
ROUND: tuple[Callable[[Reader], None], ...] = (
    lambda reader: reader.command('LIST "" "*"'),
    lambda reader: reader.append(LETTER),
    lambda reader: reader.command("SELECT INBOX"),
    lambda reader: reader.command("FETCH * (FLAGS BODY.PEEK[])"),
    lambda reader: reader.command("STORE * +FLAGS (\\Seen)"),
)


def read(server: Server, passwords: Sequence[tuple[str, str]], seconds: float) -> tuple[float, float]:
    """Sessions a second of clients that log in, do a round and log out; and commands a second of those that stay."""
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE  # the reference has the certificate of the platform under another address

    def come_and_go(login: tuple[str, str], until: float) -> int:
        done = 0
        while time.monotonic() < until:
            reader = Reader(server.imaps, context, *login)
            for step in ROUND:
                step(reader)
            reader.close()
            done += 1
        return done

    def stay(login: tuple[str, str], until: float) -> int:
        reader, done = Reader(server.imaps, context, *login), 0
        while time.monotonic() < until:
            for step in ROUND:
                step(reader)
            done += len(ROUND)
        reader.close()
        return done

    return _together(come_and_go, passwords, seconds), _together(stay, passwords, seconds)


def _together(
    client: Callable[[tuple[str, str], float], int], logins: Sequence[tuple[str, str]], seconds: float
) -> float:
    begun = time.monotonic()
    with ThreadPoolExecutor(len(logins)) as clients:
        done = sum(clients.map(lambda login: client(login, begun + seconds), logins))
    return done / (time.monotonic() - begun)
