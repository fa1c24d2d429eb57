"""Asks a daemon whether it answers; a connection is not enough, since Postfix accepts one while its smtpd is dead.

Each probe reads the banner or the answer to a ping, on a port without PROXY protocol, with TLS where it is configured.
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
    """TLS from the first byte of a connection. The files are PEM."""

    name: str
    """Server name (SNI)."""
    authority: Path
    """CA certificates that the server is verified with."""
    certificate: Path
    """Client certificate."""
    key: Path
    """Its private key; may be the same file."""

    def wrap(self, connection: socket.socket) -> ssl.SSLSocket:
        """Return the connection after the handshake. The name in the certificate is not checked.

        Raises:
            OSError: The handshake failed, or the certificate of the server is not signed by the CA.
        """
        context = ssl.create_default_context(cafile=self.authority)
        context.check_hostname = False  # the name is how stores are called, not whose certificate they have
        context.load_cert_chain(self.certificate, self.key)
        return context.wrap_socket(connection, server_hostname=self.name)


@dataclass(frozen=True, slots=True)
class Probe:
    """Connects, sends `ask`, expects an answer, sends `farewell`."""

    address: int | str | tuple[str, int]
    """Port of this pod, path of a unix socket, or host and port."""
    expected: tuple[bytes, ...]
    """Beginnings of a good answer; b"" accepts any answer."""
    ask: bytes = b""
    """Sent first; b"" waits for the banner."""
    farewell: bytes = b""
    """Sent after a good or bad answer; b"" closes at once."""
    anywhere: bool = False
    """Whether the expected text may be anywhere in the first bytes of the answer, up to 1 KiB."""
    tls: Tls | None = None
    """None for a connection without TLS."""

    def answers(self, seconds: float = 3.0) -> bool:
        """Return whether the expected answer came.

        Args:
            seconds: Limit for the connection, and for each read.
        """
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
    """A part of a daemon that must answer while the daemon runs."""

    part: str
    """Its name, for logs."""
    probe: Probe
    programs: tuple[str, ...]
    """Names of the processes that the answer depends on, or parts of their command lines."""
    every: float = 20.0
    """Seconds between two questions."""
    crowded: bool = False
    """Whether clients or a full disk can keep it from answering, so that silence alone is no hang."""
