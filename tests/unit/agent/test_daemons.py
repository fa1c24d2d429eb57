"""What the agent reads out of rendered configurations, and the pages that it serves."""

from __future__ import annotations

import socket
import threading
import urllib.error
import urllib.request
from typing import TYPE_CHECKING, cast

import pytest

from postboat.agent.children import Child, Children
from postboat.agent.daemons.base import Daemon
from postboat.agent.daemons.dovecot import Dovecot
from postboat.agent.daemons.dovecot import listeners as dovecot_listeners
from postboat.agent.daemons.postfix import listeners, refusing
from postboat.agent.probe import Probe
from postboat.agent.server import Page, Server, plain
from postboat.agent.status import Status

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
    (tmp_path / "dovecot.conf").write_text(f"service x {{\n  inet_listener y {{\n    port = {port}\n  }}\n}}\n")
    waited: list[float] = []
    monkeypatch.setattr(Daemon, "stop", lambda _self, _main, given: waited.append(given))
    children = Children()
    Dovecot(tmp_path, tmp_path, children).stop(cast("Child", None), 55.0)
    assert waited == [seconds]
