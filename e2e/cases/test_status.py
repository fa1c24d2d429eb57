"""Status: every object says whether it is in force, and a wrong one harms only itself.

Malformed, conflicting and hostile objects are applied beside good ones; all that may change is their own status.
"""

from __future__ import annotations

import json
import smtplib
import time
from collections.abc import Iterator
from functools import partial
from typing import cast

import pytest
from kubernetes.client import ApiException

from e2e.clients import Account, letter, rcpt, wait_for_message
from e2e.kube import GROUP, Object, eventually
from e2e.platform import Platform, manifest, password_secret

HOSTILE = (
    "line\nbreak = yes",
    "quote\" or 'quote",
    "{{ 7 * 7 }} {% raw %} {# #}",
    "$(reboot) `reboot` ${HOME} $mydomain %{user}",
    "semicolon; } block { \\ back\\slash",
    "tab\tnul-like \u0001 control",
    "../../etc/passwd",
    "-o smtpd_recipient_restrictions=permit",
)


def children(platform: Platform) -> dict[tuple[str, str], str]:
    """What the operator made: (kind, name) -> resourceVersion, statuses of workloads apart."""
    found = {}
    for api_version, kind in (
        ("v1", "ConfigMap"), ("v1", "Secret"), ("v1", "Service"), ("apps/v1", "StatefulSet"),
        ("networking.k8s.io/v1", "NetworkPolicy"), ("v1", "ServiceAccount"),
    ):  # fmt: skip
        for one in platform.kube.objects(
            api_version, kind, platform.namespace, "app.kubernetes.io/managed-by=postboat"
        ):
            version = str(one["metadata"].get("generation") or one["metadata"]["resourceVersion"])
            found[kind, one["metadata"]["name"]] = version
    return found


def contents(platform: Platform) -> dict[tuple[str, str], object]:
    """What the operator made, byte for byte: (kind, name) -> data or spec."""
    found: dict[tuple[str, str], object] = {}
    for kind, name in children(platform):
        api_version = {"StatefulSet": "apps/v1", "NetworkPolicy": "networking.k8s.io/v1"}.get(kind, "v1")
        one = platform.kube.get(api_version, kind, platform.namespace, name)
        if one is not None:
            found[kind, name] = {field: one.get(field) for field in ("data", "spec", "type")}
    return found


def statuses(platform: Platform, apart: str) -> dict[tuple[str, str], object]:
    """What every object but those of one name says of itself, without times, and without what mail does to it."""
    return {
        (kind, one["metadata"]["name"]): json.dumps(lasting(one["status"]), sort_keys=True, default=str)
        for kind in ("MailServer", "MailDomain", "Mailbox", "MailAddress", "RelayHost", "FilterPolicy")
        for one in platform.kube.objects(GROUP, kind, platform.namespace)
        if one["metadata"]["name"] != apart and "status" in one
    }


def lasting(status: Object) -> Object:
    conditions = [{k: v for k, v in one.items() if k != "lastTransitionTime"} for one in status.get("conditions") or ()]
    passing = {"usage", "orphans", "orphanCount"}
    return {**{k: v for k, v in status.items() if k not in passing}, "conditions": conditions}


def of_others(found: dict[tuple[str, str], object]) -> dict[tuple[str, str], object]:
    """Statuses without the MailServer's: it counts what it refuses, and tells when replicas take a change over."""
    return {key: value for key, value in found.items() if key[0] != "MailServer"}


def up_to_date(platform: Platform) -> bool:
    """Whether the MailServer is ready, and counts as many refused objects as say so themselves."""
    refused = 0
    for kind in ("MailServer", "MailDomain", "Mailbox", "MailAddress", "Connector", "RelayHost", "FilterPolicy"):
        for one in platform.kube.objects(GROUP, kind, platform.namespace):
            accepted = platform.kube.condition(kind, platform.namespace, one["metadata"]["name"], "Accepted")
            refused += accepted is None or accepted["status"] != "True"
    server = platform.kube.get(GROUP, "MailServer", platform.namespace, platform.name)
    ready = platform.kube.condition("MailServer", platform.namespace, platform.name, "Ready")
    assert server is not None
    assert ready is not None
    return bool(ready["status"] == "True" and server["status"]["counts"]["refused"] == refused)


