"""The whole operator as a process against a real API server, with pods and agents that are played by the test."""

from __future__ import annotations

import os
import time
import uuid
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest

from postboat.cluster.client import Client
from postboat.cluster.types import CONFIG_MAP, LEASE, SECRET
from postboat.model import names

from .platform import Platform, eventually
from .proxy import FAULTS, FaultProxy
from .stage import RESOURCES, condition
from .test_reflector import NAMESPACE_TYPE
from .test_secrets import kubeconfig

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from postboat.cluster.types import Json

pytestmark = [pytest.mark.api, pytest.mark.timeout(600)]
MANY = int(os.environ.get("POSTBOAT_MANY_MAILBOXES", "500"))
MAILBOX = RESOURCES["Mailbox"]


def test_a_change_is_in_force_within_two_seconds_and_then_all_is_quiet(platform: Platform) -> None:
    platform.mailbox("alice")
    eventually(lambda: platform.ready("Mailbox", "alice"))
    waits = []
    for number in range(10):
        begun = time.monotonic()
        platform.mailbox(f"user{number}")
        eventually(lambda name=f"user{number}": platform.ready("Mailbox", name))  # type: ignore[misc]
        waits.append(time.monotonic() - begun)
    assert max(waits) < 2.0 + platform.pods.pause
    eventually(lambda: platform.ready("MailServer", "mail"))
    before = platform.settled()
    time.sleep(5)
    assert platform.versions() == before


def test_a_refused_object_changes_only_its_own_status(platform: Platform) -> None:
    platform.mailbox("alice")
    eventually(lambda: platform.ready("Mailbox", "alice"))
    before = platform.settled()
    platform.mailbox("copycat", username="alice")
    eventually(lambda: condition(platform.get("Mailbox", "copycat"), "Accepted") == "False")
    after = platform.settled()
    assert {name for name in after if after[name] != before.get(name)} <= {"Mailbox/copycat", "MailServer/mail"}


def test_a_missing_secret_is_noticed_when_it_comes(platform: Platform) -> None:
    platform.put("Mailbox", "late", passwordSecret={"name": "late", "key": "password"})
    eventually(lambda: condition(platform.get("Mailbox", "late"), "Accepted") == "False")
    platform.password("late", "at last")
    assert eventually(lambda: platform.ready("Mailbox", "late")) < 6


def test_a_deleted_mailbox_leaves_its_shard(platform: Platform) -> None:
    platform.mailbox("gone")
    eventually(lambda: platform.ready("Mailbox", "gone"))
    before = {name for name in platform.versions() if "directory" in name}
    platform.client.delete(MAILBOX, platform.namespace, "gone")
    eventually(lambda: {name for name in platform.versions() if "directory" in name} < before)


def test_a_pod_that_refuses_is_told_and_recovers(platform: Platform) -> None:
    platform.pods.refuse.add("store")
    platform.mailbox("alice")
    eventually(lambda: condition(platform.get("MailServer", "mail"), "WorkloadsReady") == "False")
    assert not platform.ready("Mailbox", "alice")
    platform.pods.refuse.clear()
    eventually(lambda: platform.ready("Mailbox", "alice"))
    eventually(lambda: platform.ready("MailServer", "mail"))


def test_drift_is_repaired(platform: Platform) -> None:
    def uid() -> str:
        raw = platform.client.get(CONFIG_MAP, platform.namespace, "mail-smtp")
        return str(raw["metadata"]["uid"]) if raw else ""

    before = uid()
    assert before
    platform.client.delete(CONFIG_MAP, platform.namespace, "mail-smtp")
    eventually(lambda: uid() not in {"", before})


@pytest.mark.parametrize("suffix", ["internal", "selfsigned"])
def test_keys_without_an_owner_are_owned_again(platform: Platform, suffix: str) -> None:
    """They are in no plan, and backups bring them back so."""
    platform.settled()
    name = f"mail-{suffix}"
    before = platform.client.get(SECRET, platform.namespace, name)
    assert before is not None
    platform.client.merge(SECRET, platform.namespace, name, {"metadata": {"ownerReferences": None}})

    def owned() -> bool:
        raw = platform.client.get(SECRET, platform.namespace, name)
        return raw is not None and raw["metadata"].get("ownerReferences") == before["metadata"]["ownerReferences"]

    eventually(owned, 10)
    after = platform.client.get(SECRET, platform.namespace, name)
    assert after is not None
    assert after["data"] == before["data"]


def test_a_signing_key_has_no_owner_and_no_label_of_an_application(platform: Platform) -> None:
    """An earlier version gave it that label, so a backup may bring it back."""
    platform.settled()
    name, label = "example.test-dkim", "app.kubernetes.io/instance"
    platform.client.merge(SECRET, platform.namespace, name, {"metadata": {"labels": {label: "mail"}}})

    def meta() -> Json:
        raw = platform.client.get(SECRET, platform.namespace, name)
        assert raw is not None
        return raw["metadata"]

    eventually(lambda: label not in meta()["labels"], 10)
    assert meta()["labels"]["postboat.dev/server"] == "mail"
    platform.settled()
    assert "ownerReferences" not in meta()


