"""User Secrets and the operator's own credential against a real API server: both may change at any time."""

from __future__ import annotations

import base64
import json
import time
import uuid
from typing import TYPE_CHECKING

import pytest

from postboat.cluster.client import Client
from postboat.cluster.connection import Connection
from postboat.cluster.reflector import Reflector, Source
from postboat.cluster.secrets import WATCH_LABEL, Rhythm, SecretCache, content_of
from postboat.cluster.types import CONFIG_MAP, SECRET, ConnectionFailedError, Key
from postboat.model.snapshot import SecretContent

from .proxy import FaultProxy
from .test_reflector import FAST, KUBECONFIG, NAMESPACE_TYPE, Journal, await_truth, config_map, seen, through

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

pytestmark = [pytest.mark.api, pytest.mark.timeout(60)]
QUICK = Rhythm(missing=0.3, important=0.5, ordinary=1.0, per_second=20)
USER = "mail"


def eventually(condition: Callable[[], object], seconds: float = 10) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "this should have become true"
        time.sleep(0.02)


class Stage:
    def __init__(self, client: Client, namespace: str) -> None:
        self.client, self.namespace = client, namespace
        self.told: list[SecretContent] = []
        self.cache = SecretCache(client, self.told.append, rhythm=QUICK)
        self.cache.start()
        self.watch = Reflector(client, Source(SECRET, namespace, WATCH_LABEL), content_of, self.cache.noticed)
        self.watch.start()
        assert self.watch.synced.wait(10)

    def put(self, name: str, word: str, *, watched: bool = False) -> None:
        labels = {"postboat.dev/watch": "true"} if watched else {}
        meta = {"namespace": self.namespace, "name": name, "labels": labels}
        data = {"word": base64.b64encode(word.encode()).decode()}
        self.client.apply({"apiVersion": "v1", "kind": "Secret", "metadata": meta, "data": data}, SECRET)

    def read(self, *names: str) -> list[str | None]:
        self.cache.demand(Key(self.namespace, USER), frozenset(names))
        found = self.cache.read(self.namespace, names)
        return [found[name].data["word"].decode() if found[name].exists else None for name in names]

    def knows(self, name: str, word: str) -> bool:
        content = self.cache.known(self.namespace).get(name)
        return content is not None and content.data.get("word") == word.encode()


@pytest.fixture(scope="module")
def client() -> Client:
    if not KUBECONFIG:
        pytest.skip("no KUBECONFIG: this test needs a real API server")
    return Client(Connection(KUBECONFIG))


@pytest.fixture
def stage(client: Client) -> Iterator[Stage]:
    name = f"secrets-{uuid.uuid4().hex[:8]}"
    client.create(NAMESPACE_TYPE, {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})
    stage = Stage(client, name)
    yield stage
    stage.cache.stop()
    stage.watch.stop()
    client.delete(NAMESPACE_TYPE, "", name)


def test_an_absent_secret_is_a_fact_and_its_arrival_is_noticed(stage: Stage) -> None:
    assert stage.read("later") == [None]
    stage.put("later", "hello")
    eventually(lambda: stage.knows("later", "hello"), 3)
    assert [content.name for content in stage.told] == ["later"]


def test_a_change_is_noticed_in_rotation_and_an_equal_read_says_nothing(stage: Stage) -> None:
    stage.put("a", "one")
    assert stage.read("a") == ["one"]
    first = stage.cache.known(stage.namespace)["a"]
    time.sleep(2.5)
    assert stage.cache.known(stage.namespace)["a"] is first
    assert stage.told == []
    stage.put("a", "two")
    eventually(lambda: stage.knows("a", "two"), 4)


def test_a_labelled_secret_counts_at_once_and_a_lost_label_is_no_loss(stage: Stage) -> None:
    stage.put("a", "one", watched=True)
    assert stage.read("a") == ["one"]
    stage.put("a", "two", watched=True)
    eventually(lambda: stage.knows("a", "two"), 1)
    stage.put("a", "three")
    eventually(lambda: stage.knows("a", "three"), 3)
    stage.put("a", "four")
    eventually(lambda: stage.knows("a", "four"), 4)
    stage.client.delete(SECRET, stage.namespace, "a")
    eventually(lambda: not stage.cache.known(stage.namespace)["a"].exists, 4)


def test_what_nobody_refers_to_is_neither_kept_nor_read(stage: Stage) -> None:
    stage.put("a", "one")
    stage.read("a")
    stage.cache.demand(Key(stage.namespace, USER), frozenset())
    assert stage.cache.known(stage.namespace) == {}
    stage.put("b", "one", watched=True)
    time.sleep(0.5)
    assert stage.cache.known(stage.namespace) == {}


def test_a_failed_read_is_an_error_and_not_an_absence(stage: Stage) -> None:
    proxy = FaultProxy(stage.client.connection.credentials(), 1, faults=("refuse",))
    cache = SecretCache(through(proxy), lambda _: None, rhythm=QUICK)
    stage.put("a", "one")
    with pytest.raises(ConnectionFailedError):
        cache.read(stage.namespace, ["a"])
    assert cache.known(stage.namespace) == {}
    proxy.behave = True
    assert cache.read(stage.namespace, ["a"])["a"].exists
    cache.stop()
    proxy.stop()


def kubeconfig(path: Path, server: str, token: str) -> None:
    content = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "x", "cluster": {"server": server}}],
        "users": [{"name": "x", "user": {"token": token}}],
        "contexts": [{"name": "x", "context": {"cluster": "x", "user": "x"}}],
        "current-context": "x",
    }
    path.write_text(json.dumps(content))


def test_a_rotated_token_is_read_again(stage: Stage, tmp_path: Path) -> None:
    proxy = FaultProxy(stage.client.connection.credentials(), 1, faults=("none",))
    path = tmp_path / "config"
    kubeconfig(path, proxy.url, "old")
    proxy.required = "old"
    client = Client(Connection(str(path)))
    journal = Journal()
    reflector = Reflector(client, Source(CONFIG_MAP, stage.namespace, "faults=yes"), seen, journal, tuning=FAST)
    reflector.start()
    assert reflector.synced.wait(10)
    proxy.required = "new"
    stage.client.apply(config_map(stage.namespace, "a", "x"), CONFIG_MAP)
    time.sleep(2)
    kubeconfig(path, proxy.url, "new")
    await_truth(stage.client, reflector, journal, stage.namespace)
    client.apply(config_map(stage.namespace, "b", "x"), CONFIG_MAP)
    reflector.stop()
    reflector.join(10)
    proxy.stop()
