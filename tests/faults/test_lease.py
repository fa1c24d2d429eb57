"""Leader election against a real API server: at most one process may write at any moment."""

from __future__ import annotations

import time
import uuid
from typing import TYPE_CHECKING

import pytest

from postboat.cluster.client import Client
from postboat.cluster.connection import Connection
from postboat.cluster.lease import Lease, Terms
from postboat.cluster.types import CONFIG_MAP, FencedError

from .proxy import FaultProxy
from .test_reflector import KUBECONFIG, config_map, through

if TYPE_CHECKING:
    from collections.abc import Callable

pytestmark = [pytest.mark.api, pytest.mark.timeout(120)]
QUICK = Terms(duration=9.0, deadline=6.0, period=0.3)


def client() -> Client:
    if not KUBECONFIG:
        pytest.skip("no KUBECONFIG: this test needs a real API server")
    return Client(Connection(KUBECONFIG))


def contender(name: str, identity: str, *, by: Client | None = None) -> tuple[Client, Lease]:
    own = by or client()
    lease = Lease(own, "default", name, identity, terms=QUICK)
    own.fence = lease
    lease.start()
    return own, lease


def eventually(condition: Callable[[], bool], seconds: float) -> bool:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if condition():
            return True
        time.sleep(0.02)
    return condition()


def test_one_holds_and_a_release_hands_over_at_once() -> None:
    name = f"lease-{uuid.uuid4().hex[:8]}"
    first_client, first = contender(name, "first")
    assert eventually(lambda: first.held, 5)
    second_client, second = contender(name, "second")
    time.sleep(QUICK.duration + 1)
    assert first.held
    assert not second.held
    with pytest.raises(FencedError):
        second_client.apply(config_map("default", name, "second"), CONFIG_MAP)
    first_client.apply(config_map("default", name, "first"), CONFIG_MAP)
    first.stop()
    first.join(5)
    with pytest.raises(FencedError):
        first_client.apply(config_map("default", name, "late"), CONFIG_MAP)
    assert eventually(lambda: second.held, 6)
    second_client.apply(config_map("default", name, "second"), CONFIG_MAP)
    second_client.delete(CONFIG_MAP, "default", name)
    second.stop()
    second.join(5)


def test_a_holder_that_loses_the_server_stops_before_another_starts() -> None:
    name = f"lease-{uuid.uuid4().hex[:8]}"
    proxy = FaultProxy(client().connection.credentials(), 1, faults=("refuse",))
    proxy.behave = True
    cut_off, first = contender(name, "first", by=through(proxy))
    assert eventually(lambda: first.held, 5)
    _, second = contender(name, "second")
    proxy.behave = False
    both = 0
    took_over = False
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline and not took_over:
        both += second.held and first.held  # in this order: a pause in between must not look like both
        took_over = second.held
        time.sleep(0.005)
    assert took_over
    assert both == 0
    with pytest.raises(FencedError):
        cut_off.apply(config_map("default", name, "late"), CONFIG_MAP)
    proxy.behave = True
    time.sleep(2)
    assert not first.held, "who has lost the Lease does not take it back from its holder"
    for lease in (first, second):
        lease.stop()
        lease.join(5)
    proxy.stop()
