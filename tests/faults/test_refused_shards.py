"""One shard of the directory that cannot be written, and all that goes on: the whole operator, a real API server."""

from __future__ import annotations

import base64
import datetime as dt
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

from postboat.cluster.types import CONFIG_MAP, SECRET, STATEFUL_SET, ApiError, Json, ResourceType
from postboat.controller.reconcile import certificates
from postboat.model import names

from .platform import eventually
from .stage import RESOURCES

if TYPE_CHECKING:
    from collections.abc import Iterator

    from .platform import Platform

pytestmark = [pytest.mark.api, pytest.mark.timeout(300)]
HOST = "mail.example.test"
SHARD = f"mail-directory-{names.shard('anna'):02d}"
ADMISSION = "admissionregistration.k8s.io"
POLICY = ResourceType(ADMISSION, "v1", "validatingadmissionpolicies", "ValidatingAdmissionPolicy", namespaced=False)
BINDING = ResourceType(
    ADMISSION, "v1", "validatingadmissionpolicybindings", "ValidatingAdmissionPolicyBinding", namespaced=False
)


@contextmanager
def refused(platform: Platform, name: str) -> Iterator[None]:
    """Let the API server take no change of a Secret, as a cluster's own policy may do."""
    policy = f"{platform.namespace}-frozen"
    rule = {"apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE", "UPDATE"], "resources": ["secrets"]}
    where = {"matchLabels": {"kubernetes.io/metadata.name": platform.namespace}}
    spec: Json = {
        "matchConstraints": {"namespaceSelector": where, "resourceRules": [rule]},
        "validations": [{"expression": f"object.metadata.name != '{name}'", "message": "nobody may change it"}],
    }
    kinds = {POLICY: spec, BINDING: {"policyName": policy, "validationActions": ["Deny"]}}
    for kind, body in kinds.items():
        whole = {"apiVersion": f"{ADMISSION}/v1", "kind": kind.kind, "metadata": {"name": policy}, "spec": body}
        platform.client.create(kind, whole)
    try:
        eventually(lambda: _is_refused(platform, name))
        yield
    finally:
        for kind in kinds:
            platform.client.delete(kind, "", policy)


def _is_refused(platform: Platform, name: str) -> bool:
    meta = {"namespace": platform.namespace, "name": name}
    try:
        platform.client.trial({"apiVersion": "v1", "kind": "Secret", "metadata": meta}, SECRET)
    except ApiError:
        return True
    return False


def synced(platform: Platform) -> tuple[str, str]:
    listed = ((platform.get("MailServer", "mail") or {}).get("status") or {}).get("conditions", ())
    return next(((one["reason"], one["message"]) for one in listed if one["type"] == "ConfigSynced"), ("", ""))


def certificate(platform: Platform, authority: certificates.Pair) -> bytes:
    """Issue a certificate as a renewal does, and give it."""
    pair = certificates.leaf(authority, (HOST,), dt.datetime.now(dt.UTC))
    data = {"tls.crt": pair.certificate, "tls.key": pair.key}
    meta = {"namespace": platform.namespace, "name": "host", "labels": {"postboat.dev/watch": "true"}}
    body: Json = {"apiVersion": "v1", "kind": "Secret", "metadata": meta, "type": "kubernetes.io/tls"}
    platform.client.apply(
        body | {"data": {key: base64.b64encode(value).decode() for key, value in data.items()}}, SECRET
    )
    return pair.certificate


def written(platform: Platform, name: str, key: str) -> bytes:
    raw = platform.client.get(SECRET, platform.namespace, name) or {}
    return base64.b64decode(raw.get("data", {}).get(key, ""))


def refusals(platform: Platform) -> int:
    return platform.log.read_text().count(f"Secret/{SHARD} was not applied")


