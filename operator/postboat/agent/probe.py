"""Asking a daemon whether it answers: a connection is not enough, since Postfix accepts while its smtpd is dead.

Each probe reads the banner, or the answer to a ping, on a port without PROXY protocol; TLS is spoken where it says so.
"""

from __future__ import annotations

import socket
import ssl
from contextlib import ExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

LOOPBACK = "127.0.0.1"
_ANSWER = 512


@dataclass(frozen=True, slots=True)
class Tls:
    """How to speak TLS from the first byte: the name to call, the authority, the certificate to show (PEM files)."""

    name: str
    authority: Path
    certificate: Path
    key: Path

    def wrap(self, connection: socket.socket) -> ssl.SSLSocket:
        """Return the connection after its handshake; raise OSError where the other end has no such certificate."""
        context = ssl.create_default_context(cafile=self.authority)
        context.check_hostname = False  # the name is how stores are called, not whose certificate they have
        context.load_cert_chain(self.certificate, self.key)
        return context.wrap_socket(connection, server_hostname=self.name)


@dataclass(frozen=True, slots=True)
class Probe:
    """Connect to a port of this pod, a unix socket or another host, send `ask`, expect an answer, send `farewell`."""

    address: int | str | tuple[str, int]
    expected: tuple[bytes, ...]
    ask: bytes = b""
    farewell: bytes = b""
    anywhere: bool = False
    tls: Tls | None = None

    def answers(self, seconds: float = 3.0) -> bool:
        """Return whether the expected answer came within `seconds`."""
        try:
            with ExitStack() as open_ends:
                connection = self._connected(seconds, open_ends)
                if self.tls is not None:
                    connection = open_ends.enter_context(self.tls.wrap(connection))
                if self.ask:
                    connection.sendall(self.ask)
                answer = connection.recv(_ANSWER)
                while self.anywhere and not any(word in answer for word in self.expected):
                    part = connection.recv(_ANSWER)
                    if not part or len(answer) > _ANSWER:
                        return False
                    answer += part
                if self.farewell:
                    connection.sendall(self.farewell)
                    connection.recv(_ANSWER)
        except OSError:
            return False
        if self.anywhere:
            return any(word in answer for word in self.expected)
        return answer.startswith(self.expected)

    def _connected(self, seconds: float, open_ends: ExitStack) -> socket.socket:
        """Return a connection with a time limit for everything that follows; raise OSError where nobody listens."""
        if isinstance(self.address, str):
            connection = open_ends.enter_context(socket.socket(socket.AF_UNIX))
            connection.settimeout(seconds)
            connection.connect(self.address)
            return connection
        address = self.address if isinstance(self.address, tuple) else (LOOPBACK, self.address)
        return open_ends.enter_context(socket.create_connection(address, timeout=seconds))


@dataclass(frozen=True, slots=True)
class Pulse:
    """A part of a daemon that has to answer: a question, the programs that the answer comes from, seconds between two.

    A `crowded` part can be kept from answering by its clients, or by a full disk, so its silence alone is no hang.
    """

    part: str
    probe: Probe
    programs: tuple[str, ...]
    every: float = 20.0
    crowded: bool = False