def settled(platform: Platform) -> tuple[dict[tuple[str, str], object], dict[tuple[str, str], object]]:
    """Contents and statuses, once no earlier change is under way."""

    def look() -> tuple[dict[tuple[str, str], object], dict[tuple[str, str], object]] | None:
        if not up_to_date(platform):
            return None
        first = contents(platform), statuses(platform, "hostile")
        time.sleep(1)
        return first if first == (contents(platform), statuses(platform, "hostile")) else None

    return cast("tuple[dict[tuple[str, str], object], dict[tuple[str, str], object]]", eventually(look, "rest"))


@pytest.mark.row("B1")
def test_every_object_says_that_it_is_in_force(platform: Platform) -> None:
    for kind in ("MailServer", "MailDomain", "Mailbox"):
        for one in platform.kube.objects(GROUP, kind, platform.namespace):
            for type_ in ("Accepted", "Ready"):
                platform.kube.wait_condition(kind, platform.namespace, one["metadata"]["name"], type_)
    for type_ in ("Accepted", "ConfigSynced", "WorkloadsReady", "Ready"):
        platform.kube.wait_condition("MailServer", platform.namespace, platform.name, type_)


@pytest.mark.row("B1")
def test_a_status_that_somebody_overwrote_is_put_right(platform: Platform, alice: Account) -> None:
    for kind, name in (("Mailbox", alice.user), ("MailDomain", "example.test"), ("MailServer", platform.name)):
        before = platform.kube.wait_condition(kind, platform.namespace, name, "Ready")
        raw = platform.kube.get(GROUP, kind, platform.namespace, name)
        assert raw is not None
        false = [{**one, "status": "False", "reason": "Forged"} for one in raw["status"]["conditions"]]
        for status in (None, {"conditions": false}, {"conditions": None, "observedGeneration": 77}):
            platform.kube.patch_status(kind, platform.namespace, name, status)
            after = platform.kube.wait_condition(kind, platform.namespace, name, "Ready", timeout=15)
            assert (after["status"], after["reason"]) == (before["status"], before["reason"])
    alice.imap().logout()


@pytest.mark.row("B1")
def test_ready_means_that_every_replica_serves_it(platform: Platform) -> None:
    for _ in range(5):
        account = platform.add_mailbox()  # returns when Ready
        for pod in platform.kube.pods(platform.namespace, "smtp", platform.name):
            with smtplib.SMTP(pod["status"]["podIP"], 10025, timeout=20) as session:
                assert rcpt(session, f"{account.user}@example.test")[0] == 250
        account.imap().logout()
        platform.remove_mailbox(account.user)


@pytest.mark.row("B1")
def test_a_self_signed_certificate_is_said(platform: Platform) -> None:
    found = platform.kube.condition("MailServer", platform.namespace, platform.name, "CertificateTrusted")
    assert found is not None
    assert (found["status"], found["reason"]) == ("False", "SelfSigned")


@pytest.mark.row("B1")
def test_a_field_not_in_force_is_named(platform: Platform) -> None:
    spec = {"delivery": "Local", "disclaimer": {"markdown": "Of *no* effect yet"}}
    platform.kube.apply(manifest("MailDomain", platform.namespace, "noticed.test", spec))
    found = platform.kube.wait_condition("MailDomain", platform.namespace, "noticed.test", "Accepted")
    platform.kube.delete(GROUP, "MailDomain", platform.namespace, "noticed.test")
    assert found["reason"] == "FieldNotInForce"
    assert "spec.disclaimer" in found["message"]


@pytest.mark.row("B3")
def test_a_conflict_harms_only_the_younger(platform: Platform, alice: Account) -> None:
    thief = platform.mailbox("thief", username="alice")
    platform.kube.apply(password_secret(platform.namespace, "thief-password", {"password": "stolen"}), thief)
    refusal = platform.kube.wait_condition("Mailbox", platform.namespace, "thief", "Accepted", "False")
    assert refusal["reason"] == "Conflict"
    assert "alice" in refusal["message"]
    alice.imap().logout()
    platform.kube.apply(
        manifest("MailDomain", platform.namespace, "copy", {"domain": "example.test", "delivery": "Local"})
    )
    refusal = platform.kube.wait_condition("MailDomain", platform.namespace, "copy", "Accepted", "False")
    assert refusal["reason"] == "Conflict"
    platform.kube.delete(GROUP, "MailDomain", platform.namespace, "copy")
    platform.remove_mailbox("thief")
    with platform.smtp() as session:
        assert rcpt(session, "alice@example.test")[0] == 250


