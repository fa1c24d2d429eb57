"""What the operator leaves alone, and what it does not let others wait for: against a real API server."""

from __future__ import annotations

import base64
import time
from typing import TYPE_CHECKING

import pytest

from postboat.cluster.types import CONFIG_MAP, SECRET, ResourceType
from postboat.controller.reconcile.certificates import rsa_key

from .platform import eventually
from .stage import RESOURCES, condition
from .test_reflector import NAMESPACE_TYPE
from .test_storage import EVENT

if TYPE_CHECKING:
    from postboat.cluster.types import Json

    from .platform import Platform

pytestmark = [pytest.mark.api, pytest.mark.timeout(600)]
CHILDREN = ("ConfigMap/", "Secret/", "StatefulSet/")


def test_a_paused_platform_is_left_alone_and_says_what_waits(platform: Platform) -> None:
    def synced() -> tuple[str, str]:
        raw = platform.get("MailServer", "mail") or {}
        generation = raw["metadata"]["generation"]
        listed = raw.get("status", {}).get("conditions", ())
        found = [one for one in listed if one["type"] == "ConfigSynced" and one["observedGeneration"] == generation]
        return (found[0]["status"] + found[0]["reason"], found[0]["message"]) if found else ("", "")

    def children() -> dict[str, str]:
        return {name: version for name, version in platform.versions().items() if name.startswith(CHILDREN)}

    platform.mailbox("alice")
    eventually(lambda: platform.ready("Mailbox", "alice"))
    platform.put("MailServer", "mail", hostname="mail.example.test", paused=True)
    eventually(lambda: synced()[0] == "TruePaused")
    eventually(lambda: platform.ready("MailServer", "mail"))
    before = children()
    assert platform.operators[0].stop() in {0, -15}
    platform.mailbox("bob")
    platform.put("MailDomain", "more.example.test")
    platform.operators.append(platform.operator(identity="two"))
    eventually(lambda: synced()[0] == "FalsePaused")
    for name in ("Secret/more.example.test-dkim", "changes wait for "):
        assert name in synced()[1]
    eventually(lambda: _reason(platform, "bob") == "Paused")
    assert children() == before
    assert platform.ready("Mailbox", "alice")
    platform.put("MailServer", "mail", hostname="mail.example.test", paused=False)
    eventually(lambda: platform.ready("Mailbox", "bob"))
    eventually(lambda: platform.ready("MailServer", "mail"))


def _reason(platform: Platform, name: str) -> str:
    raw = platform.get("Mailbox", name) or {}
    listed = (raw.get("status") or {}).get("conditions", ())
    return next((str(one["reason"]) for one in listed if one["type"] == "Ready"), "")


def test_an_object_that_is_refused_does_not_hold_up_the_others(platform: Platform) -> None:
    platform.put("MailServer", "mail", hostname="mail.example.test", service={"type": "LoadBalancer"})
    eventually(lambda: platform.ready("MailServer", "mail"))
    # Each is short enough, and all of them are more than the API server takes for one object.
    annotations = {f"example.test/note-{number}": "x" * 4096 for number in range(64)}
    changed = {"type": "LoadBalancer", "annotations": annotations}
    platform.put("MailServer", "mail", hostname="mail.example.test", service=changed)
    eventually(lambda: condition(platform.get("MailServer", "mail"), "ConfigSynced") == "False")
    platform.mailbox("alice")
    assert eventually(lambda: platform.ready("Mailbox", "alice")) < 3 + platform.pods.pause
    platform.put("MailServer", "mail", hostname="mail.example.test", service={"type": "LoadBalancer"})
    assert eventually(lambda: platform.ready("MailServer", "mail")) < 5


