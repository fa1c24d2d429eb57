"""A listening socket with few connections at a time, and HTTP answers to them: one request a connection.

It is written on plain sockets because the standard library's server brings ten times its weight into every container.
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
    """Hands each connection to `answer` in a thread of its own; connections over the limit are dropped."""

    def __init__(self, name: str, port: int, limit: int, answer: Callable[[socket.socket], None]) -> None:
        self._name, self._answer = name, answer
        self._places = threading.BoundedSemaphore(limit)
        self._socket = _listen(port)
        self.port: int = self._socket.getsockname()[1]

    def start(self) -> None:
        """Serve in a thread that ends with the process."""
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
    """Write a whole response and say that no other follows."""
    head = (
        f"HTTP/1.1 {code} {_REASONS[code]}\r\nContent-Type: {content_type}\r\n"
        f"Content-Length: {len(body)}\r\nConnection: close\r\n\r\n"
    )
    connection.sendall(head.encode() + body)


def read_head(connection: socket.socket) -> tuple[bytes, bytes]:
    """Read a request up to its empty line, and give what came behind it too."""
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