def test_a_refused_shard_stops_neither_renewals_nor_other_mailboxes(platform: Platform) -> None:
    authority = certificates.authority("test", dt.datetime.now(dt.UTC))
    certificate(platform, authority)
    platform.put("MailServer", "mail", hostname=HOST, tls={"secretName": "host"})
    platform.mailbox("anna")
    for kind, name in (("Mailbox", "anna"), ("MailServer", "mail")):
        eventually(lambda kind=kind, name=name: platform.ready(kind, name))  # type: ignore[misc]
    with refused(platform, SHARD):
        platform.settled()

        platform.mailbox("anna", quota="1Gi")
        eventually(lambda: synced(platform)[0] == "SyncFailed")
        assert f"Secret/{SHARD} (" in synced(platform)[1]
        assert "wait" not in synced(platform)[1]
        renewed = certificate(platform, authority)
        eventually(lambda: renewed in written(platform, "mail-smtp", "tls.pem"))
        eventually(lambda: renewed in written(platform, "mail-imap", "tls.crt"))
        platform.mailbox("ben")
        assert eventually(lambda: platform.ready("Mailbox", "ben")) < 4 + platform.pods.pause
        assert not platform.ready("Mailbox", "anna")

        before = platform.settled()
        tries = refusals(platform)
        time.sleep(5)
        assert platform.versions() == before, "a refused object makes nobody write"
        assert refusals(platform) - tries <= 5, "it is tried with growing pauses"

        assert platform.operators[0].stop() in {0, -15}
        platform.operators.append(platform.operator())
        platform.mailbox("cara")
        eventually(lambda: any("directory" in name for name in platform.versions().keys() - before.keys()))
        platform.mailbox("frieda")
        eventually(lambda: platform.ready("Mailbox", "frieda"))
        assert not platform.ready("Mailbox", "anna")

    for name in ("anna", "cara"):
        eventually(lambda name=name: platform.ready("Mailbox", name))  # type: ignore[misc]
    eventually(lambda: platform.ready("MailServer", "mail"))
    assert synced(platform)[0] == "Synced"


def test_a_foreign_secret_under_the_name_of_a_shard_stops_no_workload(platform: Platform) -> None:
    meta = {"namespace": platform.namespace, "name": SHARD}
    platform.client.create(SECRET, {"apiVersion": "v1", "kind": "Secret", "metadata": meta})
    platform.mailbox("anna")
    platform.mailbox("ben")
    eventually(lambda: "is not of this platform" in synced(platform)[1])
    pods = {"imap": {"priorityClassName": "system-cluster-critical"}}
    platform.put("MailServer", "mail", hostname=HOST, pods=pods)
    eventually(lambda: _priority(platform, "mail-imap") == "system-cluster-critical")
    platform.mailbox("cara")
    eventually(lambda: platform.ready("Mailbox", "cara"))
    assert not platform.ready("Mailbox", "anna")
    assert written(platform, SHARD, "smtp") == b"", "what somebody else made is left alone"
    ben = f"Secret/mail-directory-{names.shard('ben'):02d}"
    platform.client.delete(RESOURCES["Mailbox"], platform.namespace, "ben")
    eventually(lambda: ben not in platform.versions())
    platform.client.delete(SECRET, platform.namespace, SHARD)
    eventually(lambda: platform.ready("Mailbox", "anna"), 150)
    eventually(lambda: platform.ready("MailServer", "mail"))


def _priority(platform: Platform, workload: str) -> str:
    raw = platform.client.get(STATEFUL_SET, platform.namespace, workload)
    assert raw is not None
    return str(raw["spec"]["template"]["spec"].get("priorityClassName", ""))


def test_a_platform_begins_without_a_shard_but_takes_no_mail_yet(platform: Platform) -> None:
    shard = f"second-directory-{names.shard(''):02d}"
    meta = {"namespace": platform.namespace, "name": shard}
    platform.client.create(SECRET, {"apiVersion": "v1", "kind": "Secret", "metadata": meta})
    platform.put("MailServer", "second", hostname="second.example.test")
    platform.put("MailDomain", "second.example.test", server="second")

    def there(kind: object, name: str) -> bool:
        return platform.client.get(kind, platform.namespace, name) is not None  # type: ignore[arg-type]

    for name in ("second-imap", "second-store", "second-filter", "second-valkey"):
        eventually(lambda name=name: there(STATEFUL_SET, name))  # type: ignore[misc]
    assert there(CONFIG_MAP, "second-smtp")
    assert there(SECRET, "second-smtp")
    assert not there(STATEFUL_SET, "second-smtp"), "it would refuse every recipient of that shard for good"
    platform.client.delete(SECRET, platform.namespace, shard)
    eventually(lambda: there(STATEFUL_SET, "second-smtp"), 150)
