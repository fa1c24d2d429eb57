"""Fields of others in our objects: which are found, what the patch says, and what is left alone."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from postboat.cluster.foreign import corrections, named, suspicious
from postboat.cluster.types import (
    CONFIG_MAP,
    DISRUPTION_BUDGET,
    NETWORK_POLICY,
    SECRET,
    SERVICE,
    SERVICE_ACCOUNT,
    STATEFUL_SET,
    Json,
    ResourceType,
)

OURS: Json = {"manager": "postboat", "operation": "Apply", "fieldsV1": {"f:spec": {"f:replicas": {}}}}
STATUS: Json = {"manager": "kcm", "operation": "Update", "subresource": "status", "fieldsV1": {"f:status": {}}}


def theirs(*fields: str, manager: str = "kubectl-edit") -> Json:
    return {"manager": manager, "operation": "Update", "fieldsV1": {field: {} for field in fields}}


def live(**content: Any) -> Json:  # noqa: ANN401 -- any part of an object
    meta = {"name": "x", "resourceVersion": "7", "managedFields": [OURS, STATUS, theirs("f:spec", "f:metadata")]}
    return {"apiVersion": "v1", "kind": "Any", "metadata": meta, "status": {"a": 1}, **content}


POD: Json = {"containers": [{"name": "a", "image": "i"}], "restartPolicy": "Always", "dnsPolicy": "ClusterFirst"}
SET: Json = {"replicas": 1, "serviceName": "s", "template": {"metadata": {"labels": {"a": "b"}}, "spec": POD}}
PORT: Json = {"name": "smtp", "port": 25, "targetPort": 10025, "protocol": "TCP"}
SERVED: Json = {"type": "LoadBalancer", "ports": [{**PORT, "nodePort": 30001}], "clusterIP": "10.0.0.1"}
WANTED: dict[ResourceType, Json] = {
    CONFIG_MAP: {"data": {"main.cf": "x"}},
    SECRET: {"type": "Opaque", "data": {"a": "eA=="}},
    SERVICE_ACCOUNT: {"automountServiceAccountToken": False},
    STATEFUL_SET: {"spec": SET},
    SERVICE: {"spec": {**SERVED, "ports": [{**PORT, "nodePort": 30999}], "clusterIP": "10.0.0.9"}},
    NETWORK_POLICY: {"spec": {"podSelector": {}, "ingress": [{"ports": [{"port": 1}]}]}},
    DISRUPTION_BUDGET: {"spec": {"maxUnavailable": 1}},
}


def with_pod(**fields: Any) -> Json:  # noqa: ANN401
    return {"spec": {**SET, "template": {**SET["template"], "spec": {**POD, **fields}}}}


EVIL = {"name": "evil", "image": "e"}
CASES: list[tuple[ResourceType, Json, list[str]]] = [
    (CONFIG_MAP, {"data": {"main.cf": "x", "theirs": "y", "a/b~c": "z"}}, ["/data/a~1b~0c", "/data/theirs"]),
    (CONFIG_MAP, {"data": {"main.cf": "x"}, "binaryData": {"b": "eA=="}}, ["/binaryData/b"]),
    (SECRET, {"type": "Opaque", "data": {"a": "eA==", "main.cf": "eA=="}}, ["/data/main.cf"]),
    (SERVICE_ACCOUNT, {"automountServiceAccountToken": False, "secrets": [{"name": "s"}], "imagePullSecrets": []}, []),
    (STATEFUL_SET, with_pod(hostNetwork=True), ["/spec/template/spec/hostNetwork"]),
    (STATEFUL_SET, with_pod(hostPID=True, shareProcessNamespace=True),
     ["/spec/template/spec/hostPID", "/spec/template/spec/shareProcessNamespace"]),
    (STATEFUL_SET, with_pod(containers=[*POD["containers"], EVIL]), ["/spec/template/spec/containers"]),
    (STATEFUL_SET, with_pod(containers=[{**POD["containers"][0], "command": ["sh"]}]),
     ["/spec/template/spec/containers"]),
    (STATEFUL_SET, with_pod(initContainers=[EVIL], dnsPolicy="None"),
     ["/spec/template/spec/dnsPolicy", "/spec/template/spec/initContainers"]),
    (STATEFUL_SET, {"spec": {**SET, "minReadySeconds": 9}}, ["/spec/minReadySeconds"]),
    (STATEFUL_SET, {"spec": {**SET, "volumeClaimTemplates": [{"x": 1}]}}, []),
    (STATEFUL_SET, {"spec": {**SET, "template": {"metadata": {"annotations": {"restartedAt": "now"}}, "spec": POD}}},
     []),
    (SERVICE, {"spec": {**SERVED, "externalIPs": ["192.0.2.1"]}}, ["/spec/externalIPs"]),
    (SERVICE, {"spec": {**SERVED, "loadBalancerIP": "192.0.2.1", "ipFamilies": ["IPv4"]}}, []),
    (SERVICE, {"spec": {**SERVED, "ports": [*SERVED["ports"], {"name": "x", "port": 1}]}}, ["/spec/ports"]),
    (NETWORK_POLICY, {"spec": {"podSelector": {}, "ingress": [{}], "egress": [{}]}}, ["/spec/egress", "/spec/ingress"]),
    (DISRUPTION_BUDGET, {"spec": {"minAvailable": 1, "maxUnavailable": 1}}, ["/spec/minAvailable"]),
]  # fmt: skip


@pytest.mark.parametrize(("kind", "content", "paths"), CASES)
def test_what_others_put_in_is_taken_out_and_nothing_else(kind: ResourceType, content: Json, paths: list[str]) -> None:
    operations = corrections(kind, live(**copy.deepcopy(content)), {"metadata": {}, **WANTED[kind]})
    assert named(operations) == paths
    if paths:
        assert operations[0] == {"op": "add", "path": "/metadata/resourceVersion", "value": "7"}
        kept = operations[1]["value"]
        assert kept == [OURS, STATUS, theirs("f:metadata")], "nobody but us manages more than metadata"


@pytest.mark.parametrize("kind", WANTED)
def test_what_is_as_it_should_be_gets_no_patch(kind: ResourceType) -> None:
    assert corrections(kind, live(**copy.deepcopy(WANTED[kind])), {"metadata": {}, **WANTED[kind]}) == []


def test_ports_keep_the_node_ports_that_clients_know() -> None:
    content = {"spec": {**SERVED, "ports": [*SERVED["ports"], {"name": "x", "port": 1, "nodePort": 30002}]}}
    operations = corrections(SERVICE, live(**content), {"metadata": {}, **WANTED[SERVICE]})
    assert operations[-1]["value"] == [{**PORT, "nodePort": 30001}]


@pytest.mark.parametrize(
    ("managed", "found"),
    [
        ([OURS, STATUS], False),
        ([OURS, theirs("f:metadata")], False),
        ([OURS, theirs("f:metadata", "f:status")], False),
        ([OURS, theirs("f:data")], True),
        ([OURS, theirs("f:spec", manager="before-first-apply")], True),
        ([], False),
    ],
)
def test_who_is_looked_at(managed: list[Json], found: bool) -> None:  # noqa: FBT001
    assert suspicious(managed) is found
