"""The reflector against a real API server through a proxy that misbehaves: at the end it must hold the truth."""

from __future__ import annotations

import os
import random
import threading
import time
import uuid
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest
from kubernetes.client import Configuration

from postboat.cluster.client import Client
from postboat.cluster.connection import Connection
from postboat.cluster.reflector import Reflector, Source, Tuning
from postboat.cluster.retry import Backoff
from postboat.cluster.types import CONFIG_MAP, Json, Key, ResourceType

from .proxy import FAULTS, FaultProxy

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = [pytest.mark.api, pytest.mark.timeout(180)]

KUBECONFIG = os.environ.get("POSTBOAT_KUBECONFIG") or os.environ.get("KUBECONFIG") or ""
NAMESPACE_TYPE = ResourceType("", "v1", "namespaces", "Namespace", namespaced=False)
SEEDS = range(int(os.environ.get("POSTBOAT_FAULT_SEEDS", "12")))
FAST = Tuning(silence=1.0, watch_seconds=(2, 5), settled=0.5, page=7, backoff=Backoff(base=0.02, cap=0.3))
SELECTOR = "faults=yes"


@dataclass(frozen=True, slots=True)
class Seen:
    uid: str
    version: str
    value: str


def seen(raw: Json) -> Seen:
    meta = raw["metadata"]
    return Seen(meta["uid"], meta["resourceVersion"], raw["data"]["value"])


class Journal:
    """What the listener was told, replayed; every message must fit what was told before."""

    def __init__(self) -> None:
        self.state: dict[Key, Seen] = {}
        self.broken: list[str] = []

    def __call__(self, key: Key, old: Seen | None, new: Seen | None) -> None:
        if self.state.get(key) != old:
            self.broken.append(f"{key}: told old {old}, knew {self.state.get(key)}")
        if old is not None and new is not None and old.uid != new.uid:
            self.broken.append(f"{key}: replaced without a deletion")
        if new is None:
            self.state.pop(key, None)
        else:
            self.state[key] = new


@pytest.fixture(scope="module")
def direct() -> Client:
    if not KUBECONFIG:
        pytest.skip("no KUBECONFIG: this test needs a real API server")
    return Client(Connection(KUBECONFIG))


@pytest.fixture
def namespace(direct: Client) -> Iterator[str]:
    name = f"faults-{uuid.uuid4().hex[:8]}"
    direct.create(NAMESPACE_TYPE, {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})
    yield name
    direct.delete(NAMESPACE_TYPE, "", name)


def through(proxy: FaultProxy) -> Client:
    configuration = Configuration()
    configuration.host = proxy.url
    return Client(Connection(configuration=configuration))


def config_map(namespace: str, name: str, value: str, *, selected: bool = True) -> Json:
    labels = {"faults": "yes" if selected else "no"}
    meta = {"namespace": namespace, "name": name, "labels": labels}
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": meta, "data": {"value": value}}


def churn(direct: Client, namespace: str, seed: int, until: threading.Event) -> None:
    """Create, change, delete, recreate and unlabel objects until told to stop."""
    chance = random.Random(seed * 7919)  # noqa: S311 - chance, not a secret
    while not until.is_set():
        name = f"c{chance.randrange(40)}"
        action = chance.random()
        if action < 0.6:
            body = config_map(namespace, name, f"{chance.random()}", selected=chance.random() < 0.9)
            direct.apply(body, CONFIG_MAP)
        else:
            direct.delete(CONFIG_MAP, namespace, name)
            if action > 0.85:
                direct.apply(config_map(namespace, name, "again"), CONFIG_MAP)
        until.wait(chance.random() * 0.04)


def truth(direct: Client, namespace: str) -> dict[Key, Seen]:
    listed = direct.pages(CONFIG_MAP, namespace, selector=SELECTOR)
    return {Key(namespace, raw["metadata"]["name"]): seen(raw) for raw in listed}


def held(reflector: Reflector[Seen], namespace: str, names: set[Key]) -> dict[Key, Seen]:
    records = {key: reflector.cache.get(key) for key in names}
    known = {key: record for key, record in records.items() if record is not None}
    assert len(known) == len(reflector.cache.namespace(namespace)) == len(reflector.cache)
    return known


