"""The agent's HTTP server: four pages, GET only, small enough to cost nothing while nobody asks.

It is written on plain sockets because the standard library's server brings ten times its weight into every container.
"""

from __future__ import annotations

import logging
import socket
import threading
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

log = logging.getLogger(__name__)

_REQUEST = 8192
_SECONDS = 5.0
_CONNECTIONS = 16
_REASONS = {
    200: "OK",
    400: "Bad Request",
    404: "Not Found",
    405: "Method Not Allowed",
    500: "Error",
    503: "Unavailable",
}

Page = tuple[int, str, bytes]


class Server:
    """Serves pages, each made by a function when it is asked for; connections over the limit are dropped."""

    def __init__(self, port: int, pages: Mapping[str, Callable[[], Page]]) -> None:
        self._pages = pages
        self._places = threading.BoundedSemaphore(_CONNECTIONS)
        self._socket = socket.create_server(("0.0.0.0", port), backlog=32)  # noqa: S104  the pod's address
        self.port: int = self._socket.getsockname()[1]

    def start(self) -> None:
        """Serve in a thread that ends with the process."""
        threading.Thread(target=self._serve, name="server", daemon=True).start()

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

    def _answer(self, connection: socket.socket) -> None:
        try:
            with connection:
                connection.settimeout(_SECONDS)
                code, kind, body = self._page(_read(connection))
                head = (
                    f"HTTP/1.1 {code} {_REASONS[code]}\r\nContent-Type: {kind}\r\n"
                    f"Content-Length: {len(body)}\r\nConnection: close\r\n\r\n"
                )
                connection.sendall(head.encode() + body)
        except OSError:
            pass  # the peer went away
        finally:
            self._places.release()

    def _page(self, request: bytes) -> Page:
        words = request.split(b"\r\n", 1)[0].decode("latin-1").split(" ")
        if len(words) != 3:  # noqa: PLR2004  method, target, version
            return plain(400, "bad request")
        if words[0] != "GET":
            return plain(405, "GET only")
        page = self._pages.get(words[1].partition("?")[0])
        if page is None:
            return plain(404, "no such page")
        try:
            return page()
        except Exception:
            log.exception("a page failed")
            return plain(500, "error")


def plain(code: int, text: str) -> Page:
    """Return a page of one line of text."""
    return code, "text/plain; charset=utf-8", f"{text}\n".encode()


def _read(connection: socket.socket) -> bytes:
    """Read a request up to its empty line."""
    request = b""
    while b"\r\n\r\n" not in request and len(request) < _REQUEST:
        part = connection.recv(_REQUEST)
        if not part:
            break
        request += part
    return request
