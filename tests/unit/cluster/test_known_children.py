"""Which children are known to a round, and which names are somebody else's: nothing foreign is overwritten."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from postboat.cluster.apply import Applier, Family, adoption
from postboat.cluster.children import Child, fingerprint
from postboat.cluster.foreign import identity
from postboat.cluster.types import CONFIG_MAP, SECRET, ForeignObjectError, Json, Key, ResourceType, api_error
from postboat.model.resolve import resolve
from tests.golden import world

if TYPE_CHECKING:
    from collections.abc import Iterator

    from postboat.objects.plan import KubeObject

PLAN = world.planned(resolve(world.snapshot(world.documents(world.HERE / "cases" / "quickstart" / "input.yaml"))))
OWNER = "ours"
FAMILY = Family("mail", "mail", OWNER, spared=frozenset({"spared"}), keys=frozenset({"keys"}))
OURS = [{"manager": "postboat", "operation": "Apply", "fieldsV1": {"f:data": {}}}]
THEIRS = [{"manager": "kubectl", "operation": "Update", "fieldsV1": {"f:data": {}}}]


def owned(item: KubeObject, **meta: object) -> KubeObject:
    """Give an object of a plan to the MailServer of these tests."""
    references = [{**item.body["metadata"]["ownerReferences"][0], "uid": OWNER}]
    return type(item).of({**item.body, "metadata": {**item.body["metadata"], "ownerReferences": references, **meta}})


ITEM = owned(next(item for item in PLAN.objects if item.ref == ("ConfigMap", "mail-imap")))
KIND, KEY = identity(ITEM.body)


def asked_rightly(kind: ResourceType, namespace: str) -> None:
    assert kind in {CONFIG_MAP, SECRET}
    assert namespace == KEY.namespace


class Server:
    """What the API server holds, and what it was asked for."""

    def __init__(self) -> None:
        self.held: dict[str, Json] = {}
        self.trials: dict[str, Json] = {}
        self.done: list[str] = []
        self.merged: list[Json] = []
        self.refused = False

    def get(self, kind: ResourceType, namespace: str, name: str) -> Json | None:
        asked_rightly(kind, namespace)
        self.done.append(f"get {name}")
        return self.held.get(name)

    def apply(self, body: Json, _kind: ResourceType) -> Json:
        self.done.append(f"apply {body['metadata']['name']}")
        return {"metadata": {"uid": "u", "resourceVersion": "5", "managedFields": OURS}}

    def trial(self, body: Json, _kind: ResourceType) -> Json:
        return self.trials[body["metadata"]["name"]]

    def merge(self, kind: ResourceType, namespace: str, name: str, body: Json) -> None:
        asked_rightly(kind, namespace)
        self.done.append(f"merge {name}")
        self.merged.append(body)

    def delete(self, kind: ResourceType, namespace: str, name: str, *, uid: str) -> None:
        asked_rightly(kind, namespace)
        if self.refused:
            raise api_error(403, "Forbidden", f"DELETE {name}")
        self.done.append(f"delete {name} {uid}")


class Watch:
    """The children as the watch shows them."""

    def __init__(self) -> None:
        self.shown: dict[tuple[ResourceType, Key], Child] = {}
        self.synced = True

    def get(self, kind: ResourceType, key: Key) -> Child | None:
        return self.shown.get((kind, key))

    def of_instance(self, namespace: str, instance: str) -> list[tuple[ResourceType, Child]]:
        assert (namespace, instance) == (FAMILY.namespace, FAMILY.instance)
        return [(kind, child) for (kind, _), child in self.shown.items()]

    def shows(self, child: Child, kind: ResourceType = CONFIG_MAP) -> None:
        self.shown[kind, Key(child.namespace, child.name)] = child


@pytest.fixture
def server() -> Server:
    return Server()


@pytest.fixture
def watch() -> Watch:
    return Watch()


@pytest.fixture
def applier(server: Server, watch: Watch) -> Iterator[Applier]:
    applier = Applier(server, watch)  # type: ignore[arg-type] - all that it asks of both
    yield applier
    applier.stop()


def child(name: str = KEY.name, **other: Any) -> Child:  # noqa: ANN401 -- any field
    known = Child(KEY.namespace, name, "u", "5", fingerprint(OURS), "mail", OWNER, kept=False, deleting=False)
    return replace(known, **other)


def held(**meta: object) -> Json:
    return {"metadata": {"namespace": KEY.namespace, "name": KEY.name, **meta}}


def changed() -> KubeObject:
    return type(ITEM).of({**ITEM.body, "data": {}})


@pytest.mark.parametrize(
    "meta",
    [
        {},
        {"labels": None, "ownerReferences": None},
        {"labels": {"app.kubernetes.io/managed-by": "Helm"}},
        {"labels": {"postboat": "app.kubernetes.io/managed-by"}, "ownerReferences": [{"uid": "another"}]},
    ],
)
def test_what_somebody_else_has_put_there_is_not_overwritten(
    server: Server, applier: Applier, meta: dict[str, object]
) -> None:
    server.held[KEY.name] = held(**meta)
    outcome = applier.apply([ITEM])
    assert isinstance(outcome.failures[ITEM.ref], ForeignObjectError)
    assert "ConfigMap mail-imap exists already" in str(outcome.failures[ITEM.ref])
    assert server.done == ["get mail-imap"]
    assert not outcome.stopped
    assert not outcome.applied


@pytest.mark.parametrize(
    "meta",
    [
        {"labels": {"app.kubernetes.io/managed-by": "postboat", "more": "yes"}},
        {"labels": {"app.kubernetes.io/managed-by": "postboat"}},
        {"ownerReferences": [{"uid": "another"}, {"uid": OWNER}]},
    ],
)
def test_what_has_our_label_or_our_owner_is_ours(server: Server, applier: Applier, meta: dict[str, object]) -> None:
    server.held[KEY.name] = held(**meta)
    assert applier.apply([ITEM]).applied == ["ConfigMap/mail-imap"]
    assert server.done == ["get mail-imap", "apply mail-imap"]


def test_the_server_is_not_asked_about_a_child_that_the_watch_shows(
    server: Server, watch: Watch, applier: Applier
) -> None:
    watch.shows(child())
    assert applier.apply([ITEM]).applied == ["ConfigMap/mail-imap"]
    assert server.done == ["apply mail-imap"]


def test_the_server_is_not_asked_about_what_was_applied_and_is_not_shown_yet(server: Server, applier: Applier) -> None:
    applier.apply([ITEM])
    assert applier.apply([changed()]).applied == ["ConfigMap/mail-imap"]
    assert server.done == ["get mail-imap", "apply mail-imap", "apply mail-imap"]


@pytest.mark.parametrize(("owner", "disowned"), [("earlier", True), (OWNER, False), ("", False)])
def test_a_child_of_an_earlier_server_of_that_name_is_taken_from_it(
    server: Server, watch: Watch, applier: Applier, owner: str, *, disowned: bool
) -> None:
    watch.shows(child(owner=owner, uid="the child"))
    applier.apply([ITEM])
    assert server.done == [*(["merge mail-imap"] if disowned else []), "apply mail-imap"]
    assert server.merged == ([{"metadata": {"uid": "the child", "ownerReferences": None}}] if disowned else [])


@pytest.mark.parametrize(
    ("shown", "drifted"),
    [
        (child(), False),
        (None, True),
        (child(uid="another"), True),
        (child(fingerprint=fingerprint(THEIRS)), True),
        (child(fingerprint=fingerprint(THEIRS), version="4"), False),
        (child(uid="another", version="4"), True),
        (child(version="6"), False),
    ],
)
def test_what_is_no_longer_as_applied_is_sent_again(
    server: Server, watch: Watch, applier: Applier, shown: Child | None, *, drifted: bool
) -> None:
    assert not applier.drifted(KIND, KEY, shown), "nothing was applied"
    applier.apply([ITEM])
    assert applier.drifted(KIND, KEY, shown) is drifted
    if shown is not None:
        watch.shows(shown)
        server.done.clear()
        applier.apply([ITEM])
        assert server.done == (["apply mail-imap"] if drifted else [])


def test_what_the_watch_does_not_show_for_too_long_is_sent_again(
    server: Server, applier: Applier, monkeypatch: pytest.MonkeyPatch
) -> None:
    applier.apply([ITEM])
    server.done.clear()
    assert applier.apply([ITEM]).applied == []
    monkeypatch.setattr("postboat.cluster.apply.WATCH_LAG", 0.0)
    assert applier.apply([ITEM]).applied == ["ConfigMap/mail-imap"]


def test_nothing_is_taken_for_known_after_another_process_may_have_written(server: Server, applier: Applier) -> None:
    applier.apply([ITEM])
    applier.forget()
    server.held[KEY.name] = held()
    assert isinstance(applier.apply([ITEM]).failures[ITEM.ref], ForeignObjectError)


def test_a_child_that_was_deleted_comes_back(server: Server, watch: Watch, applier: Applier) -> None:
    assert not applier.vanished(KIND, KEY, "u"), "it was never applied"
    applier.apply([ITEM])
    watch.shows(child())
    assert not applier.vanished(KIND, KEY, "another of that name")
    assert applier.apply([ITEM]).applied == []
    assert applier.vanished(KIND, KEY, "u")
    assert not applier.vanished(KIND, KEY, "u"), "once is enough"
    assert applier.apply([ITEM]).applied == ["ConfigMap/mail-imap"]
    assert server.done.count("apply mail-imap") == 2


def test_only_what_no_plan_has_and_holds_no_data_is_deleted(server: Server, watch: Watch, applier: Applier) -> None:
    watch.shows(child())
    watch.shows(child("surplus", uid="u1"))
    watch.shows(child("shard", uid="u2", shard="a note"))
    watch.shows(child("of another", owner="another"))
    watch.shows(child("orphan", owner=""))
    watch.shows(child("kept", kept=True))
    watch.shows(child("deleting", deleting=True))
    watch.shows(child("spared"), SECRET)
    watch.shows(child("spared", uid="u3"), CONFIG_MAP)
    watch.synced = False
    assert applier.prune(FAMILY, [ITEM]).pruned == []
    watch.synced = True
    assert applier.surplus_shards(FAMILY, [ITEM]) == {"shard": "a note"}
    assert applier.prune(FAMILY, [ITEM], only_shards=True).pruned == ["ConfigMap/shard"]
    assert server.done == ["delete shard u2"]
    server.done.clear()
    assert applier.prune(FAMILY, [ITEM]).pruned == ["ConfigMap/surplus", "ConfigMap/shard", "ConfigMap/spared"]
    assert server.done == ["delete surplus u1", "delete shard u2", "delete spared u3"]
    server.refused = True
    outcome = applier.prune(FAMILY, [ITEM])
    assert list(outcome.failures) == [("ConfigMap", name) for name in ("surplus", "shard", "spared")]
    assert outcome.pruned == []


def test_what_was_pruned_is_sent_again_though_the_watch_still_shows_it(
    server: Server, watch: Watch, applier: Applier
) -> None:
    applier.apply([ITEM])
    watch.shows(child())
    assert applier.prune(FAMILY, []).pruned == ["ConfigMap/mail-imap"]
    server.done.clear()
    applier.apply([ITEM])
    assert server.done == ["apply mail-imap"]


@pytest.mark.parametrize(
    ("kind", "shown", "adopted"),
    [
        (SECRET, child("keys", owner=""), {"ownerReferences"}),
        (SECRET, child("keys", owner="earlier"), {"ownerReferences"}),
        (SECRET, child("keys", owner="", deleting=True), set()),
        (SECRET, child("keys"), set()),
        (CONFIG_MAP, child("keys", owner=""), set()),
        (SECRET, child("dkim", owner="", kept=True), {"labels"}),
        (SECRET, child("dkim", owner="earlier", kept=True), set()),
        (SECRET, child("dkim", owner=""), set()),
    ],
)
def test_only_secrets_with_keys_are_owned_again(kind: ResourceType, shown: Child, adopted: set[str]) -> None:
    assert adoption(FAMILY, kind, shown).keys() == adopted


def test_a_trial_names_what_would_change_and_writes_nothing(server: Server, watch: Watch, applier: Applier) -> None:
    lacking = next(item for item in PLAN.objects if item.ref == ("Secret", "mail-imap"))
    same, other, theirs = (owned(ITEM, name=name) for name in ("same", "other", "theirs"))
    server.held = {
        "same": {"data": {}, **held(name="same", uid="u", resourceVersion="1", managedFields=OURS)},
        "other": {"data": {}, **held(name="other", uid="u", resourceVersion="1", managedFields=OURS)},
        "theirs": {
            **theirs.body,
            "data": {"more": "x"},
            **held(name="theirs", resourceVersion="1", managedFields=THEIRS),
        },
    }
    server.trials = {
        "same": {"data": {}, **held(name="same", uid="u", resourceVersion="2", managedFields=[])},
        "other": {"data": {"a": "b"}, **held(name="other", uid="u", resourceVersion="1", managedFields=OURS)},
    }
    watch.shows(child("surplus"))
    named = applier.differing(FAMILY, [lacking, same, other, theirs])
    assert named == ("Secret/mail-imap", "ConfigMap/other", "ConfigMap/theirs", "ConfigMap/surplus")
    assert {word.split()[0] for word in server.done} == {"get"}