def await_truth(direct: Client, reflector: Reflector[Seen], journal: Journal, namespace: str) -> None:
    deadline = time.monotonic() + 90
    while True:
        expected = truth(direct, namespace)
        if journal.state == expected and held(reflector, namespace, set(expected)) == expected:
            return
        if time.monotonic() > deadline:
            assert journal.state == expected
            assert held(reflector, namespace, set(expected)) == expected
        time.sleep(0.2)


@pytest.mark.parametrize("seed", SEEDS)
def test_holds_the_truth_after_all_faults_at_once(direct: Client, namespace: str, seed: int) -> None:
    run_with(direct, namespace, seed, FAULTS, seconds=6)


@pytest.mark.parametrize("fault", sorted(set(FAULTS) - {"none"}))
def test_holds_the_truth_after_one_kind_of_fault(direct: Client, namespace: str, fault: str) -> None:
    proxy = run_with(direct, namespace, 1000 + FAULTS.index(fault), ("none", fault), seconds=3)
    assert proxy.counts.get(fault), "the fault must have struck"


def run_with(direct: Client, namespace: str, seed: int, faults: tuple[str, ...], *, seconds: float) -> FaultProxy:
    proxy = FaultProxy(direct.connection.credentials(), seed, faults=faults)
    journal = Journal()
    reflector = Reflector(through(proxy), Source(CONFIG_MAP, namespace, SELECTOR), seen, journal, tuning=FAST)
    for number in range(25):
        direct.apply(config_map(namespace, f"c{number}", "first"), CONFIG_MAP)
    reflector.start()
    enough = threading.Event()
    worker = threading.Thread(target=churn, args=(direct, namespace, seed, enough), daemon=True)
    worker.start()
    try:
        time.sleep(seconds)
        enough.set()
        worker.join(20)
        assert not worker.is_alive()
        if seed % 2:
            proxy.behave = True
        await_truth(direct, reflector, journal, namespace)
        assert reflector.is_alive()
        assert reflector.synced.is_set()
        assert journal.broken == []
    finally:
        reflector.stop()
        reflector.join(10)
        proxy.stop()
    assert not reflector.is_alive()
    return proxy


def test_a_listener_or_transform_that_fails_harms_nobody_else(direct: Client, namespace: str) -> None:
    told: list[str] = []

    def choosy(raw: Json) -> Seen:
        if raw["data"]["value"] == "poison":
            raise ValueError(raw["data"]["value"])
        return seen(raw)

    def rude(key: Key, _old: Seen | None, _new: Seen | None) -> None:
        told.append(key.name)
        raise RuntimeError(key.name)

    for name, value in (("a", "fine"), ("b", "poison"), ("c", "fine")):
        direct.apply(config_map(namespace, name, value), CONFIG_MAP)
    reflector = Reflector(direct, Source(CONFIG_MAP, namespace, SELECTOR), choosy, rude, tuning=FAST)
    reflector.start()
    assert reflector.synced.wait(10)
    direct.apply(config_map(namespace, "d", "later"), CONFIG_MAP)
    deadline = time.monotonic() + 10
    while "d" not in told and time.monotonic() < deadline:
        time.sleep(0.05)
    reflector.stop()
    reflector.join(10)
    assert sorted(told) == ["a", "c", "d"]


def test_stops_at_once_while_it_waits_for_the_server(direct: Client, namespace: str) -> None:
    reflector = Reflector(direct, Source(CONFIG_MAP, namespace, SELECTOR), seen, lambda *_: None)
    reflector.start()
    assert reflector.synced.wait(10)
    time.sleep(0.3)
    begun = time.monotonic()
    reflector.stop()
    reflector.join(10)
    assert not reflector.is_alive()
    assert time.monotonic() - begun < 2


def test_stays_alive_without_a_server_and_recovers(direct: Client, namespace: str) -> None:
    proxy = FaultProxy(direct.connection.credentials(), 1, faults=("refuse",))
    journal = Journal()
    reflector = Reflector(through(proxy), Source(CONFIG_MAP, namespace, SELECTOR), seen, journal, tuning=FAST)
    direct.apply(config_map(namespace, "a", "x"), CONFIG_MAP)
    reflector.start()
    time.sleep(2)
    assert not reflector.synced.is_set()
    assert reflector.is_alive()
    proxy.behave = True
    await_truth(direct, reflector, journal, namespace)
    reflector.stop()
    reflector.join(10)
    proxy.stop()
