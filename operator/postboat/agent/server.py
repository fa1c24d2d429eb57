"""The agent's HTTP pages for probes, the operator and metrics: GET only, on plain sockets."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from postboat.agent.listener import Listener, read_head, respond

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable, Mapping

log = logging.getLogger(__name__)

_SECONDS = 5.0
_CONNECTIONS = 16

Page = tuple[int, str, bytes]
"""HTTP status code, content type, and body."""


class Server:
    """An HTTP server for a fixed set of pages.

    Args:
        port: TCP port; 0 takes a free one.
        pages: For each path the function that makes the page; it is called for each request, on a thread of its own.

    Attributes:
        port: The port that is open.
    """

    def __init__(self, port: int, pages: Mapping[str, Callable[[], Page]]) -> None:
        self._pages = pages
        self._listener = Listener("server", port, _CONNECTIONS, self._answer)
        self.port = self._listener.port

    def start(self) -> None:
        """Start the thread that serves; it ends with the process."""
        self._listener.start()

    def _answer(self, connection: socket.socket) -> None:
        connection.settimeout(_SECONDS)
        head, _ = read_head(connection)
        respond(connection, *self._page(head))

    def _page(self, head: bytes) -> Page:
        words = head.split(b"\r\n", 1)[0].decode("latin-1").split(" ")
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
            log.exception("making a page failed")
            return plain(500, "error")


def plain(code: int, text: str) -> Page:
    """Return a page with one line of text.

    Args:
        code: HTTP status code.
        text: Without the line end.
    """
    return code, "text/plain; charset=utf-8", f"{text}\n".encode()
