"""A ManageSieve client (RFC 5804) of the few commands that the cases need.

It refuses to send a password before TLS, as a client should, unless a case tells it to try.
"""

from __future__ import annotations

import base64
import socket
import ssl
from typing import Self

from e2e.clients import SECONDS, Account


class RefusedError(Exception):
    """The server said NO or BYE; the message is what it said."""


class ManageSieve:
    """One session."""

    def __init__(self, account: Account, port: int = 4190, *, tls: bool = True) -> None:
        self._account = account
        self._socket: socket.socket = socket.create_connection((account.hostname, port), SECONDS)
        self._lines = self._socket.makefile("rb")
        self.capabilities = self._answer()
        if tls:
            self.command("STARTTLS")
            self._lines.close()
            self._socket = account.context().wrap_socket(self._socket, server_hostname=account.hostname)
            self._lines = self._socket.makefile("rb")
            self.capabilities = self._answer()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self._lines.close()
        self._socket.close()

    @property
    def secure(self) -> bool:
        return isinstance(self._socket, ssl.SSLSocket)

    def login(self) -> Self:
        """Log in with SASL PLAIN."""
        account = self._account
        response = base64.b64encode(f"\0{account.user}\0{account.password}".encode()).decode()
        self.command(f'AUTHENTICATE "PLAIN" "{response}"')
        return self

    def put(self, name: str, script: str, *, active: bool = True) -> None:
        """Upload a script and make it the active one."""
        content = script.encode()
        self.command(f'PUTSCRIPT "{name}" {{{len(content)}+}}', content)
        if active:
            self.command(f'SETACTIVE "{name}"')

    def scripts(self) -> dict[str, bool]:
        """The names of the scripts, and which of them is active."""
        return {line.split('"')[1]: line.endswith("ACTIVE") for line in self.command("LISTSCRIPTS")}

    def command(self, line: str, content: bytes = b"") -> list[str]:
        """Send a command; return the lines before OK, or raise what the server says instead."""
        self._socket.sendall(line.encode() + b"\r\n" + (content + b"\r\n" if content else b""))
        return self._answer()

    def _answer(self) -> list[str]:
        lines: list[str] = []
        while True:
            line = self._lines.readline().decode()
            word = line.split(maxsplit=1)[0].upper() if line.strip() else ""
            if not line:
                raise RefusedError("the server closed the connection")
            if word == "OK":
                return lines
            if word in {"NO", "BYE"}:
                raise RefusedError(self._whole(line))
            lines.append(line.rstrip("\r\n"))

    def _whole(self, line: str) -> str:
        """A refusal with its literal, where it has one."""
        if line.rstrip().endswith("}"):
            size = int(line.rstrip().rpartition("{")[2].rstrip("+}"))
            text = self._lines.read(size).decode()
            self._lines.readline()
            return line + text
        return line


def active_script(account: Account, script: str) -> None:
    """Make this the script of a user."""
    with ManageSieve(account) as session:
        session.login().put("case", script)