def test_a_server_is_ready_when_the_last_pod_has_rolled(platform: Platform) -> None:
    platform.pods.unrolled.add("imap")
    pods = {"imap": {"priorityClassName": "system-cluster-critical"}}
    platform.put("MailServer", "mail", hostname="mail.example.test", pods=pods)
    eventually(lambda: condition(platform.get("MailServer", "mail"), "Ready") == "False")
    time.sleep(3)
    assert not platform.ready("MailServer", "mail")
    platform.mailbox("alice")
    eventually(lambda: platform.ready("Mailbox", "alice"))
    platform.pods.unrolled.clear()
    platform.pods.roll("mail-imap")
    eventually(lambda: platform.ready("MailServer", "mail"))


def test_pods_are_left_alone_when_told_so(platform: Platform) -> None:
    assert platform.operators[0].stop() in {0, -15}
    before = platform.pods.versions()
    platform.operators.append(platform.operator(identity="two", POSTBOAT_TOUCH_PODS="false"))
    platform.mailbox("alice")
    eventually(lambda: any("directory" in name for name in platform.versions()))
    time.sleep(3)
    assert platform.pods.versions() == before


@pytest.mark.parametrize("kind", ["quota", "immutable", "foreign"])
def test_a_key_that_cannot_be_made_is_told_and_holds_up_nothing_else(platform: Platform, kind: str) -> None:
    name = "frozen.example.test"
    meta: Json = {"namespace": platform.namespace, "name": f"{name}-dkim"}
    match kind:
        case "quota":
            quota = ResourceType("", "v1", "resourcequotas", "ResourceQuota")
            used = len(list(platform.client.pages(SECRET, platform.namespace)))
            meta = {"namespace": platform.namespace, "name": "small"}
            spec = {"hard": {"count/secrets": str(used)}}
            platform.client.create(quota, {"apiVersion": "v1", "kind": "ResourceQuota", "metadata": meta, "spec": spec})
            status = {"hard": spec["hard"], "used": {"count/secrets": str(used)}}
            platform.client.merge(quota, platform.namespace, "small", {"status": status}, subresource="status")
            word = "exceeded quota: small"
        case "immutable":
            meta["labels"] = {"app.kubernetes.io/managed-by": "postboat"}
            platform.client.create(SECRET, {"apiVersion": "v1", "kind": "Secret", "metadata": meta, "immutable": True})
            word = "field is immutable"
        case _:
            platform.client.create(SECRET, {"apiVersion": "v1", "kind": "Secret", "metadata": meta})
            word = "not managed by postboat"
    platform.put("MailDomain", name)
    eventually(lambda: _told(platform, name)[:2] == ("False", "KeysMissing"))
    assert word in _told(platform, name)[2]
    eventually(lambda: condition(platform.get("MailServer", "mail"), "ConfigSynced") == "False")
    if kind != "quota":  # a Mailbox may need a shard of its own
        platform.mailbox("alice")
        assert eventually(lambda: platform.ready("Mailbox", "alice")) < 3 + platform.pods.pause
        before = platform.client.get(SECRET, platform.namespace, f"{name}-dkim")
        assert before is not None
        assert "data" not in before
    platform.client.delete(RESOURCES["MailDomain"], platform.namespace, name)
    eventually(lambda: condition(platform.get("MailServer", "mail"), "ConfigSynced") == "True")


def _told(platform: Platform, name: str) -> tuple[str, str, str]:
    raw = platform.get("MailDomain", name) or {}
    listed = (raw.get("status") or {}).get("conditions", ())
    found = (one for one in listed if one["type"] == "Ready")
    return next(((str(one["status"]), str(one["reason"]), str(one["message"])) for one in found), ("", "", ""))


