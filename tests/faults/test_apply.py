"""Applying and pruning against a real API server: nothing is sent twice, drift is repaired, data is never pruned."""

from __future__ import annotations

import time
import uuid
from typing import TYPE_CHECKING

import pytest

from postboat.cluster.apply import Applier, Family
from postboat.cluster.children import Child, Children
from postboat.cluster.client import Client
from postboat.cluster.connection import Connection
from postboat.cluster.types import (
    CONFIG_MAP,
    SECRET,
    STATEFUL_SET,
    ApiError,
    ForeignObjectError,
    Json,
    Key,
    ResourceType,
)
from postboat.objects.dependence import Needs
from postboat.objects.meta import SHARD_NOTE
from postboat.objects.plan import KubeObject

from .test_reflector import KUBECONFIG, NAMESPACE_TYPE

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

pytestmark = [pytest.mark.api, pytest.mark.timeout(90)]


class CountingClient(Client):
    """Counts what is sent."""

    def __init__(self) -> None:
        super().__init__(Connection(KUBECONFIG))
        self.writes: list[str] = []

    def _write(self, method: str, path: str, body: Json, *, content: str, accept: str) -> Json:
        self.writes.append(f"{method} {path.partition('?')[0]}")
        return super()._write(method, path, body, content=content, accept=accept)


class Stage:
    """A namespace with an owner, children watched, and what the watch found suspicious."""

    def __init__(self, client: CountingClient, namespace: str) -> None:
        self.client, self.namespace = client, namespace
        self.woken = 0
        self.children = Children(client, [namespace], self._changed)
        self.applier = Applier(client, self.children)
        self.children.start()
        owner = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "owner", "namespace": namespace}}
        client.create(CONFIG_MAP, owner)
        raw = client.get(CONFIG_MAP, namespace, "owner")
        assert raw is not None
        self.owner = raw["metadata"]["uid"]
        self.family = Family(namespace, "mail", self.owner, frozenset({"mail-internal"}))
        assert eventually(lambda: self.children.synced)
        client.writes.clear()

    def _changed(self, kind: ResourceType, key: Key, old: Child | None, new: Child | None) -> None:
        if new is None and old is not None:
            self.woken += self.applier.vanished(kind, key, old.uid)
        else:
            self.woken += self.applier.drifted(kind, key, new)

    def meta(self, name: str, **labels: str) -> Json:
        own = {"app.kubernetes.io/managed-by": "postboat", "app.kubernetes.io/instance": "mail", **labels}
        # An owner of the kind that pruning asks for; the garbage collector does not run in this test.
        owner = {"apiVersion": "postboat.dev/v1alpha1", "kind": "MailServer", "name": "mail", "uid": self.owner}
        return {"namespace": self.namespace, "name": name, "labels": own, "ownerReferences": [owner]}

    def config_map(self, name: str, **entries: str) -> KubeObject:
        return KubeObject.of({"apiVersion": "v1", "kind": "ConfigMap", "metadata": self.meta(name), "data": entries})

    def versions(self) -> dict[str, str]:
        listed = [raw for kind in (CONFIG_MAP, STATEFUL_SET) for raw in self.client.pages(kind, self.namespace)]
        return {raw["metadata"]["name"]: raw["metadata"]["resourceVersion"] for raw in listed}

    def settled(self) -> int:
        """Let the watch catch up, then give the number of writes so far and begin to count anew."""
        time.sleep(0.7)
        assert eventually(self._caught_up)
        count = len(self.client.writes)
        self.client.writes.clear()
        return count

    def _caught_up(self) -> bool:
        kinds = (CONFIG_MAP, SECRET, STATEFUL_SET)
        there = {
            (kind.kind, raw["metadata"]["name"]): raw["metadata"]["resourceVersion"]
            for kind in kinds
            for raw in self.client.pages(kind, self.namespace, selector="app.kubernetes.io/instance=mail")
        }
        known = self.children.of_instance(self.namespace, "mail")
        return there == {(kind.kind, child.name): child.version for kind, child in known}


def eventually(condition: Callable[[], object], seconds: float = 10) -> bool:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if condition():
            return True
        time.sleep(0.05)
    return bool(condition())


@pytest.fixture
def stage() -> Iterator[Stage]:
    if not KUBECONFIG:
        pytest.skip("no KUBECONFIG: this test needs a real API server")
    client = CountingClient()
    name = f"apply-{uuid.uuid4().hex[:8]}"
    client.create(NAMESPACE_TYPE, {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})
    stage = Stage(client, name)
    yield stage
    stage.children.stop()
    stage.applier.stop()
    client.delete(NAMESPACE_TYPE, "", name)


def stateful_set(stage: Stage) -> KubeObject:
    labels = {"app": "x"}
    container = {"name": "c", "image": "x", "resources": {"requests": {"memory": "1024Mi", "cpu": "1000m"}}}
    spec = {
        "replicas": 0,
        "serviceName": "x",
        "selector": {"matchLabels": labels},
        "template": {"metadata": {"labels": labels}, "spec": {"containers": [container]}},
    }
    return KubeObject.of({"apiVersion": "apps/v1", "kind": "StatefulSet", "metadata": stage.meta("set"), "spec": spec})