@pytest.mark.row("B3")
def test_the_api_server_refuses_malformed_objects_with_the_field(platform: Platform) -> None:
    wrong: tuple[tuple[Object, str], ...] = (
        (platform.mailbox("wrong", tpye="User"), "tpye"),
        (platform.mailbox("wrong", type="Robot"), "spec.type"),
        (platform.mailbox("wrong", quota="much"), "spec.quota"),
        (manifest("MailDomain", platform.namespace, "wrong", {"delivery": "Relay"}), "relay"),
        (manifest("MailServer", platform.namespace, "wrong", {"hostname": "no host name"}), "spec.hostname"),
    )
    for one, field in wrong:
        with pytest.raises(ApiException) as caught:
            platform.kube.create(one)
        assert 400 <= caught.value.status < 500
        assert field in json.loads(caught.value.body)["message"]


def string_fields(platform: Platform, value: str) -> Iterator[Object]:
    """Objects that carry a hostile value in every string that a user may write."""
    name, space = "hostile", platform.namespace
    yield platform.mailbox(name, username=value)
    yield platform.mailbox(name, displayName=value)
    yield platform.mailbox(name, quota=value)
    yield platform.mailbox(name, forward={"to": [value]})
    yield platform.mailbox(name, members=[value], type="Group")
    yield platform.mailbox(name, junk={"retention": value})
    yield platform.mailbox(name, passwordSecret={"name": value, "key": "password"})
    yield platform.mailbox(name, passwordSecret={"name": "alice-password", "key": value})
    yield manifest("MailDomain", space, name, {"domain": value, "delivery": "Local"})
    yield manifest("MailDomain", space, name, {"delivery": "Local", "dkim": {"selector": value}})
    yield manifest("MailDomain", space, name, {"delivery": "Local", "dkim": {"secretName": value}})
    yield manifest("MailDomain", space, name, {"delivery": "Local", "disclaimer": {"markdown": value}})
    yield manifest("MailDomain", space, name, {"delivery": "Local", "copyTo": [value]})
    yield manifest("MailAddress", space, name, {"localPart": value, "destinations": [{"mailbox": "alice"}]})
    yield manifest("MailAddress", space, name, {"destinations": [{"address": value}]})
    yield manifest("RelayHost", space, name, {"host": value, "senders": ["@example.test"]})
    yield manifest("FilterPolicy", space, name, {"antispam": {"subjectPrefix": value}})


@pytest.mark.row("B3")
@pytest.mark.parametrize("value", HOSTILE, ids=range(len(HOSTILE)))
def test_a_hostile_value_changes_nothing_but_its_own_status(platform: Platform, alice: Account, value: str) -> None:
    made, said = settled(platform)
    for one in string_fields(platform, value):
        try:
            platform.kube.create(one)
        except ApiException as error:
            assert 400 <= error.status < 500, error.body
            continue
        kind, name = one["kind"], one["metadata"]["name"]
        look = partial(platform.kube.condition, kind, platform.namespace, name, "Accepted")
        eventually(look, f"a verdict on {one}")
        assert of_others(statuses(platform, name)) == of_others(said), f"only the status of {one} changes"
        platform.kube.delete(GROUP, kind, platform.namespace, name)
    message = letter("stranger@outside.test", "alice@example.test")
    with platform.smtp() as session:
        session.send_message(message)
    wait_for_message(alice, message["Message-ID"])
    eventually(lambda: statuses(platform, "hostile") == said, "every status is as before")
    assert contents(platform) == made, "and so is every byte that was made"


@pytest.mark.row("B1")
def test_an_object_without_a_server_says_so(kube_namespace: str, platform: Platform) -> None:
    platform.kube.apply(manifest("MailDomain", kube_namespace, "lonely.test", {"delivery": "Local"}))
    refusal = platform.kube.wait_condition("MailDomain", kube_namespace, "lonely.test", "Accepted", "False")
    assert refusal["reason"] == "ServerNotFound"


@pytest.mark.row("B3")
def test_a_second_server_takes_nothing_away_from_the_first(platform: Platform, alice: Account) -> None:
    kube, space = platform.kube, platform.namespace
    kube.apply(manifest("MailServer", space, "second", {"hostname": "second.example.test", "paused": True}))
    try:
        kube.wait_condition("MailServer", space, "second", "Accepted")
        account = platform.add_mailbox()
        assert platform.answer(f"{account.user}@example.test") == 250
        assert platform.answer(f"{alice.user}@example.test") == 250
        kube.wait_condition("Mailbox", space, alice.user, "Ready")
    finally:
        kube.delete(GROUP, "MailServer", space, "second")
    assert platform.answer(f"{account.user}@example.test") == 250
    platform.remove_mailbox(account.user)
