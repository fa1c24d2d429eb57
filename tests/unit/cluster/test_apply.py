"""One round of applying against a server that refuses what the test names: what is sent, held back, and told."""

from __future__ import annotations

import threading
from collections import Counter
from typing import TYPE_CHECKING

import pytest

from postboat.cluster.apply import Applier, Family, Outcome
from postboat.cluster.children import Child
from postboat.cluster.types import SECRET, ConnectionFailedError, FencedError, Json, Key, ResourceType, api_error
from postboat.model.resolve import resolve
from postboat.objects.config import LAYOUT
from tests.golden import world

if TYPE_CHECKING:
    from collections.abc import Iterator

PLAN = world.planned(resolve(world.snapshot(world.documents(world.HERE / "cases" / "quickstart" / "input.yaml"))))
OWNER = PLAN.objects[0].body["metadata"]["ownerReferences"][0]["uid"]
SHARDS = [item.ref for item in PLAN.objects if item.shard is not None]


class Server:
    """The client and the watched children in one: everything is taken but what is refused by kind and name."""

    def __init__(self) -> None:
        self.refused: dict[tuple[str, str], Exception] = {}
        self.sent: Counter[tuple[str, str]] = Counter()
        self.held: dict[tuple[ResourceType, Key], Child] = {}
        self.synced = True
        self._lock = threading.Lock()

    def get(self, kind: ResourceType, *place: object) -> Child | None:
        (key,) = place if len(place) == 1 else (None,)  # the children are asked by key, the server by its parts
        return self.held.get((kind, key)) if isinstance(key, Key) else None

    def apply(self, body: Json, _kind: ResourceType) -> Json:
        ref = (body["kind"], body["metadata"]["name"])
        with self._lock:
            self.sent[ref] += 1
        if ref in self.refused:
            raise self.refused[ref]
        return {"metadata": {"uid": "/".join(ref), "resourceVersion": "1", "managedFields": []}}

    def has(self, name: str, note: str) -> None:
        """Let a Secret be there as another process wrote it."""
        child = Child("mail", name, "uid", "1", "", "mail", OWNER, kept=False, deleting=False, shard=note)
        self.held[SECRET, Key(PLAN.objects[0].body["metadata"]["namespace"], name)] = child


def forbidden(*refs: tuple[str, str]) -> dict[tuple[str, str], Exception]:
    return {ref: api_error(403, "Forbidden", f"PATCH {ref[1]}") for ref in refs}


@pytest.fixture
def server() -> Server:
    return Server()


@pytest.fixture
def applier(server: Server) -> Iterator[Applier]:
    applier = Applier(server, server)  # type: ignore[arg-type] - all that it asks of both
    yield applier
    applier.stop()


def done(outcome: Outcome) -> set[tuple[str, str]]:
    return {(kind, name) for kind, _, name in (applied.partition("/") for applied in outcome.applied)}


def everything() -> set[tuple[str, str]]:
    return {item.ref for item in PLAN.objects}


def test_one_shard_is_refused_and_everything_else_is_written(server: Server, applier: Applier) -> None:
    for ref in SHARDS:
        server.has(ref[1], f"{LAYOUT} smtp=earlier")
    server.refused = forbidden(SHARDS[0])
    outcome = applier.apply(PLAN.objects)
    assert done(outcome) == everything() - {SHARDS[0]}
    assert list(outcome.failures) == [SHARDS[0]]
    assert outcome.unwritten[SHARDS[0]].note == f"{LAYOUT} smtp=earlier"
    assert not outcome.stopped
    assert outcome.waiting == {}


def test_a_retry_sends_only_what_was_refused_and_then_what_waited_for_it(server: Server, applier: Applier) -> None:
    server.refused = forbidden(SHARDS[0])
    assert applier.apply(PLAN.objects).waiting == {("StatefulSet", "mail-smtp"): SHARDS[0]}
    server.sent.clear()
    assert applier.apply(PLAN.objects).applied == []
    assert server.sent == {SHARDS[0]: 1}
    server.refused = {}
    server.sent.clear()
    outcome = applier.apply(PLAN.objects)
    assert done(outcome) == {SHARDS[0], ("StatefulSet", "mail-smtp")}
    assert server.sent.total() == 2
    assert (outcome.failures, outcome.waiting, outcome.unwritten) == ({}, {}, {})
    server.sent.clear()
    assert applier.apply(PLAN.objects).applied == []
    assert server.sent.total() == 0


def test_a_workload_does_not_go_ahead_of_its_files(server: Server, applier: Applier) -> None:
    files = ("Secret", "mail-imap")
    server.refused = forbidden(files)
    outcome = applier.apply(PLAN.objects)
    assert outcome.waiting == {("StatefulSet", "mail-imap"): files}
    assert done(outcome) == everything() - {files, ("StatefulSet", "mail-imap")}


