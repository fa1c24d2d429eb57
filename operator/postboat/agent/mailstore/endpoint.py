"""The operator's port of a store: HTTPS with the store's own certificate, for whoever shows the operator's secret.

What it says names people, so nothing is answered before that.
"""

from __future__ import annotations

import hmac
import json
import logging
import socket
import ssl
import threading
from typing import TYPE_CHECKING
from urllib.parse import parse_qs

from postboat.agent.mailstore.eraser import Answer
from postboat.agent.mailstore.ledger import Kind

if TYPE_CHECKING:
    from pathlib import Path

    from postboat.agent.mailstore.eraser import Eraser
    from postboat.agent.mailstore.ledger import Ledger

log = logging.getLogger(__name__)

TOKEN = "operator.token"  # noqa: S105  the name of a file
_REQUEST = 8192
_BODY = 1024
_SECONDS = 10.0
_CONNECTIONS = 8
_WORDS = 3  # method, target, version
_REASONS = {
    200: "OK",
    400: "Bad Request",
    401: "Unauthorized",
    404: "Not Found",
    405: "Method Not Allowed",
    409: "Conflict",
    500: "Error",
    503: "Unavailable",
}
_CODES = {Answer.DONE: 200, Answer.ERASING: 200, Answer.LIVING: 409, Answer.INVALID: 400}
# A page for each kind: an agent that does not know public mailboxes must not take the order for one about a person.
_ERASE = {"/v1/erase": Kind.PERSONAL, "/v1/erase-public": Kind.PUBLIC}
_MAILBOXES = "/v1/mailboxes"

Reply = tuple[int, dict[str, object]]


class Endpoint:
    """Serves one request a connection; connections over the limit are dropped."""

    def __init__(self, port: int, active: Path, ledger: Ledger, eraser: Eraser) -> None:
        self._active, self._ledger, self._eraser = active, ledger, eraser
        self._places = threading.BoundedSemaphore(_CONNECTIONS)
        self._context: ssl.SSLContext | None = None
        self._generation = ""
        self._socket = _listen(port)
        self.port: int = self._socket.getsockname()[1]

    def start(self) -> None:
        """Serve in a thread that ends with the process."""
        threading.Thread(target=self._serve, name="endpoint", daemon=True).start()

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self._socket.accept()
                if self._places.acquire(blocking=False):
                    threading.Thread(target=self._answer, args=(connection,), daemon=True).start()
                else:
                    connection.close()
            except (OSError, RuntimeError):
                log.exception("accept failed")

    def _answer(self, plain: socket.socket) -> None:
        try:
            with plain:
                plain.settimeout(_SECONDS)
                with self._tls().wrap_socket(plain, server_side=True) as connection:
                    code, said = self._reply(*_read(connection))
                    body = json.dumps(said, separators=(",", ":")).encode()
                    head = (
                        f"HTTP/1.1 {code} {_REASONS[code]}\r\nContent-Type: application/json\r\n"
                        f"Content-Length: {len(body)}\r\nConnection: close\r\n\r\n"
                    )
                    connection.sendall(head.encode() + body)
        except OSError:
            pass  # the peer went away, speaks no TLS, or nothing is in force yet
        finally:
            self._places.release()

    def _tls(self) -> ssl.SSLContext:
        """Give the context of the certificate in force: each generation of files is a folder of its own."""
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
            log.exception("a request failed")
            return 503, {"error": "unavailable"}
        except Exception:
            log.exception("a request failed")
            return 500, {"error": "error"}

    def _page(self, method: str, target: str, body: bytes) -> Reply:
        path, _, query = target.partition("?")
        if (method, path) == ("GET", _MAILBOXES):
            return self._mailboxes(query)
        if method == "POST" and path in _ERASE:
            return self._erase(body, _ERASE[path])
        return (405 if path in {*_ERASE, _MAILBOXES} else 404), {"error": "no such page"}

    def _admitted(self, given: str) -> bool:
        """Compare in constant time; a store without a secret admits nobody."""
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
        return 200, {"epoch": self._ledger.epoch, "number": page.number, "more": page.more, "mailboxes": entries}

    def _erase(self, body: bytes, kind: Kind) -> Reply:
        order = json.loads(body)
        user = order.get("user") if isinstance(order, dict) else None
        if not isinstance(user, str):
            return 400, {"error": "bad request"}
        answer = self._eraser.erase(user, kind)
        return _CODES[answer], {"state": answer.value}


def _listen(port: int) -> socket.socket:
    if socket.has_dualstack_ipv6():
        return socket.create_server(("::", port), family=socket.AF_INET6, backlog=16, dualstack_ipv6=True)
    return socket.create_server(("0.0.0.0", port), backlog=16)  # noqa: S104  the pod's address


def _read(connection: socket.socket) -> tuple[bytes, bytes]:
    """Read a request: its head up to the empty line, and as much of a body as it announces, up to the limit."""
    content = b""
    while b"\r\n\r\n" not in content and len(content) < _REQUEST:
        content += (part := connection.recv(_REQUEST))
        if not part:
            break
    head, _, body = content.partition(b"\r\n\r\n")
    length = 0
    for line in head.lower().split(b"\r\n"):
        name, _, value = line.partition(b":")
        if name == b"content-length" and value.strip().isdigit():
            length = min(int(value), _BODY)
    while len(body) < length and (part := connection.recv(length - len(body))):
        body += part
    return head, body[:length]
