"""The connection to the API server: who it trusts may change while it runs."""

from __future__ import annotations

import http.server
import ssl
import subprocess
import sys
import threading
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import urllib3
import yaml

from postboat.cluster.connection import Connection, PodAccess
from postboat.controller.reconcile.certificates import Pair, authority, leaf

if TYPE_CHECKING:
    from collections.abc import Iterator


class Server:
    """An HTTPS server whose certificate can be exchanged."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        handler = type("Handler", (http.server.SimpleHTTPRequestHandler,), {"log_message": lambda *_: None})
        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self.server.daemon_threads = True

    def certify(self, ca: Pair) -> None:
        made = leaf(ca, ("localhost",), datetime.now(UTC))
        (self.folder / "server.pem").write_bytes(made.certificate + made.key)
        self.context.load_cert_chain(self.folder / "server.pem")

    def start(self) -> None:
        self.server.socket = self.context.wrap_socket(self.server.socket, server_side=True)
        threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    made = Server(tmp_path)
    made.certify(authority("one", datetime.now(UTC)))
    yield made
    made.server.shutdown()
    made.server.server_close()


def status(connection: Connection) -> int:
    response = connection.open("GET", "/", body=None, headers={"Connection": "close"}, timeout=(5, 5))
    response.read()
    response.close()
    return response.status


def test_another_authority_is_trusted_as_soon_as_it_is_there(server: Server, tmp_path: Path) -> None:
    one, two = authority("one", datetime.now(UTC)), authority("two", datetime.now(UTC))
    bundle = tmp_path / "ca.crt"
    bundle.write_bytes(one.certificate)
    address = f"https://localhost:{server.server.server_address[1]}"
    config = {
        "current-context": "a",
        "clusters": [{"name": "a", "cluster": {"server": address, "certificate-authority": str(bundle)}}],
        "users": [{"name": "a", "user": {"token": "word"}}],
        "contexts": [{"name": "a", "context": {"cluster": "a", "user": "a"}}],
    }
    (tmp_path / "config").write_text(yaml.safe_dump(config))
    server.certify(one)
    server.start()
    connection = Connection(str(tmp_path / "config"))
    assert status(connection) == 200
    server.certify(two)
    with pytest.raises(urllib3.exceptions.HTTPError):
        status(connection)
    bundle.write_bytes(two.certificate)
    assert status(connection) == 200


def test_a_pod_connects_by_its_service_account(server: Server, tmp_path: Path) -> None:
    one = authority("one", datetime.now(UTC))
    account = tmp_path / "account"
    account.mkdir()
    (account / "ca.crt").write_bytes(one.certificate)
    (account / "token").write_text("first\n")
    server.certify(one)
    server.start()
    access = PodAccess(f"https://localhost:{server.server.server_address[1]}", account)
    response = access.pool().request("GET", access.credentials().server + "/", retries=False)
    assert response.status == 200
    assert access.credentials().token == "first"
    (account / "token").write_text("second\n")
    assert access.credentials().token == "first", "it was read a moment ago"
    access.reread()
    assert access.credentials().token == "second"


def test_a_pod_needs_no_client_library() -> None:
    code = """
import sys
from postboat.__main__ import hide_client_library
hide_client_library()
from postboat.cluster.connection import Connection
from postboat.controller.process import startup
Connection("", "https://localhost")
sys.exit(any(name.startswith("kubernetes.") for name in sys.modules))
"""
    root = Path(__file__).resolve().parents[3] / "operator"
    environment = {"PYTHONPATH": str(root)}
    assert subprocess.run([sys.executable, "-c", code], check=False, env=environment).returncode == 0  # noqa: S603 - ours