def test_waiting_passes_on(server: Server, applier: Applier) -> None:
    """The Secret waits for its ConfigMap, and the workload is sent for neither."""
    files = ("ConfigMap", "mail-store")
    server.refused = forbidden(files)
    outcome = applier.apply(PLAN.objects)
    assert set(outcome.waiting) == {("Secret", "mail-store"), ("StatefulSet", "mail-store")}


def test_with_other_tables_in_a_refused_shard_all_that_read_it_stay_as_they_are(
    server: Server, applier: Applier
) -> None:
    server.has(SHARDS[0][1], "another-layout smtp=earlier")
    server.refused = forbidden(SHARDS[0])
    outcome = applier.apply(PLAN.objects)
    workloads = {name for kind, name in outcome.waiting if kind == "StatefulSet"}
    assert workloads == {"mail-smtp", "mail-imap", "mail-store"}
    assert ("ConfigMap", "mail-smtp") in outcome.waiting
    assert {("ConfigMap", "mail-filter"), ("StatefulSet", "mail-filter"), *SHARDS[1:]} <= done(outcome)


def test_what_was_applied_and_is_not_shown_yet_counts_as_there(server: Server, applier: Applier) -> None:
    applier.apply(PLAN.objects)
    changed = [item for item in PLAN.objects if item.ref == SHARDS[0]]
    other = type(changed[0]).of({**changed[0].body, "data": {}}, changed[0].shard)
    server.refused = forbidden(SHARDS[0])
    outcome = applier.apply([other])
    assert outcome.unwritten[SHARDS[0]].note == changed[0].body["metadata"]["annotations"]["postboat.dev/shard"]


@pytest.mark.parametrize(
    "failure",
    [
        ConnectionFailedError("PATCH"),
        FencedError("no Lease"),
        api_error(503, "ServiceUnavailable", "PATCH"),
        api_error(429, "TooManyRequests", "PATCH"),
        api_error(403, "Forbidden", "PATCH", ending=True),
    ],
)
def test_a_server_that_takes_nothing_ends_the_round(server: Server, applier: Applier, failure: Exception) -> None:
    server.refused = {SHARDS[0]: failure}
    outcome = applier.apply(PLAN.objects)
    assert outcome.stopped
    assert set(server.sent) == set(SHARDS)


@pytest.mark.parametrize("status", [400, 403, 409, 413, 422, 500])
def test_an_answer_about_one_object_does_not(server: Server, applier: Applier, status: int) -> None:
    server.refused = {("Service", "mail-smtp"): api_error(status, "Reason", "PATCH")}
    outcome = applier.apply(PLAN.objects)
    assert done(outcome) == everything() - {("Service", "mail-smtp")}


def test_keys_that_a_restore_left_without_an_owner_are_owned_again(server: Server, applier: Applier) -> None:
    """A DKIM key has no owner, and must not look like a part of somebody's application."""
    held = [("mail-internal", "", True), ("mail-selfsigned", "u", True), ("d.test-dkim", "", True), ("x", "", False)]
    merged: dict[str, Json] = {}
    server.of_instance = lambda *_: [  # type: ignore[attr-defined]
        (SECRET, Child("mail", name, f"uid {name}", "1", "", "mail", owner, kept=kept, deleting=False))
        for name, owner, kept in held
    ]
    server.merge = lambda _kind, _namespace, name, body: merged.update({name: body["metadata"]})  # type: ignore[attr-defined]
    family = Family("mail", "mail", "u", keys=frozenset({"mail-internal", "mail-selfsigned"}))
    assert applier.unowned(family) == ("Secret/mail-internal", "Secret/d.test-dkim")
    outcome = applier.adopt(family)
    assert not outcome.failures
    assert merged["mail-internal"]["ownerReferences"][0]["uid"] == "u"
    labels = {"app.kubernetes.io/instance": None, "postboat.dev/server": "mail"}
    assert merged["d.test-dkim"] == {"uid": "uid d.test-dkim", "labels": labels}
    assert merged.keys() == {"mail-internal", "d.test-dkim"}


def test_one_that_was_made_immutable_is_made_anew(server: Server, applier: Applier) -> None:
    """Its first refusal is that of the server; after it was deleted it is taken."""
    ref = ("ConfigMap", "mail-imap")
    server.refused = {ref: api_error(422, "Invalid", "PATCH configmaps/mail-imap")}
    labels = {"app.kubernetes.io/managed-by": "postboat"}
    held = {"immutable": True, "metadata": {"namespace": "mail", "name": ref[1], "uid": "u", "labels": labels}}
    deleted: list[str] = []

    def delete(_kind: ResourceType, _namespace: str, name: str, *, uid: str) -> None:
        deleted.append(f"{name} {uid}")
        server.refused = {}

    server.delete = delete  # type: ignore[attr-defined]
    found = server.get
    server.get = lambda kind, *place: held if place[1:] == (ref[1],) else found(kind, *place)  # type: ignore[assignment,method-assign]
    assert not applier.apply([item for item in PLAN.objects if item.ref == ref]).failures
    assert deleted == ["mail-imap u"]
    assert server.sent[ref] == 2
