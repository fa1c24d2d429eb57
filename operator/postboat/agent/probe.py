"""Asking a daemon whether it answers: a connection is not enough, since Postfix accepts while its smtpd is dead.

Each probe reads the banner, or the answer to a ping, on a port without TLS and without PROXY protocol.
"""

from __future__ import annotations

import socket
from dataclasses import dataclass

LOOPBACK = "127.0.0.1"
_ANSWER = 512


@dataclass(frozen=True, slots=True)
class Probe:
    """Connect to a TCP port of this pod or to a unix socket, send `ask`, expect an answer, send `farewell`."""

    address: int | str
    expected: tuple[bytes, ...]
    ask: bytes = b""
    farewell: bytes = b""
    anywhere: bool = False

    def answers(self, seconds: float = 3.0) -> bool:
        """Return whether the expected answer came within `seconds`."""
        family = socket.AF_UNIX if isinstance(self.address, str) else socket.AF_INET
        try:
            with socket.socket(family) as connection:
                connection.settimeout(seconds)
                connection.connect(self.address if isinstance(self.address, str) else (LOOPBACK, self.address))
                if self.ask:
                    connection.sendall(self.ask)
                answer = connection.recv(_ANSWER)
                if self.farewell:
                    connection.sendall(self.farewell)
                    connection.recv(_ANSWER)
        except OSError:
            return False
        if self.anywhere:
            return any(word in answer for word in self.expected)
        return answer.startswith(self.expected)
