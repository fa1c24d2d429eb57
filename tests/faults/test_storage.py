"""What the operator tells of volumes that nobody serves: against a real API server."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from postboat.cluster.types import EVENT, ResourceType

from .platform import eventually

if TYPE_CHECKING:
    from postboat.cluster.types import Json

    from .platform import Platform

pytestmark = [pytest.mark.api, pytest.mark.timeout(300)]
CLAIM = ResourceType("", "v1", "persistentvolumeclaims", "PersistentVolumeClaim")


def told(platform: Platform, type_: str) -> Json:
    """Give a condition of the MailServer, as far as there is one."""
    status = (platform.get("MailServer", "mail") or {}).get("status") or {}
    return next((one for one in status.get("conditions") or () if one["type"] == type_), {"status": "", "reason": ""})


def events(platform: Platform) -> list[tuple[str, str]]:
    """Give type and reason of the Events about the MailServer."""
    found = platform.client.pages(EVENT, platform.namespace)
    return [(event["type"], event["reason"]) for event in found if event["regarding"]["kind"] == "MailServer"]


@pytest.mark.parametrize("label", ["postboat.dev/server", "app.kubernetes.io/instance"])
def test_a_claim_that_lost_its_pod_is_told_until_it_has_one_or_is_gone(platform: Platform, label: str) -> None:
    """The queue of the last pod stays on its claim when there are fewer pods; nobody delivers it."""
    name = "queue-mail-smtp-1"
    labels = {"app.kubernetes.io/name": "postboat", "app.kubernetes.io/component": "smtp", label: "mail"}
    meta = {"namespace": platform.namespace, "name": name, "labels": labels}
    spec = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}
    eventually(lambda: told(platform, "ClaimsServed")["status"] == "True", 10)
    platform.put("MailServer", "mail", hostname="mail.example.test", smtp={"replicas": 2})
    platform.client.create(CLAIM, {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": meta, "spec": spec})
    eventually(lambda: told(platform, "WorkloadsReady")["status"] == "False")
    assert told(platform, "ClaimsServed")["status"] == "True", "its pod is to come"
    platform.put("MailServer", "mail", hostname="mail.example.test", smtp={"replicas": 1})
    eventually(lambda: told(platform, "ClaimsServed")["reason"] == "ClaimWithoutPod", 10)
    assert name in told(platform, "ClaimsServed")["message"]
    eventually(lambda: platform.ready("MailServer", "mail"))
    eventually(lambda: ("Warning", "ClaimWithoutPod") in events(platform), 10)
    platform.settled()
    platform.put("MailServer", "mail", hostname="mail.example.test", smtp={"replicas": 2})
    eventually(lambda: told(platform, "ClaimsServed")["status"] == "True", 10)
    platform.put("MailServer", "mail", hostname="mail.example.test", smtp={"replicas": 1})
    eventually(lambda: told(platform, "ClaimsServed")["status"] == "False", 10)
    platform.client.merge(CLAIM, platform.namespace, name, {"metadata": {"finalizers": None}})
    platform.client.delete(CLAIM, platform.namespace, name)
    eventually(lambda: told(platform, "ClaimsServed")["status"] == "True", 10)