@pytest.mark.parametrize("named", [None, "mine"])
@pytest.mark.parametrize("restarted", [False, True])
def test_a_key_whose_secret_is_deleted_goes_on_signing(
    platform: Platform, named: str | None, *, restarted: bool
) -> None:
    secret = named or "signed.example.test-dkim"
    if named is not None:
        data = {"default.key": base64.b64encode(rsa_key()).decode()}
        meta = {"namespace": platform.namespace, "name": named}
        platform.client.create(SECRET, {"apiVersion": "v1", "kind": "Secret", "metadata": meta, "data": data})
    platform.put("MailDomain", "signed.example.test", **({"dkim": {"secretName": named}} if named else {}))
    eventually(lambda: platform.ready("MailDomain", "signed.example.test"))
    before = (platform.get("MailDomain", "signed.example.test") or {})["status"]["dkim"]
    whole = platform.client.get(SECRET, platform.namespace, secret)
    assert whole is not None
    if restarted:
        assert platform.operators[0].stop() in {0, -15}
    platform.client.delete(SECRET, platform.namespace, secret)
    if restarted:
        platform.operators.append(platform.operator(identity="two"))
    eventually(lambda: _told(platform, "signed.example.test")[:2] == ("False", "SecretNotFound"))
    assert secret in _told(platform, "signed.example.test")[2]
    time.sleep(2)
    assert platform.client.get(SECRET, platform.namespace, secret) is None, "it was not made anew"
    assert (platform.get("MailDomain", "signed.example.test") or {})["status"]["dkim"] == before
    files = platform.client.get(SECRET, platform.namespace, "mail-filter")
    assert files is not None
    assert files["data"]["dkim-signed.example.test.key"]
    meta = {"namespace": platform.namespace, "name": secret, "labels": whole["metadata"].get("labels") or {}}
    platform.client.create(SECRET, {"apiVersion": "v1", "kind": "Secret", "metadata": meta, "data": whole["data"]})
    eventually(lambda: platform.ready("MailDomain", "signed.example.test"))
    assert (platform.get("MailDomain", "signed.example.test") or {})["status"]["dkim"] == before


def test_a_namespace_that_ends_makes_no_noise(platform: Platform) -> None:
    platform.client.delete(NAMESPACE_TYPE, "", platform.namespace)
    before = len(platform.log.read_text())
    for name in ("mail-smtp", "mail-imap"):
        platform.client.delete(CONFIG_MAP, platform.namespace, name)
    platform.client.delete(SECRET, platform.namespace, "mail-internal")
    time.sleep(5)
    assert platform.log.read_text()[before:] == "", "nobody expects anything to be made there"


@pytest.mark.parametrize(
    ("entry", "told"),
    [("client.crt", ("Normal", "KeysRenewed")), ("ca.key", ("Warning", "AuthorityReplaced"))],
)
def test_keys_that_were_spoilt_are_made_anew_and_told(platform: Platform, entry: str, told: tuple[str, str]) -> None:
    platform.settled()
    before = platform.client.get(SECRET, platform.namespace, "mail-internal")
    assert before is not None
    spoilt = {"data": {entry: base64.b64encode(b"spoilt").decode()}}
    platform.client.merge(SECRET, platform.namespace, "mail-internal", spoilt)
    eventually(lambda: told in {(kind, reason) for kind, reason, _ in _events(platform)}, 10)
    (note,) = [note for *head, note in _events(platform) if tuple(head) == told]
    assert "Secret mail-internal" in note
    assert entry in note
    after = platform.client.get(SECRET, platform.namespace, "mail-internal")
    assert after is not None
    assert after["data"][entry] not in {before["data"][entry], spoilt["data"][entry]}
    same = {"hash-key", "master-password", "operator-token"} | (
        {"ca.crt", "ca.key"} - {entry} if told[0] == "Normal" else set()
    )
    assert {name: after["data"][name] for name in same} == {name: before["data"][name] for name in same}
    platform.settled()
    assert len([1 for *head, _ in _events(platform) if tuple(head) == told]) == 1, "told once"


def _events(platform: Platform) -> list[tuple[str, str, str]]:
    return [(one["type"], one["reason"], one["note"]) for one in platform.client.pages(EVENT, platform.namespace)]
