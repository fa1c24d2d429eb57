"""The process on kopf: how it logs in, which probes it answers, what kopf is kept from doing, and how it ends."""

from __future__ import annotations

import asyncio
import datetime as dt
import socket
import urllib.error
import urllib.request
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import kopf
import pytest

from postboat.cluster.connection import Credentials
from postboat.controller.process import startup
from postboat.controller.process.health import Health
from postboat.settings import Settings, from_environment

if TYPE_CHECKING:
    from collections.abc import Callable

CREDENTIALS = Credentials("https://api", "/ca.crt", False, "old", "/tls.crt", "/tls.key")  # noqa: FBT003


class Connection:
    """Has another token once it was read again."""

    def __init__(self) -> None:
        self.known = CREDENTIALS
        self.next = replace(CREDENTIALS, token="new")

    def reread(self) -> None:
        self.known = self.next

    def credentials(self) -> Credentials:
        return self.known


class Operator:
    """What the process starts and stops."""

    def __init__(self, settings: Settings | None = None) -> None:
        self.settings = settings or from_environment({})
        self.connection = Connection()
        self.health = Health()
        self.kept: list[asyncio.Task[None]] = []
        self.calls: list[str] = []

    def start(self) -> None:
        self.calls.append("start")

    def stop(self) -> None:
        self.calls.append("stop")


def free_port() -> int:
    with socket.socket(socket.AF_INET6) as probe:
        probe.bind(("::", 0))
        return int(probe.getsockname()[1])


def answer(port: int, page: str = "/livez") -> int:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{page}", timeout=60) as response:
            return int(response.status)
    except urllib.error.HTTPError as refusal:
        return refusal.code


def handlers(operator: Operator) -> dict[str, Callable[..., Any]]:
    registry = startup.registry(operator)  # type: ignore[arg-type] - all that it asks of it
    return {str(handler.activity): handler.fn for handler in registry._activities._handlers}


def test_the_login_takes_the_credential_as_it_is_now() -> None:
    operator = Operator()
    before = dt.datetime.now(dt.UTC)
    info = startup.connection_info(operator)  # type: ignore[arg-type] - all that it asks of it
    assert (info.server, info.ca_path, info.insecure) == ("https://api", "/ca.crt", False)
    assert (info.scheme, info.token) == ("Bearer", "new")
    assert (info.certificate_path, info.private_key_path) == ("/tls.crt", "/tls.key")
    assert info.expiration is not None
    assert before < info.expiration <= dt.datetime.now(dt.UTC) + dt.timedelta(minutes=10), "then it logs in again"


def test_a_login_by_certificate_has_no_token() -> None:
    operator = Operator()
    operator.connection.next = replace(CREDENTIALS, token=None, insecure=True)
    info = startup.connection_info(operator)  # type: ignore[arg-type] - all that it asks of it
    assert (info.scheme, info.token, info.insecure) == (None, None, True)


def test_kopf_neither_scans_nor_posts_events() -> None:
    settings = startup.configured()
    assert settings.scanning.disabled
    assert not settings.posting.enabled
    assert isinstance(settings.networking.request_timeout, int), "no request waits for ever"
    assert settings.networking.request_timeout <= 60
    assert settings.process.ultimate_exiting_timeout is not None


def test_kopf_logs_in_starts_and_stops_the_operator(monkeypatch: pytest.MonkeyPatch) -> None:
    operator = Operator()
    begun: list[object] = []
    monkeypatch.setattr(startup, "begin", begun.append)
    known = handlers(operator)
    assert len(known) == 3
    by_name = {name.rsplit(".", 1)[-1].lower(): function for name, function in known.items()}
    info = asyncio.run(by_name["authentication"]())
    assert isinstance(info, kopf.ConnectionInfo)
    asyncio.run(by_name["startup"]())
    assert (begun, operator.calls) == ([operator], [])
    asyncio.run(by_name["cleanup"]())
    assert (begun, operator.calls) == ([operator], ["stop"])


@pytest.mark.parametrize("one_port", [True, False])
def test_the_operator_answers_probes_and_shows_that_its_loop_turns(*, one_port: bool) -> None:
    ports = [free_port()]
    ports += ports if one_port else [0]
    operator = Operator(replace(from_environment({}), probe_port=ports[0], metrics_port=ports[1]))
    operator.health.ready = lambda: True

    async def started() -> None:
        startup.begin(operator)  # type: ignore[arg-type] - all that it asks of it
        assert operator.calls == ["start"]
        beat = operator.health.beats["kopf"]
        first = beat()
        assert first is not None
        await asyncio.sleep(0.01)
        second = beat()
        assert second is not None
        assert second > first
        pages = [await asyncio.to_thread(answer, ports[0], page) for page in ("/livez", "/readyz", "/metrics", "/x")]
        assert pages == [200, 200, 200, 404]
        (turning,) = operator.kept
        assert not turning.done(), "it turns as long as the process lives"
        turning.cancel()

    asyncio.run(started())


@pytest.mark.parametrize("namespaces", [(), ("one", "two")])
def test_the_process_serves_all_namespaces_or_those_it_is_told(
    monkeypatch: pytest.MonkeyPatch, namespaces: tuple[str, ...]
) -> None:
    told: dict[str, Any] = {}

    async def run(**given: object) -> None:
        told.update(given)

    monkeypatch.setattr(startup, "Operator", Operator)
    monkeypatch.setattr(startup.kopf, "operator", run)
    logging: list[tuple[str, str]] = []
    monkeypatch.setattr(startup.telemetry, "configure_logging", lambda level, form: logging.append((level, form)))
    startup.run(replace(from_environment({}), namespaces=namespaces, log_level="DEBUG", log_format="text"))
    assert logging == [("DEBUG", "text")]
    assert told["clusterwide"] is not bool(namespaces)
    assert told["namespaces"] == list(namespaces)
    assert told["standalone"] is True
    assert not told["settings"].posting.enabled
    assert len(told["registry"]._activities._handlers) == 3
