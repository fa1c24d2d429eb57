"""Troubles: why a pod is not there, or does not serve, stands in the status of its MailServer, with the cure."""

from __future__ import annotations

import pytest

from e2e.kube import Kube, eventually
from e2e.platform import manifest

SAID = {
    "smtp": ("violates PodSecurity", "pod-security.kubernetes.io/enforce=baseline"),
    "imap": ("no PriorityClass", "spec.pods.imap.priorityClassName"),
    "store": ("typo", "create a StorageClass of that name"),
    "filter": ("no node takes it", "spec.pods.filter"),
    "valkey": ("OOMKilled", "spec.pods.valkey.resources.limits.memory"),
}


@pytest.mark.row("B1")
def test_why_pods_are_not_there(kube: Kube, kube_namespace: str) -> None:
    """Five workloads, and what keeps each of them from serving."""
    label = {"metadata": {"labels": {"pod-security.kubernetes.io/enforce": "restricted"}}}
    kube.core.patch_namespace(kube_namespace, label)
    little = {"requests": {"cpu": "1m", "memory": "1Mi"}}
    spec = {
        "hostname": "mail.trouble.test",
        "storage": {"storageClassName": "typo"},
        "pods": {
            "imap": {"priorityClassName": "typo"},
            "filter": {"nodeSelector": {"no-such-label": "x"}},
            "valkey": {"resources": {"requests": little["requests"], "limits": {"memory": "8Mi"}}},
        },
    }
    kube.apply(manifest("MailServer", kube_namespace, "mail", spec))

    def look() -> bool:
        found = kube.condition("MailServer", kube_namespace, "mail", "WorkloadsReady")
        assert found is not None
        assert (found["status"], found["reason"]) == ("False", "WorkloadsNotReady")
        lacking = [words for words in SAID.values() if not all(word in found["message"] for word in words)]
        assert not lacking, (lacking, found["message"])
        return True

    eventually(look, "each workload says why", timeout=120)
    ready = kube.condition("MailServer", kube_namespace, "mail", "Ready")
    assert ready is not None
    assert ready["reason"] == "WorkloadsNotReady"
