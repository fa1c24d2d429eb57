"""HTTP servers of the operator process: probes and metrics.

The liveness probe fails when a thread hangs, and not when the API server is away.
"""

from __future__ import annotations

import logging
import socket
import threading
import time
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING

from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from typing_extensions import override

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

log = logging.getLogger(__name__)

FROZEN = 180.0
"""Seconds without a heartbeat after which a thread counts as frozen."""


@dataclass(slots=True)
class Health:
    """What the probes ask."""

    beats: dict[str, Callable[[], float | None]] = field(default_factory=dict)
    """For each thread its last heartbeat, in seconds of the monotonic clock; None for one that is idle on purpose."""
    ready: Callable[[], bool] = lambda: False
    """Returns whether the informers are in sync."""
    refresh: Callable[[], None] = lambda: None
    """Called before metrics are returned."""

    def frozen(self) -> list[str]:
        """Return the names of the threads whose last heartbeat is older than FROZEN, sorted."""
        now = time.monotonic()
        beats = {name: beat() for name, beat in list(self.beats.items())}
        return sorted(name for name, beat in beats.items() if beat is not None and now - beat > FROZEN)


class _Handler(BaseHTTPRequestHandler):
    health: Health

    @override
    def log_message(self, format: str, *args: object) -> None:
        """Keep the probes out of the log."""

    def do_GET(self) -> None:
        path = self.path.partition("?")[0]
        if path in {"/livez", "/healthz"}:
            frozen = self.health.frozen()
            self._answer(503 if frozen else 200, "frozen: " + ", ".join(frozen) if frozen else "ok")
        elif path == "/readyz":
            ready = self.health.ready()
            self._answer(200 if ready else 503, "ok" if ready else "the first lists are not complete")
        elif path == "/metrics":
            self.health.refresh()
            self._answer(200, generate_latest(), CONTENT_TYPE_LATEST)
        else:
            self._answer(404, "no such page")

    def _answer(self, code: int, text: str | bytes, kind: str = "text/plain; charset=utf-8") -> None:
        body = text.encode() if isinstance(text, str) else text
        self.send_response(code)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


class _Server(ThreadingHTTPServer):
    """Listens on all addresses of the pod, of both families where there are two: the kubelet asks the pod's address."""

    daemon_threads = True
    address_family = socket.AF_INET6 if socket.has_dualstack_ipv6() else socket.AF_INET

    @override
    def server_bind(self) -> None:
        """Accept IPv4 too."""
        if self.address_family == socket.AF_INET6:
            self.socket.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        super().server_bind()


def serve(health: Health, ports: Iterable[int]) -> list[ThreadingHTTPServer]:
    """Start an HTTP server on each port, on a thread of its own.

    Args:
        ports: TCP ports.

    Raises:
        OSError: A port is in use.
    """
    handler = type("Handler", (_Handler,), {"health": health})
    servers: list[ThreadingHTTPServer] = []
    for port in ports:
        server = _Server(("", port), handler)
        threading.Thread(target=server.serve_forever, name=f"http {port}", daemon=True).start()
        servers.append(server)
    return servers
