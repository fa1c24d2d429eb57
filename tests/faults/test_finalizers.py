"""The finalizer of Mailboxes against a real API server: there while it has a reason, and not a moment longer."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest

from postboat.controller.process import uninstall as release
from postboat.model.retention.reclaim import FINALIZER
from postboat.settings import Settings

from .platform import eventually
from .stage import RESOURCES
from .test_reflector import KUBECONFIG

if TYPE_CHECKING:
    from .platform import Platform

pytestmark = [pytest.mark.api, pytest.mark.timeout(300)]
MAILBOX, SERVER = RESOURCES["Mailbox"], RESOURCES["MailServer"]
FOREIGN = "example.org/theirs"


def finalizers(platform: Platform, name: str) -> list[str]:
    raw = platform.get("Mailbox", name)
    return list(raw["metadata"].get("finalizers") or []) if raw is not None else []


def gone(platform: Platform, name: str) -> bool:
    return platform.get("Mailbox", name) is None


def test_the_finalizer_comes_and_goes_beside_those_of_others(platform: Platform) -> None:
    platform.mailbox("alice")
    platform.client.merge(MAILBOX, platform.namespace, "alice", {"metadata": {"finalizers": [FOREIGN]}})
    platform.mailbox("alice", reclaimPolicy="Delete")
    eventually(lambda: finalizers(platform, "alice") == [FOREIGN, FINALIZER])
    platform.mailbox("alice", reclaimPolicy="Retain")
    eventually(lambda: finalizers(platform, "alice") == [FOREIGN])
    platform.client.merge(MAILBOX, platform.namespace, "alice", {"metadata": {"finalizers": None}})


def test_a_mailbox_waits_for_its_store_until_its_server_goes(platform: Platform) -> None:
    platform.mailbox("alice", reclaimPolicy="Delete")
    eventually(lambda: FINALIZER in finalizers(platform, "alice") and platform.ready("Mailbox", "alice"))
    platform.mailbox("bob", reclaimPolicy="Delete")
    eventually(lambda: FINALIZER in finalizers(platform, "bob"))
    platform.client.delete(MAILBOX, platform.namespace, "alice")

    def waits() -> bool:
        raw = platform.get("Mailbox", "alice")
        conditions = ((raw or {}).get("status") or {}).get("conditions") or ()
        return any(one["type"] == "Erased" and one["reason"] == "StoreUnavailable" for one in conditions)

    eventually(waits)
    platform.client.delete(SERVER, platform.namespace, "mail")
    eventually(lambda: gone(platform, "alice"))
    eventually(lambda: finalizers(platform, "bob") == [])


def test_reclaim_policy_retain_releases_a_mailbox_under_deletion(platform: Platform) -> None:
    platform.mailbox("alice", reclaimPolicy="Delete")
    eventually(lambda: FINALIZER in finalizers(platform, "alice") and platform.ready("Mailbox", "alice"))
    platform.client.delete(MAILBOX, platform.namespace, "alice")
    platform.mailbox("alice", reclaimPolicy="Retain")
    eventually(lambda: gone(platform, "alice"))


def test_uninstall_removes_all_finalizers_for_good(platform: Platform) -> None:
    for name in ("alice", "bob"):
        platform.mailbox(name, reclaimPolicy="Delete")
    eventually(lambda: all(FINALIZER in finalizers(platform, name) for name in ("alice", "bob")))
    settings = Settings(namespaces=(platform.namespace,), operator_namespace=platform.namespace, kubeconfig=KUBECONFIG)
    assert release.run(settings) == 0
    assert finalizers(platform, "alice") == finalizers(platform, "bob") == []
    platform.mailbox("carol", reclaimPolicy="Delete")
    quiet = time.monotonic() + 6  # three times as long as an operator takes to look at its Lease
    while time.monotonic() < quiet:
        assert finalizers(platform, "carol") == []
        time.sleep(0.2)
    platform.client.delete(MAILBOX, platform.namespace, "alice")
    eventually(lambda: gone(platform, "alice"))
    assert release.run(settings, settle=0) == 0