def test_a_restart_writes_nothing_and_forgets_nothing(platform: Platform) -> None:
    gone = next(name for number in range(9999) if names.shard(name := f"m{number}") == names.shard("alice"))
    platform.mailbox("alice")
    platform.mailbox(gone)  # beside alice, since the manifests name the shards that have rows
    eventually(lambda: platform.ready("Mailbox", "alice") and platform.ready("Mailbox", gone))
    eventually(lambda: platform.ready("MailServer", "mail"))
    before = platform.settled()
    assert platform.operators[0].stop() in {0, -15}
    platform.client.delete(MAILBOX, platform.namespace, gone)
    platform.operators.append(platform.operator(identity="two"))
    eventually(lambda: f"Mailbox/{gone}" not in platform.versions())
    eventually(lambda: _count(platform) == 1)
    time.sleep(2)
    after = platform.versions()
    changed = {name for name in before.keys() | after.keys() if before.get(name) != after.get(name)}
    assert {name for name in changed if "directory" not in name} == {f"Mailbox/{gone}", "MailServer/mail"}


def _count(platform: Platform) -> int:
    raw = platform.get("MailServer", "mail") or {}
    return int((raw.get("status") or {}).get("counts", {}).get("mailboxes", -1))


def test_a_second_operator_waits_and_takes_over(platform: Platform) -> None:
    second = platform.operator(identity="two")
    platform.operators.append(second)
    time.sleep(4)
    platform.operators[0].process.kill()
    platform.operators[0].process.wait(5)
    platform.mailbox("after")
    eventually(lambda: platform.ready("Mailbox", "after"), 60)
    (lease,) = platform.client.pages(LEASE, platform.namespace)
    assert lease["spec"]["holderIdentity"] == "two"


def test_many_mailboxes_cost_one_status_write_each(
    platform: Platform, record_property: Callable[[str, object], None]
) -> None:
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda number: platform.mailbox(f"m{number}"), range(MANY)))
    applied = time.monotonic()

    def all_ready() -> bool:
        listed = platform.client.pages(MAILBOX, platform.namespace)
        return sum(condition(raw, "Ready") == "True" for raw in listed) >= MANY

    eventually(all_ready, 240)
    took = time.monotonic() - applied
    memory = platform.operators[0].memory()
    record_property("ready_after_seconds", round(took, 1))
    record_property("memory_mb", memory)
    assert took < 120
    assert memory < 400
    begun = time.monotonic()
    platform.mailbox("one-more")
    eventually(lambda: platform.ready("Mailbox", "one-more"))
    record_property("one_more_seconds", round(time.monotonic() - begun, 2))
    for raw in platform.client.pages(MAILBOX, platform.namespace):
        times = {one["lastTransitionTime"] for one in raw["status"]["conditions"]}
        assert len(times) == 1, "accepted and ready in one write"


def test_an_object_without_a_server_says_so_and_order_makes_no_noise(platform: Platform) -> None:
    platform.put("Mailbox", "astray", server="nobody", passwordSecret={"name": "pw", "key": "password"})
    eventually(lambda: condition(platform.get("Mailbox", "astray"), "Accepted") == "False")
    platform.put("MailServer", "nobody", hostname="nobody.example.test")
    eventually(lambda: condition(platform.get("Mailbox", "astray"), "Accepted") != "False")
    platform.client.delete(RESOURCES["MailServer"], platform.namespace, "nobody")
    eventually(lambda: condition(platform.get("Mailbox", "astray"), "Accepted") == "False")


def test_a_bad_network_delays_and_loses_nothing(client: Client, tmp_path: Path) -> None:
    """All faults of the proxy at once, on reads and writes, while mailboxes come, change and go."""
    name = f"operator-{uuid.uuid4().hex[:8]}"
    client.create(NAMESPACE_TYPE, {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})
    proxy = FaultProxy(client.connection.credentials(), 7, faults=FAULTS)
    proxy.behave = True
    kubeconfig(tmp_path / "config", proxy.url, "any")
    platform = Platform(client, name, tmp_path / "operator.log", kubeconfig=str(tmp_path / "config"))
    try:
        platform.password("pw", "a password")
        platform.put("MailServer", "mail", hostname="mail.example.test")
        eventually(lambda: condition(platform.get("MailServer", "mail"), "Accepted") == "True")
        proxy.behave = False
        platform.put("MailDomain", "example.test")
        for number in range(60):
            platform.mailbox(f"m{number}")
            if number % 3 == 0:
                platform.client.delete(MAILBOX, name, f"m{number // 2}")
            time.sleep(0.3)
        platform.client.delete(CONFIG_MAP, name, "mail-imap")
        left = {raw["metadata"]["name"] for raw in client.pages(MAILBOX, name)}
        proxy.behave = True
        eventually(lambda: all(platform.ready("Mailbox", one) for one in left), 60)
        eventually(lambda: platform.ready("MailServer", "mail") and _count(platform) == len(left), 60)
        assert client.get(CONFIG_MAP, name, "mail-imap") is not None
    finally:
        platform.stop()
        proxy.stop()