def test_what_is_equal_is_not_sent_again(stage: Stage) -> None:
    objects = [stage.config_map("a", x="1"), stage.config_map("b", x="1"), stateful_set(stage)]
    assert len(stage.applier.apply(objects).applied) == 3
    assert stage.settled() == 3
    for _ in range(3):
        assert stage.applier.apply(objects).applied == []
    assert stage.settled() == 0
    assert stage.woken == 0, "our own writes are no drift, defaults of the server included"
    assert stage.applier.apply([stage.config_map("a", x="2"), *objects[1:]]).applied == ["ConfigMap/a"]


def test_every_character_arrives_as_it_is(stage: Stage) -> None:
    text = "é 漢 🙂 𠀀 \x7f \x85 \u2028 \ufeff \\ud83d"
    stage.applier.apply([stage.config_map("a", x=text)])
    raw = stage.client.get(CONFIG_MAP, stage.namespace, "a")
    assert raw is not None
    assert raw["data"]["x"] == text


def test_a_status_of_a_child_is_no_drift(stage: Stage) -> None:
    objects = [stateful_set(stage)]
    stage.applier.apply(objects)
    stage.settled()
    status = {"status": {"replicas": 0, "observedGeneration": 7, "collisionCount": 1}}
    stage.client.merge(STATEFUL_SET, stage.namespace, "set", status, subresource="status")
    stage.settled()
    assert stage.woken == 0
    assert stage.applier.apply(objects).applied == []


def test_drift_is_repaired_once(stage: Stage) -> None:
    objects = [stage.config_map("a", x="1")]
    stage.applier.apply(objects)
    stage.settled()
    other = Client(Connection(KUBECONFIG))
    other.merge(CONFIG_MAP, stage.namespace, "a", {"data": {"x": "spoilt"}, "metadata": {"labels": {"theirs": "1"}}})
    path = CONFIG_MAP.path(stage.namespace, "a", fieldManager="somebody")
    other._write("PATCH", path, {"data": {"x": "spoilt"}}, content="application/merge-patch+json", accept="*/*")
    assert eventually(lambda: stage.woken)
    assert stage.applier.apply(objects).applied == ["ConfigMap/a"]
    raw = stage.client.get(CONFIG_MAP, stage.namespace, "a")
    assert raw is not None
    assert raw["data"] == {"x": "1"}
    stage.settled()
    for _ in range(3):
        assert stage.applier.apply(objects).applied == []
        time.sleep(0.2)
    assert stage.settled() == 0


def test_a_foreign_field_is_removed_once_without_a_loop(stage: Stage) -> None:
    objects = [stage.config_map("a", x="1")]
    stage.applier.apply(objects)
    stage.settled()
    other = Client(Connection(KUBECONFIG))
    path = CONFIG_MAP.path(stage.namespace, "a", fieldManager="somebody")
    note = {"metadata": {"annotations": {"somebody": "was here"}}}
    other._write("PATCH", path, note, content="application/merge-patch+json", accept="*/*")
    assert eventually(lambda: stage.woken)
    assert len(stage.applier.apply(objects).applied) == 1
    stage.settled()
    assert stage.applier.apply(objects).applied == []
    raw = stage.client.get(CONFIG_MAP, stage.namespace, "a")
    assert raw is not None
    assert raw["metadata"]["annotations"] == {"somebody": "was here"}


def test_a_deleted_child_comes_back(stage: Stage) -> None:
    objects = [stage.config_map("a", x="1")]
    stage.applier.apply(objects)
    stage.settled()
    Client(Connection(KUBECONFIG)).delete(CONFIG_MAP, stage.namespace, "a")
    assert eventually(lambda: stage.woken)
    assert stage.applier.apply(objects).applied == ["ConfigMap/a"]


def test_prunes_its_own_and_never_keys_or_strangers(stage: Stage) -> None:
    objects = [stage.config_map("a"), stage.config_map("b")]
    stage.applier.apply(objects)
    key = {"apiVersion": "v1", "kind": "Secret", "metadata": stage.meta("keys", **{"postboat.dev/keep": "true"})}
    stage.client.create(SECRET, key)
    stranger = stage.meta("stranger")
    stranger["ownerReferences"][0]["uid"] = "somebody-else"
    stage.client.create(CONFIG_MAP, {"apiVersion": "v1", "kind": "ConfigMap", "metadata": stranger})
    elsewhere = stage.meta("elsewhere", **{"app.kubernetes.io/instance": "other"})
    stage.client.create(CONFIG_MAP, {"apiVersion": "v1", "kind": "ConfigMap", "metadata": elsewhere})
    stage.settled()
    outcome = stage.applier.prune(stage.family, objects[:1])
    assert (outcome.pruned, outcome.failures) == (["ConfigMap/b"], {})
    for kind, name in ((CONFIG_MAP, "a"), (SECRET, "keys"), (CONFIG_MAP, "stranger"), (CONFIG_MAP, "elsewhere")):
        assert stage.client.get(kind, stage.namespace, name) is not None
    stage.settled()
    assert stage.applier.prune(stage.family, objects[:1]).pruned == []


