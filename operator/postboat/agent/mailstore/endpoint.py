"""The operator's port of a store: HTTPS with the store's own certificate, for clients with the operator's token.

Answers contain user names, so nothing is answered without the token.
"""

from __future__ import annotations

import hmac
import json
import logging
import ssl
from typing import TYPE_CHECKING
from urllib.parse import parse_qs

from postboat.agent.listener import Listener, read_head, respond
from postboat.agent.mailstore.eraser import Answer
from postboat.agent.mailstore.ledger import Kind

if TYPE_CHECKING:
    import socket
    from pathlib import Path

    from postboat.agent.mailstore.eraser import Eraser
    from postboat.agent.mailstore.ledger import Ledger

log = logging.getLogger(__name__)

TOKEN = "operator.token"  # noqa: S105  the name of a file
_BODY = 1024
_SECONDS = 10.0
_CONNECTIONS = 8
_WORDS = 3  # method, target, version
_CODES = {Answer.DONE: 200, Answer.ERASING: 200, Answer.LIVING: 409, Answer.INVALID: 400}
# A page for each kind: an agent that does not know public mailboxes must not take the order for one about a person.
_ERASE = {"/v1/erase": Kind.PERSONAL, "/v1/erase-public": Kind.PUBLIC}
_MAILBOXES = "/v1/mailboxes"

Reply = tuple[int, dict[str, object]]


class Endpoint:
    """The HTTPS server for the operator.

    Args:
        port: TCP port; 0 takes a free one.
        active: Folder of the active configuration, with `operator.token`, `store.crt` and `store.key`.

    Attributes:
        port: The port that is open.
    """

    def __init__(self, port: int, active: Path, ledger: Ledger, eraser: Eraser) -> None:
        self._active, self._ledger, self._eraser = active, ledger, eraser
        self._context: ssl.SSLContext | None = None
        self._generation = ""
        self._listener = Listener("endpoint", port, _CONNECTIONS, self._answer)
        self.port = self._listener.port

    def start(self) -> None:
        """Start the thread that serves; it ends with the process."""
        self._listener.start()

    def _answer(self, plain: socket.socket) -> None:
        plain.settimeout(_SECONDS)
        with self._tls().wrap_socket(plain, server_side=True) as connection:
            code, said = self._reply(*_read(connection))
            respond(connection, code, "application/json", json.dumps(said, separators=(",", ":")).encode())

    def _tls(self) -> ssl.SSLContext:
        """Return the TLS context for the active certificate; each generation of files is a folder of its own."""
        generation = str(self._active.resolve())
        if self._context is None or generation != self._generation:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.minimum_version = ssl.TLSVersion.TLSv1_2
            context.load_cert_chain(self._active / "store.crt", self._active / "store.key")
            self._context, self._generation = context, generation
        return self._context

    def _reply(self, head: bytes, body: bytes) -> Reply:
        lines = head.decode("latin-1").split("\r\n")
        words = lines[0].split(" ")
        fields = {name.strip().lower(): value.strip() for name, _, value in (line.partition(":") for line in lines[1:])}
        if not self._admitted(fields.get("authorization", "")):
            return 401, {"error": "unauthorized"}
        if len(words) != _WORDS:
            return 400, {"error": "bad request"}
        try:
            return self._page(words[0], words[1], body)
        except ValueError:
            return 400, {"error": "bad request"}
        except OSError:
            log.exception("handling a request failed")
            return 503, {"error": "unavailable"}
        except Exception:
            log.exception("handling a request failed")
            return 500, {"error": "error"}

    def _page(self, method: str, target: str, body: bytes) -> Reply:
        path, _, query = target.partition("?")
        if (method, path) == ("GET", _MAILBOXES):
            return self._mailboxes(query)
        if method == "POST" and path in _ERASE:
            return self._erase(body, _ERASE[path])
        return (405 if path in {*_ERASE, _MAILBOXES} else 404), {"error": "no such page"}

    def _admitted(self, given: str) -> bool:
        """Return whether the token is right, comparing in constant time; without a token on this side it never is."""
        try:
            token = (self._active / TOKEN).read_bytes().strip()
        except OSError:
            return False
        return bool(token) and hmac.compare_digest(given.encode("latin-1", "replace"), b"Bearer " + token)

    def _mailboxes(self, query: str) -> Reply:
        asked = parse_qs(query)
        since = int(asked.get("since", ["0"])[0]) if asked.get("epoch", [""])[0] == self._ledger.epoch else 0
        page = self._ledger.changes(since)
        entries = [[*entry[:3], int(entry.folder)] for entry in page.entries]
        told = {"epoch": self._ledger.epoch, "volume": self._ledger.volume, "number": page.number, "more": page.more}
        return 200, {**told, "mailboxes": entries}

    def _erase(self, body: bytes, kind: Kind) -> Reply:
        order = json.loads(body)
        user = order.get("user") if isinstance(order, dict) else None
        if not isinstance(user, str):
            return 400, {"error": "bad request"}
        answer = self._eraser.erase(user, kind)
        return _CODES[answer], {"state": answer.value}


def _read(connection: socket.socket) -> tuple[bytes, bytes]:
    """Read a request: its head, and as much of a body as it announces, up to the limit."""
    head, body = read_head(connection)
    length = 0
    for line in head.lower().split(b"\r\n"):
        name, _, value = line.partition(b":")
        if name == b"content-length" and value.strip().isdigit():
            length = min(int(value), _BODY)
    while len(body) < length and (part := connection.recv(length - len(body))):
        body += part
    return head, body[:length]
