"""What the agent reads out of rendered configurations, and the pages that it serves."""

from __future__ import annotations

import datetime as dt
import errno
import json
import socket
import ssl
import sys
import threading
import time
import urllib.error
import urllib.request
from contextlib import suppress
from typing import TYPE_CHECKING, cast

import pytest

from postboat.agent.children import Child, Children, wait_until
from postboat.agent.daemons.base import Daemon
from postboat.agent.daemons.dovecot import Dovecot
from postboat.agent.daemons.dovecot import listeners as dovecot_listeners
from postboat.agent.daemons.postfix import Postfix, listeners, refusing
from postboat.agent.listener import Listener
from postboat.agent.probe import Probe, Tls
from postboat.agent.server import Page, Server, plain
from postboat.agent.status import Status
from postboat.agent.storage import fill, metrics
from postboat.controller.reconcile.certificates import authority, leaf
from tests.unit.render.test_render import file, rendered

if TYPE_CHECKING:
    from pathlib import Path

MASTER = """# comment
10025 inet n - n - - smtpd
  -o { syslog_name = postfix/smtpd }

# between
127.0.0.1:10026 inet n - n - - smtpd
pickup unix n - n 60 1 pickup
10099 inet n - n - - spawn
"""

EDGE = """
passdb directory {
  sql_query = SELECT 'x' AS port = 10024
}
service auth {
  unix_listener sasl {
    path = /run/edge/auth
    mode = 0666
  }
}
service imap-login {
  inet_listener imap {
    port = 10143
  }
  inet_listener imaps {
    port = 10993
    ssl = yes
  }
  inet_listener proxied {
    port = 20143
    haproxy = yes
  }
  inet_listener off {
    port = 0
  }
}
"""


def test_every_listener_refuses_and_nothing_else_changes() -> None:
    changed = refusing(MASTER).splitlines()
    assert [line for line in changed if "smtpd_client_restrictions" not in line] == MASTER.splitlines()
    refusals = [number for number, line in enumerate(changed) if "421 4.3.2" in line]
    assert len(refusals) == 2
    assert changed[refusals[0] + 1].startswith("127.0.0.1:10026")
    assert changed[refusals[1] - 1].startswith("127.0.0.1:10026")
    assert list(listeners(MASTER)) == [10025, 10026]


def test_only_plain_listeners_are_probed() -> None:
    assert dovecot_listeners(EDGE) == {10143, "/run/edge/auth"}
    assert dovecot_listeners(EDGE, tls=True) == {10993}


def test_a_store_is_asked_for_deliveries_and_called_by_the_name_that_postfix_has_for_it(tmp_path: Path) -> None:
    (tmp_path / "dovecot.conf").write_bytes(file(rendered(), "store", "dovecot.conf").content)
    login, probe = Dovecot(tmp_path, tmp_path, Children()).probes()
    assert login.address == 10143
    main = file(rendered(), "smtp", "main.cf").content.decode()
    assert probe.tls is not None
    assert f"\nlmtp_tls_servername = {probe.tls.name}\n" in main
    assert probe.address == 10024


def test_an_edge_beside_postfix_is_asked_for_logins_alone(tmp_path: Path) -> None:
    (tmp_path / "dovecot.conf").write_bytes(file(rendered(), "smtp-edge", "dovecot.conf").content)
    (probe,) = Dovecot(tmp_path, tmp_path, Children()).probes()
    assert probe.address == "/run/edge/auth"


@pytest.mark.parametrize(
    ("banner", "answers"), [(b"220 mail ESMTP\r\n", True), (b"421 later\r\n", False), (b"", False)]
)
def test_a_probe_wants_the_banner_not_a_connection(banner: bytes, *, answers: bool) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            connection, _ = server.accept()
            with connection:
                connection.sendall(banner)

        thread = threading.Thread(target=serve)
        thread.start()
        assert Probe(server.getsockname()[1], (b"220",)).answers(2) is answers
        thread.join()
    assert not Probe("/no/such/socket", (b"220",)).answers(1)


@pytest.mark.parametrize(("answer", "answers"), [(b"protocol\0", True), (b"", False), (b"no protocol", False)])
def test_a_probe_of_a_socket_asks_and_says_goodbye_to_whoever_answers(
    tmp_path: Path, answer: bytes, *, answers: bool
) -> None:
    heard = bytearray()
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(tmp_path / "s"))
        server.listen()

        def serve() -> None:
            connection, _ = server.accept()
            with connection, suppress(OSError):
                heard.extend(connection.recv(100))
                connection.sendall(answer)
                connection.shutdown(socket.SHUT_WR)
                while part := connection.recv(100):
                    heard.extend(part)

        thread = threading.Thread(target=serve)
        thread.start()
        probe = Probe(str(tmp_path / "s"), (b"protocol",), ask=b"question", farewell=b"bye")
        assert probe.answers(5) is answers
        thread.join()
    assert heard == b"questionbye"


@pytest.mark.parametrize("known", [True, False])
def test_a_probe_within_tls_shows_a_certificate_and_wants_one(tmp_path: Path, *, known: bool) -> None:
    now = dt.datetime.now(dt.UTC)
    ours, other = authority("ours", now), authority("other", now)
    store = leaf(ours if known else other, ("store.example",), now)
    client = leaf(ours, (), now, client=True, name="client")
    pieces = {
        "ca": ours.certificate,
        "crt": client.certificate,
        "key": client.key,
        "pem": store.key + store.certificate,
    }
    for name, content in pieces.items():
        (tmp_path / name).write_bytes(content)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "pem")
    context.load_verify_locations(tmp_path / "ca")
    context.verify_mode = ssl.CERT_REQUIRED
    called: list[str | None] = []
    context.sni_callback = lambda _socket, name, _context: called.append(name)
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            connection, _ = server.accept()
            with connection, suppress(OSError), context.wrap_socket(connection, server_side=True) as secured:
                secured.sendall(b"220 store\r\n")

        thread = threading.Thread(target=serve)
        thread.start()
        tls = Tls("mail.example", tmp_path / "ca", tmp_path / "crt", tmp_path / "key")
        assert Probe(server.getsockname()[1], (b"220",), tls=tls).answers(5) is known
        thread.join()
    assert called == ["mail.example"]


