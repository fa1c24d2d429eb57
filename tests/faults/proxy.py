"""An HTTP proxy before the API server that misbehaves on purpose.

It picks a fault for each request from a seeded source of chance, and none at all once it is told to behave.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import random
import socket
import ssl
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from collections.abc import Callable

    from postboat.cluster.connection import Credentials

FAULTS = (
    "none",
    "none",
    "none",
    "refuse",
    "cut",
    "cut",
    "delay",
    "unauthorized",
    "gone",
    "busy",
    "broken",
    "unavailable",
    "mangled",
    "truncate",
    "silence",
    "trickle",
    "garbage",
    "error-event",
    "gone-event",
    "ancient",
    "expired-page",
    "bad-page",
    "split",
)


class FaultProxy:
    """The proxy with its switch and its statistics."""

    def __init__(self, upstream: Credentials, seed: int, *, faults: tuple[str, ...] = FAULTS) -> None:
        self.upstream = upstream
        self.chance = random.Random(seed)  # noqa: S311 - chance, not a secret
        self.faults = faults
        self.behave = False
        self.required = ""
        self.counts: dict[str, int] = {}
        self.lock = threading.Lock()
        self.stopped = threading.Event()
        proxy = self

        class Handler(_Handler):
            owner = proxy

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()

    def stop(self) -> None:
        self.stopped.set()
        self._server.shutdown()
        self._server.server_close()

    def pick(self) -> tuple[str, float]:
        with self.lock:
            fault = "none" if self.behave else self.chance.choice(self.faults) if self.counts else self.faults[-1]
            self.counts[fault] = self.counts.get(fault, 0) + 1
            return fault, self.chance.random()

    def connect(self) -> http.client.HTTPConnection:
        parts = urlsplit(self.upstream.server)
        context = ssl.create_default_context(cafile=None if self.upstream.insecure else self.upstream.ca_path)
        if self.upstream.insecure:
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        if self.upstream.certificate_path:
            context.load_cert_chain(self.upstream.certificate_path, self.upstream.private_key_path)
        return http.client.HTTPSConnection(parts.hostname or "", parts.port or 443, context=context, timeout=120)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    owner: FaultProxy

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002, ANN401
        """Keep the test's output clean."""

    def do_GET(self) -> None:
        self.serve()

    def do_POST(self) -> None:
        self.serve()

    def do_PUT(self) -> None:
        self.serve()

    def do_PATCH(self) -> None:
        self.serve()

    def do_DELETE(self) -> None:
        self.serve()

    def serve(self) -> None:
        fault, dice = self.owner.pick()
        self.close_connection = True
        required = self.owner.required
        if required and self.headers.get("Authorization", "").lower() != f"bearer {required}":
            self.reply(401, b'{"kind":"Status","code":401,"reason":"Unauthorized"}')
            return
        watching = "watch=true" in self.path
        with contextlib.suppress(OSError, http.client.HTTPException):
            if fault == "refuse":
                self.connection.shutdown(socket.SHUT_RDWR)
                return
            if fault == "delay":
                time.sleep(dice * 0.5)
            if not self.answered(fault):
                self.relay(fault, dice, watching=watching)

    def answered(self, fault: str) -> bool:
        """Answer instead of the server for the faults that are plain answers."""
        paged = "continue=" in self.path
        simple: dict[str, tuple[int, str]] = {
            "unauthorized": (401, "Unauthorized"),
            "gone": (410, "Expired"),
            "busy": (429, "TooManyRequests"),
            "broken": (500, "InternalError"),
            "unavailable": (503, "ServiceUnavailable"),
        }
        if fault == "expired-page" and paged:
            simple[fault] = (410, "Expired")
        if fault in simple:
            code, reason = simple[fault]
            body = json.dumps({"kind": "Status", "code": code, "reason": reason}).encode()
            self.reply(code, body, retry_after="1" if fault == "busy" else "")
            return True
        if fault == "mangled":
            self.reply(200, b"<html>a friendly load balancer</html>")
            return True
        return False

    def reply(self, code: int, body: bytes, *, retry_after: str = "") -> None:
        self.send_response(code)
        if retry_after:
            self.send_header("Retry-After", retry_after)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(body)

    def relay(self, fault: str, dice: float, *, watching: bool) -> None:
        path = self.path
        if fault == "ancient" and watching:
            path = _replaced(path, "resourceVersion", "1")
        if fault == "bad-page":
            path = _replaced(path, "continue", "bm90IGEgdG9rZW4")
        headers = {key: value for key, value in self.headers.items() if key.lower() not in {"host", "connection"}}
        if self.owner.upstream.token:
            headers["Authorization"] = f"Bearer {self.owner.upstream.token}"
        upstream = self.owner.connect()
        try:
            length = int(self.headers.get("Content-Length") or 0)
            upstream.request(self.command, path, body=self.rfile.read(length) or None, headers=headers)
            response = upstream.getresponse()
            self.send_response(response.status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Transfer-Encoding", "chunked")
            self.send_header("Connection", "close")
            self.end_headers()
            _Spoiler(fault, dice, self.chunk, self.owner).pump(response, watching=watching)
            self.wfile.write(b"0\r\n\r\n")
        finally:
            upstream.close()

    def chunk(self, part: bytes) -> None:
        if part:
            self.wfile.write(b"%x\r\n%s\r\n" % (len(part), part))
            self.wfile.flush()


class _Spoiler:
    """Passes a body on until its fault strikes."""

    def __init__(self, fault: str, dice: float, send: Callable[[bytes], None], owner: FaultProxy) -> None:
        self.fault = fault
        self.send = send
        self.owner = owner
        self.left = int(dice * 30_000)

    def pump(self, response: http.client.HTTPResponse, *, watching: bool) -> None:
        if response.fp is not None and watching:
            with contextlib.suppress(AttributeError):
                response.fp.raw._sock.settimeout(None)  # type: ignore[attr-defined]
        while part := response.read1(65536):
            struck = self.fault not in {"none", "delay"} and len(part) >= self.left
            if not struck or self.owner.behave:
                self.left -= len(part)
                self.send(part)
            elif self.strike(part):
                return

    def strike(self, part: bytes) -> bool:
        """Do the harm; True when the body ends here."""
        head, tail = part[: self.left], part[self.left :]
        if self.fault == "cut":
            self.send(head)
            raise ConnectionAbortedError
        if self.fault == "truncate":
            self.send(head)
            return True
        if self.fault == "silence":
            self.send(head)
            self.owner.stopped.wait(6)
            raise ConnectionAbortedError
        if self.fault == "trickle":
            for number in range(min(40, len(part))):
                self.send(part[number : number + 1])
                time.sleep(0.1)
            raise ConnectionAbortedError
        if self.fault in {"error-event", "gone-event"}:
            code = 410 if self.fault == "gone-event" else 500
            self.send(json.dumps({"type": "ERROR", "object": {"kind": "Status", "code": code}}).encode() + b"\n")
            return True
        if self.fault == "garbage":
            self.send(b'{"type":"MODIFIED","object":\n')
            return True
        self.fault = "none" if self.fault != "split" else "split"
        for byte in (head[:7], head[7:], tail[:11], tail[11:]):
            self.send(byte)
        return False


def _replaced(path: str, parameter: str, value: str) -> str:
    base, _, query = path.partition("?")
    pairs = [pair.partition("=") for pair in query.split("&")]
    return base + "?" + "&".join(f"{name}={value if name == parameter else old}" for name, _, old in pairs)
