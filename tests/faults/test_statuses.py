"""Statuses against a real API server: they are of the very object, of the pods that serve it, and of nobody else."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import pytest

from postboat.cluster.types import ApiError, StatusPatch
from postboat.model.retention.reclaim import FINALIZER

from .platform import eventually
from .stage import RESOURCES, condition

if TYPE_CHECKING:
    from postboat.cluster.types import Json

    from .platform import Platform

pytestmark = [pytest.mark.api, pytest.mark.timeout(600)]
SECONDS = 8.0
"""Within so many of them a status is put right, on a busy machine."""
NEVER_TRUE = {"type": "Ready", "status": "True", "reason": "InForce", "message": "", "lastTransitionTime": ""}


def said(platform: Platform, kind: str, name: str, type_: str = "Ready") -> tuple[str, str]:
    raw = platform.get(kind, name) or {}
    listed = (raw.get("status") or {}).get("conditions") or ()
    return next(((str(one["status"]), str(one["reason"])) for one in listed if one["type"] == type_), ("", ""))


def test_no_status_is_written_into_another_object_of_the_name(platform: Platform) -> None:
    platform.mailbox("alice")
    eventually(lambda: platform.ready("Mailbox", "alice"))
    before = platform.get("Mailbox", "alice")
    assert before is not None
    for patch in (
        StatusPatch("a-uid-of-before", {"observedGeneration": 99}),
        StatusPatch("a-uid-of-before", {"observedGeneration": 99}, blank=True),
    ):
        with pytest.raises(ApiError) as refused:
            platform.client.write_status(RESOURCES["Mailbox"], platform.namespace, "alice", patch)
        assert refused.value.status == 422
    assert platform.get("Mailbox", "alice") == before


@pytest.mark.parametrize("status", [{}, {"observedGeneration": 7}])
def test_a_status_can_be_written_into_an_empty_one(platform: Platform, status: Json) -> None:
    platform.operators[0].stop()
    platform.mailbox("bob")
    raw = platform.get("Mailbox", "bob")
    assert raw is not None
    platform.client.merge(RESOURCES["Mailbox"], platform.namespace, "bob", {"status": status}, subresource="status")
    patch = StatusPatch(raw["metadata"]["uid"], {"username": "bob", "quota": None}, blank=True)
    platform.client.write_status(RESOURCES["Mailbox"], platform.namespace, "bob", patch)
    blank = {"observedGeneration": -1}  # what the schema gives to an object that nobody has judged
    assert (platform.get("Mailbox", "bob") or {})["status"] == {**blank, **status, "username": "bob"}


def test_a_mailbox_made_again_is_not_ready_before_it_is_served(platform: Platform) -> None:
    platform.pods.frozen.add("smtp")
    for _ in range(5):
        platform.mailbox("alice")
        time.sleep(0.3)
        platform.client.delete(RESOURCES["Mailbox"], platform.namespace, "alice")
    platform.mailbox("alice", quota="3Gi")
    raw = platform.get("Mailbox", "alice")
    assert raw is not None
    deadline = time.monotonic() + 5
    while time.monotonic() < deadline:
        assert not platform.ready("Mailbox", "alice")
        time.sleep(0.05)
    platform.pods.frozen.clear()
    eventually(lambda: platform.ready("Mailbox", "alice"))
    assert (platform.get("Mailbox", "alice") or {})["status"]["quota"] == "3Gi"


def _conditions(raw: Json, status: str) -> list[Json]:
    return [{**one, "status": status, "reason": "Forged"} for one in raw["status"]["conditions"]]


@pytest.mark.parametrize("kind", ["MailServer", "MailDomain", "Mailbox", "MailAddress"])
def test_a_status_that_somebody_wrote_is_put_right(platform: Platform, kind: str) -> None:
    platform.mailbox("alice")
    platform.put("MailAddress", "info", destinations=[{"mailbox": "alice"}])
    name = {"MailServer": "mail", "MailDomain": "example.test", "Mailbox": "alice", "MailAddress": "info"}[kind]
    eventually(lambda: platform.ready("Mailbox", "alice") and platform.ready(kind, name))
    platform.settled()
    before = platform.get(kind, name)
    assert before is not None

    def right() -> bool:
        raw = platform.get(kind, name) or {}
        return _lasting(raw.get("status") or {}) == _lasting(before["status"])

    forged: Any
    for forged in (
        None,
        {"conditions": _conditions(before, "False")},
        {"conditions": None, "store": 9, "dkim": {"record": "v=DKIM1; p=forged"}, "addresses": ["a@b.test"]},
        {"observedGeneration": 77, "conditions": [*before["status"]["conditions"], {**NEVER_TRUE, "type": "Own"}][:1]},
    ):
        own = forged and {field: value for field, value in forged.items() if field in {*before["status"], "conditions"}}
        platform.client.merge(RESOURCES[kind], platform.namespace, name, {"status": own}, subresource="status")
        assert eventually(right) < SECONDS
    platform.settled()


def _lasting(status: Json) -> Json:
    conditions = [{k: v for k, v in one.items() if k != "lastTransitionTime"} for one in status.get("conditions") or ()]
    return {**status, "conditions": conditions}


def test_what_moves_to_a_server_without_pods_is_not_ready(platform: Platform) -> None:
    platform.mailbox("alice")
    platform.mailbox("bob")
    eventually(lambda: platform.ready("Mailbox", "alice") and platform.ready("Mailbox", "bob"))
    platform.put("MailServer", "other", hostname="other.example.test")
    platform.mailbox("alice", server="other")
    eventually(lambda: condition(platform.get("Mailbox", "alice"), "Ready") == "False", 30)
    assert platform.ready("Mailbox", "bob")
    platform.client.delete(RESOURCES["MailServer"], platform.namespace, "mail")
    assert eventually(lambda: said(platform, "Mailbox", "bob")[0] == "False") < SECONDS
    assert eventually(lambda: said(platform, "MailDomain", "example.test")[0] == "False") < SECONDS
    time.sleep(3)
    assert said(platform, "Mailbox", "bob") == ("False", "Pending")


def test_what_belongs_to_a_server_that_is_made_again_is_not_ready(platform: Platform) -> None:
    platform.mailbox("alice")
    eventually(lambda: platform.ready("Mailbox", "alice"))
    platform.pods.frozen.update(("smtp", "store"))
    platform.client.delete(RESOURCES["MailServer"], platform.namespace, "mail")
    platform.put("MailServer", "mail", hostname="another.example.test")
    assert eventually(lambda: said(platform, "Mailbox", "alice") == ("False", "Pending")) < SECONDS
    platform.pods.frozen.clear()
    eventually(lambda: platform.ready("Mailbox", "alice"))


def test_a_finalizer_that_was_dropped_comes_back(platform: Platform) -> None:
    def finalizers() -> list[str]:
        raw = platform.get("Mailbox", "alice") or {}
        return list((raw.get("metadata") or {}).get("finalizers") or ())

    platform.mailbox("alice", reclaimPolicy="Delete")
    eventually(lambda: FINALIZER in finalizers())
    eventually(lambda: platform.ready("Mailbox", "alice"))
    for _ in range(3):
        body = {"metadata": {"finalizers": None}}
        platform.client.merge(RESOURCES["Mailbox"], platform.namespace, "alice", body)
        assert eventually(lambda: FINALIZER in finalizers()) < SECONDS
    platform.client.merge(RESOURCES["Mailbox"], platform.namespace, "alice", {"spec": {"reclaimPolicy": "Retain"}})
    eventually(lambda: FINALIZER not in finalizers())