def test_keys_stay_even_when_somebody_takes_their_label_away(stage: Stage) -> None:
    key = {"apiVersion": "v1", "kind": "Secret", "metadata": stage.meta("mail-internal")}
    stage.client.create(SECRET, key)
    stage.settled()
    assert stage.applier.prune(stage.family, []).pruned == []
    assert stage.client.get(SECRET, stage.namespace, "mail-internal") is not None


def test_a_dry_run_names_changes_and_writes_nothing(stage: Stage) -> None:
    objects = [stage.config_map("a", x="1"), stage.config_map("b", x="1"), stateful_set(stage)]
    stage.applier.apply([*objects, stage.config_map("surplus")])
    stage.settled()
    versions = stage.versions()
    stage.applier.forget()
    assert stage.applier.differing(stage.family, objects[:2]) == ("ConfigMap/surplus", "StatefulSet/set")
    assert stage.applier.differing(stage.family, [*objects, stage.config_map("surplus")]) == ()
    changed = [
        stage.config_map("a", x="2"),
        objects[1],
        objects[2],
        stage.config_map("new"),
        stage.config_map("surplus"),
    ]
    assert stage.applier.differing(stage.family, changed) == ("ConfigMap/a", "ConfigMap/new")
    assert stage.versions() == versions


def test_what_somebody_else_made_is_not_taken_over(stage: Stage) -> None:
    theirs = {"metadata": {"namespace": stage.namespace, "name": "a"}, "data": {"precious": "yes"}}
    stage.client.create(CONFIG_MAP, {"apiVersion": "v1", "kind": "ConfigMap", **theirs})
    (failure,) = stage.applier.apply([stage.config_map("a", x="1")]).failures.values()
    assert isinstance(failure, ForeignObjectError)
    stage.client.delete(CONFIG_MAP, stage.namespace, "a")
    assert stage.applier.apply([stage.config_map("a", x="1")]).failures == {}


def test_one_of_ours_whose_label_was_taken_away_gets_it_back(stage: Stage) -> None:
    stage.applier.apply([stage.config_map("a")])
    stage.settled()
    path = CONFIG_MAP.path(stage.namespace, "a", fieldManager="somebody")
    bare = {"metadata": {"labels": {"app.kubernetes.io/managed-by": None}}}
    stage.client._write("PATCH", path, bare, content="application/merge-patch+json", accept="*/*")
    assert eventually(lambda: stage.woken)
    assert stage.applier.apply([stage.config_map("a")]).applied == ["ConfigMap/a"]


def test_a_namespace_that_ends_is_told_apart(stage: Stage) -> None:
    stage.client.delete(NAMESPACE_TYPE, "", stage.namespace)
    (failure,) = stage.applier.apply([stage.config_map("late")]).failures.values()
    assert isinstance(failure, ApiError)
    assert failure.ending


def test_a_refused_object_is_told_and_holds_up_only_what_needs_it(stage: Stage) -> None:
    bad = KubeObject.of({**stateful_set(stage).body, "spec": {"replicas": -1}})
    needy = KubeObject.of(stage.config_map("needy").body, needs=Needs(written=frozenset({bad.ref})))
    objects = [stage.config_map("a"), bad, needy, stage.config_map("later")]
    outcome = stage.applier.apply(objects)
    assert outcome.applied == ["ConfigMap/a", "ConfigMap/later"]
    assert list(outcome.failures) == [bad.ref]
    assert outcome.waiting == {needy.ref: bad.ref}
    assert stage.client.get(CONFIG_MAP, stage.namespace, "needy") is None
    stage.settled()
    assert stage.applier.apply(objects).applied == []
    assert stage.settled() == 1
    outcome = stage.applier.apply([objects[0], stateful_set(stage), needy, objects[3]])
    assert outcome.applied == ["StatefulSet/set", "ConfigMap/needy"]
    assert (outcome.failures, outcome.waiting) == ({}, {})


def test_a_shard_is_pruned_though_nothing_else_may_be(stage: Stage) -> None:
    meta = {**stage.meta("directory-07"), "annotations": {SHARD_NOTE: "layout smtp=abc"}}
    shard = KubeObject.of({"apiVersion": "v1", "kind": "Secret", "metadata": meta}, 7)
    stage.applier.apply([shard, stage.config_map("a")])
    stage.settled()
    assert stage.applier.prune(stage.family, [], only_shards=True).pruned == ["Secret/directory-07"]
    assert stage.client.get(CONFIG_MAP, stage.namespace, "a") is not None
