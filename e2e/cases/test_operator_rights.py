"""What somebody can do who has taken the operator's token: no more than write the objects of mail platforms.

Each request is made as the operator's ServiceAccount and as a trial (dry run), so nothing of it stays.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from typing import Any

import pytest
from kubernetes import client, config
from kubernetes.client import ApiException

from e2e.kube import Kube, Object
from e2e.platform import Platform

ACCOUNT = "system:serviceaccount:postboat-system:postboat"
LABELS = {
    "app.kubernetes.io/name": "postboat",
    "app.kubernetes.io/instance": "mail",
    "app.kubernetes.io/managed-by": "postboat",
}


class Thief:
    """A client that has the operator's rights."""

    def __init__(self, kube: Kube, namespace: str) -> None:
        self.api = config.new_client_from_config(kube.kubeconfig)
        self.api.set_default_header("Impersonate-User", ACCOUNT)
        self.core = client.CoreV1Api(self.api)
        self.apps = client.AppsV1Api(self.api)
        self.namespace = namespace

    def refusal(self, request: Callable[..., Any], *arguments: Any) -> str:  # noqa: ANN401
        """What the API server says to a request, or nothing where it would carry it out."""
        try:
            request(*arguments, dry_run="All")
        except ApiException as error:
            return str(json.loads(error.body)["message"])
        return ""


@pytest.fixture
def thief(platform: Platform) -> Thief:
    return Thief(platform.kube, platform.namespace)


def secret(name: str, **more: Any) -> Object:  # noqa: ANN401
    return {"metadata": {"name": name, "labels": LABELS}, "type": "Opaque", **more}


@pytest.mark.row("B4")
def test_the_operator_makes_secrets_of_its_platforms_only(platform: Platform, thief: Thief) -> None:
    create = thief.core.create_namespaced_secret
    assert thief.refusal(create, platform.namespace, secret("mail-try")) == "", "what the operator does is allowed"
    token = secret("mail-token", type="kubernetes.io/service-account-token")
    token["metadata"]["annotations"] = {"kubernetes.io/service-account.name": "default"}
    assert "of type Opaque" in thief.refusal(create, platform.namespace, token)
    assert "named after their MailServer" in thief.refusal(create, platform.namespace, secret("other"))
    unlabelled = {"metadata": {"name": "mail-x"}, "type": "Opaque"}
    assert "managed-by=postboat" in thief.refusal(create, platform.namespace, unlabelled)
    assert "begins with kube-" in thief.refusal(create, "kube-system", secret("mail-try"))


@pytest.mark.row("B4")
def test_the_operator_leaves_objects_of_others_alone(platform: Platform, thief: Thief, kube_namespace: str) -> None:
    mine = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "mail-own", "namespace": kube_namespace}}
    platform.kube.apply(mine)
    refused = thief.refusal(thief.core.delete_namespaced_secret, "mail-own", kube_namespace)
    assert "managed-by=postboat" in refused
    taken = {"metadata": {"labels": LABELS}, "data": {"password": "eA=="}}
    refused = thief.refusal(thief.core.patch_namespaced_secret, "mail-own", kube_namespace, taken)
    assert "changes and deletes only objects of a mail platform" in refused


def privileged(pod: Object) -> None:
    pod["containers"][0]["securityContext"]["privileged"] = True
    pod["containers"][0]["securityContext"]["allowPrivilegeEscalation"] = True


def host_network(pod: Object) -> None:
    pod["hostNetwork"] = True


def host_path(pod: Object) -> None:
    pod["volumes"].append({"name": "host", "hostPath": {"path": "/"}})


def own_image(pod: Object) -> None:
    pod["containers"][0]["image"] = "evil.example/shell:1"


def token(pod: Object) -> None:
    pod["automountServiceAccountToken"] = True


def projected_token(pod: Object) -> None:
    source = {"serviceAccountToken": {"path": "token"}}
    pod["volumes"].append({"name": "token", "projected": {"sources": [source]}})


def other_account(pod: Object) -> None:
    pod["serviceAccountName"] = "default"


def capability(pod: Object) -> None:
    pod["containers"][0]["securityContext"]["capabilities"]["add"] = ["SYS_ADMIN"]


CHANGES: dict[Callable[[Object], None], str] = {
    privileged: "not privileged",
    host_network: "no host namespace",
    host_path: "mount ConfigMaps",
    own_image: "the images that the chart names",
    token: "without its token",
    projected_token: "mount ConfigMaps",
    other_account: "the ServiceAccount of their platform",
    capability: "add no capability",
}


@pytest.mark.row("B4")
@pytest.mark.parametrize("change", CHANGES, ids=lambda change: change.__name__)
def test_the_operator_makes_no_pod_that_reaches_further(
    platform: Platform, thief: Thief, change: Callable[[Object], None]
) -> None:
    found = platform.kube.get("apps/v1", "StatefulSet", platform.namespace, f"{platform.name}-imap")
    assert found is not None
    body = copy.deepcopy(found)
    body["metadata"] = {"name": "mail-another", "labels": found["metadata"]["labels"]}
    del body["status"]
    create = thief.apps.create_namespaced_stateful_set
    assert thief.refusal(create, platform.namespace, body) == "", "the template as the operator makes it is allowed"
    change(body["spec"]["template"]["spec"])
    assert CHANGES[change] in thief.refusal(create, platform.namespace, body)


@pytest.mark.row("B4")
def test_the_operator_makes_no_service_that_takes_over_addresses(platform: Platform, thief: Thief) -> None:
    ports = [{"port": 443}]
    selector = {"app.kubernetes.io/name": "postboat"}
    create = thief.core.create_namespaced_service
    spec: Object = {"ports": ports, "selector": selector}
    plain: Object = {"metadata": {"name": "mail-try", "labels": LABELS}, "spec": spec}
    assert thief.refusal(create, platform.namespace, plain) == ""
    for more in ({"externalIPs": ["198.51.100.1"]}, {"selector": {"app": "web"}}):
        wrong = {**plain, "spec": {**spec, **more}}
        assert "no Service with external IPs" in thief.refusal(create, platform.namespace, wrong)
    name = {**plain, "spec": {"type": "ExternalName", "externalName": "elsewhere.test"}}
    assert "no Service with external IPs" in thief.refusal(create, platform.namespace, name)


@pytest.mark.row("B4")
def test_the_operator_changes_one_kind_of_annotation_of_pods(platform: Platform, thief: Thief) -> None:
    pod = platform.kube.pods(platform.namespace, "imap", platform.name)[0]["metadata"]["name"]
    patch = thief.core.patch_namespaced_pod
    digest = {"metadata": {"annotations": {"postboat.dev/digest-try": "x"}}}
    assert thief.refusal(patch, pod, platform.namespace, digest) == ""
    other = {"metadata": {"annotations": {"example.org/inject": "true"}}}
    assert "only the annotations" in thief.refusal(patch, pod, platform.namespace, other)
    image = {"spec": {"containers": [{"name": "dovecot", "image": "evil.example/shell:1"}]}}
    assert "nothing of a pod but its annotations" in thief.refusal(patch, pod, platform.namespace, image)