def test_the_server_serves_get_and_survives_a_page_that_fails() -> None:
    def explode() -> Page:
        raise RuntimeError("explosion")

    server = Server(0, {"/livez": lambda: plain(200, "ok"), "/bad": explode})
    server.start()

    def fetch(path: str, method: str = "GET") -> tuple[int, bytes]:
        request = urllib.request.Request(f"http://127.0.0.1:{server.port}{path}", method=method)
        try:
            with urllib.request.urlopen(request, timeout=5) as answer:  # noqa: S310
                return answer.status, answer.read()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.read()

    assert fetch("/livez?verbose") == (200, b"ok\n")
    assert fetch("/bad")[0] == 500
    assert fetch("/other")[0] == 404
    assert fetch("/livez", "DELETE")[0] == 405
    with socket.create_connection(("127.0.0.1", server.port), timeout=5) as raw:
        raw.sendall(b"nonsense\r\n\r\n")
        assert raw.recv(100).startswith(b"HTTP/1.1 400")
    assert fetch("/livez")[0] == 200


def test_status_and_metrics_tell_the_same() -> None:
    status = Status("postfix")
    status.seen("aa")
    status.activated("aa", 0.5)
    status.activated("aa", 0.7)
    status.restarted()
    status.failed("InvalidConfiguration")
    assert status.page() == (
        b'{"activations": 1, "daemon": "postfix", "digest": "aa", "error": "InvalidConfiguration",'
        b' "ready": false, "restarts": 1, "seen": "aa"}\n'
    )
    metrics = status.metrics("more 1\n").decode()
    assert 'postboat_agent_in_force{daemon="postfix"} 1\n' in metrics
    assert 'postboat_agent_activations_total{daemon="postfix"} 1\n' in metrics
    assert 'postboat_agent_activation_failures_total{daemon="postfix"} 1\n' in metrics
    assert metrics.endswith("more 1\n")


@pytest.mark.parametrize(("port", "seconds"), [(10024, 6.0), (10143, 55.0)])
def test_a_store_does_not_wait_for_idle_sessions(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, port: int, seconds: float
) -> None:
    listener = f"  inet_listener y {{\n    port = {port}\n    ssl = yes\n  }}\n"
    (tmp_path / "dovecot.conf").write_text(f"service x {{\n{listener}}}\n")
    waited: list[float] = []
    monkeypatch.setattr(Daemon, "stop", lambda _self, _main, given: waited.append(given))
    children = Children()
    Dovecot(tmp_path, tmp_path, children).stop(cast("Child", None), 55.0)
    assert waited == [seconds]


def test_a_lack_of_descriptors_neither_spins_nor_fills_the_log(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    tries: list[float] = []

    class Exhausted:
        def accept(self) -> None:
            tries.append(time.monotonic())
            if len(tries) > 3:
                sys.exit()  # ends the thread
            raise OSError(errno.EMFILE, "Too many open files")

    monkeypatch.setattr("postboat.agent.listener._PAUSE", 0.05)
    listener = Listener("server", 0, 2, lambda _: None)
    listener._socket.close()
    listener._socket = cast("socket.socket", Exhausted())
    with pytest.raises(SystemExit):
        listener._serve()
    assert tries[-1] - tries[0] >= 0.15
    assert len(caplog.records) == 1
    assert caplog.records[0].message.startswith("server: accepting a connection failed, retrying: ")


def test_a_thread_that_does_not_start_gives_its_place_back(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_: object) -> None:
        raise RuntimeError("can't start new thread")

    served: list[bytes] = []
    listener = Listener("server", 0, 1, lambda connection: served.append(connection.recv(10)))
    for _ in range(3):
        with monkeypatch.context() as patch, socket.create_connection(("127.0.0.1", listener.port)) as client:
            patch.setattr(threading.Thread, "start", fail)
            with pytest.raises(RuntimeError):
                listener._take()
            assert client.recv(1) == b"", "the connection is closed"
    with socket.create_connection(("127.0.0.1", listener.port)) as client:
        client.sendall(b"hello")
        listener._take()
        assert wait_until(lambda: served == [b"hello"], 10)
    listener._socket.close()


def test_a_volume_is_told_in_the_status_and_in_the_metrics(tmp_path: Path) -> None:
    found = fill(tmp_path, 150)
    assert found is not None
    assert found.needed == 150
    assert 0 < found.available <= found.size
    assert fill(None, 1) is fill(tmp_path / "missing", 1) is None
    page = json.loads(Status("postfix").page(found))
    assert page["volume"]["available"] == found.available
    assert "volume" not in json.loads(Status("postfix").page())
    lines = metrics(found, "postfix").splitlines()
    assert f'postboat_agent_volume_available_bytes{{daemon="postfix"}} {found.available}' in lines
    assert f'postboat_agent_volume_inodes_available{{daemon="postfix"}} {found.inodes_available}' in lines
    assert metrics(None, "postfix") == ""


def test_postfix_needs_room_for_its_largest_message(tmp_path: Path) -> None:
    postfix = Postfix(tmp_path, tmp_path, Children())
    assert postfix.needed() == 0
    (tmp_path / "main.cf").write_text("mailbox_size_limit = 7\nmessage_size_limit = 1000\n")
    assert postfix.needed() == 1500
