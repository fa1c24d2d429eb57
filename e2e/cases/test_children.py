"""Children: what the operator makes stays as planned, whatever others write, and equal wishes change nothing."""

from __future__ import annotations

import pytest

from e2e.kube import GROUP
from e2e.platform import PODS, Platform


def pods(platform: Platform) -> dict[str, str]:
    return {
        pod["metadata"]["name"]: pod["metadata"]["uid"]
        for pod in platform.kube.pods(platform.namespace, instance=platform.name)
    }


@pytest.mark.row("A6")
def test_another_spelling_of_an_amount_changes_nothing(platform: Platform) -> None:
    before = pods(platform)
    sets = {
        one["metadata"]["name"]: one["metadata"]["generation"]
        for one in platform.kube.objects("apps/v1", "StatefulSet", platform.namespace)
    }
    respelt = {"resources": {"requests": {"cpu": "0.01", "memory": "65536Ki"}}}
    spec = {
        "pods": dict.fromkeys(PODS, respelt),
        "storage": {"size": "10240Mi"},
        "smtp": {"queue": {"size": "2097152Ki"}},
        "valkey": {"size": "1073741824"},
    }
    platform.kube.patch(GROUP, "MailServer", platform.namespace, platform.name, {"spec": spec})
    try:
        for type_ in ("Accepted", "ConfigSynced", "Ready"):
            platform.kube.wait_condition("MailServer", platform.namespace, platform.name, type_)
        for one in platform.kube.objects("apps/v1", "StatefulSet", platform.namespace):
            assert one["metadata"]["generation"] == sets[one["metadata"]["name"]]
        assert pods(platform) == before
    finally:
        undone = {"pods": PODS, "storage": None, "smtp": None, "valkey": None}
        platform.kube.patch(GROUP, "MailServer", platform.namespace, platform.name, {"spec": undone})
