"""Children: what the operator makes stays as planned, whatever others write, and equal wishes change nothing."""

from __future__ import annotations

import pytest

from e2e.kube import GROUP, Object, eventually
from e2e.platform import PODS, Platform
from postboat.model import names


def pods(platform: Platform) -> dict[str, str]:
    return {
        pod["metadata"]["name"]: pod["metadata"]["uid"]
        for pod in platform.kube.pods(platform.namespace, instance=platform.name)
    }


@pytest.mark.row("B2")
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


EVIL = {"name": "evil", "image": "postboat.test/busybox:latest"}
FOREIGN = [
    ("v1", "ConfigMap", "smtp", {"data": {"theirs": "of no use"}}),
    ("v1", "Secret", "store", {"data": {"main.cf": "eA=="}}),
    ("v1", "Secret", f"directory-{names.shard('alice'):02d}", {"data": {"other": "eA=="}}),
    ("apps/v1", "StatefulSet", "valkey", {"spec": {"template": {"spec": {"hostPID": True}}}}),
    ("apps/v1", "StatefulSet", "filter", {"spec": {"template": {"spec": {"containers": [EVIL]}}}}),
    ("v1", "Service", "imap", {"spec": {"externalIPs": ["192.0.2.1"]}}),
    ("networking.k8s.io/v1", "NetworkPolicy", "valkey", {"spec": {"ingress": [{}]}}),
]


def substance(platform: Platform, api_version: str, kind: str, name: str) -> Object:
    found = platform.kube.get(api_version, kind, platform.namespace, name)
    assert found is not None
    if kind == "ConfigMap" and "manifest.json" in found["data"]:
        found["data"]["manifest.json"] = ""  # it lists the shards that have rows: it changes with mailboxes
    return {part: found[part] for part in ("data", "binaryData", "spec", "immutable") if part in found}


@pytest.mark.row("B3")
@pytest.mark.parametrize(("api_version", "kind", "suffix", "change"), FOREIGN)
def test_what_others_put_into_our_objects_is_taken_out(
    platform: Platform, api_version: str, kind: str, suffix: str, change: Object
) -> None:
    name = f"{platform.name}-{suffix}"
    before = substance(platform, api_version, kind, name)
    how = "strategic-merge" if kind == "StatefulSet" else "merge"
    platform.kube.patch(api_version, kind, platform.namespace, name, change, how)
    eventually(lambda: substance(platform, api_version, kind, name) == before, f"{kind} {name} is as planned")
    platform.kube.wait_condition("MailServer", platform.namespace, platform.name, "Ready", timeout=120)
    platform.remove_mailbox(platform.add_mailbox().user)  # changes still count


@pytest.mark.row("B3")
@pytest.mark.parametrize("suffix", ["imap", "smtp-edge"])
def test_what_nobody_owns_any_more_is_taken_out_too(platform: Platform, suffix: str) -> None:
    """Managers are lost where objects are restored from a backup."""
    name = f"{platform.name}-{suffix}"
    before = substance(platform, "v1", "ConfigMap", name)
    lost = {"metadata": {"managedFields": [{}]}, "data": {"earlier": "version"}}
    platform.kube.patch("v1", "ConfigMap", platform.namespace, name, lost)
    eventually(lambda: substance(platform, "v1", "ConfigMap", name) == before, f"{name} is as planned")
    platform.remove_mailbox(platform.add_mailbox().user)


@pytest.mark.row("B3")
def test_an_object_that_somebody_made_immutable_is_made_anew(platform: Platform) -> None:
    name = f"{platform.name}-imap"
    before = substance(platform, "v1", "ConfigMap", name)
    platform.kube.patch("v1", "ConfigMap", platform.namespace, name, {"immutable": True})
    eventually(lambda: substance(platform, "v1", "ConfigMap", name) == before, f"{name} can be changed again")
    platform.remove_mailbox(platform.add_mailbox().user)


@pytest.mark.row("B3")
@pytest.mark.parametrize(
    ("kind", "suffix"), [("ConfigMap", "imap"), ("Service", "imap"), ("Secret", "internal"), ("Secret", "selfsigned")]
)
def test_children_without_an_owner_are_owned_again(platform: Platform, kind: str, suffix: str) -> None:
    """Backups bring them back so."""
    name, namespace = f"{platform.name}-{suffix}", platform.namespace
    server = platform.kube.get(GROUP, "MailServer", namespace, platform.name)
    assert server is not None
    platform.kube.patch("v1", kind, namespace, name, {"metadata": {"ownerReferences": None}})

    def owned() -> bool:
        found = platform.kube.get("v1", kind, namespace, name)
        assert found is not None
        owners = found["metadata"].get("ownerReferences") or []
        return [owner["uid"] for owner in owners] == [server["metadata"]["uid"]]

    eventually(owned, f"{kind} {name} has its owner")


@pytest.mark.row("B4")
def test_nothing_without_an_owner_looks_like_a_part_of_an_application(platform: Platform) -> None:
    """Argo CD takes this label for its own, and prunes what its manifests do not have."""
    for kind in ("Secret", "ConfigMap", "PersistentVolumeClaim", "Service", "StatefulSet"):
        for one in platform.kube.objects("v1" if kind != "StatefulSet" else "apps/v1", kind, platform.namespace):
            if not one["metadata"].get("ownerReferences"):
                assert "app.kubernetes.io/instance" not in (one["metadata"].get("labels") or {}), one["metadata"]
