"""A listening socket with few connections at a time, and HTTP responses: one request for each connection.

It uses plain sockets because the HTTP server of the standard library costs ten times its memory in every container.
"""

from __future__ import annotations

import logging
import socket
import threading
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

log = logging.getLogger(__name__)

LONGEST_HEAD = 8192
"""Bytes of a request before its empty line."""
_BACKLOG = 32
_PAUSE = 0.5  # seconds
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


class Listener:
    """Accepts connections and answers each on a thread of its own; connections over the limit are closed.

    Args:
        name: Name of the thread, for logs.
        port: TCP port; 0 takes a free one.
        limit: Connections at the same time.
        answer: Called with each connection, which is closed afterwards; it may raise OSError.

    Attributes:
        port: The port that is open.
    """

    def __init__(self, name: str, port: int, limit: int, answer: Callable[[socket.socket], None]) -> None:
        self._name, self._answer = name, answer
        self._places = threading.BoundedSemaphore(limit)
        self._socket = _listen(port)
        self.port: int = self._socket.getsockname()[1]

    def start(self) -> None:
        """Start the thread that accepts connections; it ends with the process."""
        threading.Thread(target=self._serve, name=self._name, daemon=True).start()

    def _serve(self) -> None:
        """Serve for ever; what keeps a connection from being taken, like a lack of descriptors, passes more slowly."""
        failing = False
        while True:
            try:
                self._take()
                failing = False
            except (OSError, RuntimeError) as error:
                if not failing:  # once, not for each try
                    log.error("%s: accepting a connection failed, retrying: %s", self._name, error)  # noqa: TRY400
                failing = True
                time.sleep(_PAUSE)

    def _take(self) -> None:
        """Hand one connection over; raise OSError or RuntimeError when there is no descriptor or no thread for it."""
        connection, _ = self._socket.accept()
        if not self._places.acquire(blocking=False):
            connection.close()
            return
        try:
            threading.Thread(target=self._attend, args=(connection,), daemon=True).start()
        except BaseException:
            self._places.release()
            connection.close()
            raise

    def _attend(self, connection: socket.socket) -> None:
        try:
            with connection:
                self._answer(connection)
        except OSError:
            pass  # the peer went away, or does not speak as it should
        finally:
            self._places.release()


def respond(connection: socket.socket, code: int, content_type: str, body: bytes) -> None:
    """Write a whole HTTP response with `Connection: close`.

    Args:
        code: HTTP status code; 200, 400, 401, 404, 405, 409, 500 or 503.
        content_type: Value of the header Content-Type.

    Raises:
        OSError: The client has closed the connection, or does not read.
    """
    head = (
        f"HTTP/1.1 {code} {_REASONS[code]}\r\nContent-Type: {content_type}\r\n"
        f"Content-Length: {len(body)}\r\nConnection: close\r\n\r\n"
    )
    connection.sendall(head.encode() + body)


def read_head(connection: socket.socket) -> tuple[bytes, bytes]:
    """Read an HTTP request up to its empty line.

    Returns:
        The request line and the headers, up to about 16 KiB; and what was read behind them.

    Raises:
        OSError: The client has closed the connection, or sends nothing within the timeout of the socket.
    """
    content = b""
    while b"\r\n\r\n" not in content and len(content) < LONGEST_HEAD:
        content += (part := connection.recv(LONGEST_HEAD))
        if not part:
            break
    head, _, rest = content.partition(b"\r\n\r\n")
    return head, rest


def _listen(port: int) -> socket.socket:
    """Listen on all addresses of the pod, of both families where there are two."""
    if socket.has_dualstack_ipv6():
        return socket.create_server(("::", port), family=socket.AF_INET6, backlog=_BACKLOG, dualstack_ipv6=True)
    return socket.create_server(("0.0.0.0", port), backlog=_BACKLOG)  # noqa: S104  the pod's address
