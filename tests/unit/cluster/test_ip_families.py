"""Both IP families: who asks an agent, a store or the operator itself reaches them by either address."""

from __future__ import annotations

import json
import threading
import urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING

import pytest

from postboat.agent.listener import _listen
from postboat.cluster import observe
from postboat.cluster.observe import AgentReport, Agents, Pod
from postboat.controller.process.health import Health, serve

if TYPE_CHECKING:
    from collections.abc import Iterator

FAMILIES = ("127.0.0.1", "::1")


class Status(BaseHTTPRequestHandler):
    """An agent that is done."""

    def do_GET(self) -> None:
        body = json.dumps({"digest": "d", "seen": "d", "error": "", "ready": True}).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture
def agent_port() -> Iterator[int]:
    """An agent behind the listener of agents."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Status, bind_and_activate=False)
    server.socket.close()
    server.socket = _listen(0)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server.socket.getsockname()[1]
    server.shutdown()
    server.server_close()


@pytest.mark.parametrize("address", FAMILIES)
def test_agents_are_asked(address: str, agent_port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(observe, "AGENT_PORT", agent_port)
    pod = Pod("ns", "mail-imap-0", "u", "mail", "imap", address, "Running", True, False, 0, ("dovecot",), {})  # noqa: FBT003
    agents = Agents()
    assert agents.ask([(pod, "dovecot")]) == {("mail-imap-0", "dovecot"): AgentReport("d", "d", "", ready=True)}
    agents.stop()


@pytest.mark.parametrize("address", FAMILIES)
def test_the_kubelet_reaches_the_operator(address: str) -> None:
    (server,) = serve(Health(), [0])
    host = f"[{address}]" if ":" in address else address
    with urllib.request.urlopen(f"http://{host}:{server.socket.getsockname()[1]}/livez", timeout=10) as answer:
        assert answer.status == 200
    server.shutdown()
    server.server_close()
