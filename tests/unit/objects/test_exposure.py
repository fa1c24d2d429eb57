"""What a MailServer asks for the Services that clients see and for the placement of its pods, and where it goes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from postboat.model.resolve import resolve
from tests.golden import world

OWN = {content.name: content for content in (world.internal("mail", "mail"), world.self_signed("mail", "mail"))}
TERMS = {"nodeSelectorTerms": [{"matchExpressions": [{"key": "disk", "operator": "Exists"}]}]}
FOR_CLIENTS = {"mail-smtp", "mail-imap"}


def planned(kind: str, **spec: object) -> dict[str, Mapping[str, Any]]:
    found = world.planned(resolve(world.of(world.server(**spec), (), OWN)))
    return {item.name: item.body for item in found.objects if item.kind == kind}


@pytest.mark.parametrize(
    ("asked", "field", "value"),
    [
        ({"type": "LoadBalancer", "loadBalancerClass": "example.com/lb"}, "loadBalancerClass", "example.com/lb"),
        (
            {"type": "LoadBalancer", "loadBalancerSourceRanges": ["192.0.2.0/24", "2001:db8::/32"]},
            "loadBalancerSourceRanges",
            ["192.0.2.0/24", "2001:db8::/32"],
        ),
        ({"type": "NodePort"}, "type", "NodePort"),
        ({"type": "NodePort", "externalTrafficPolicy": "Cluster"}, "externalTrafficPolicy", "Cluster"),
    ],
)
def test_what_is_asked_for_services_is_on_those_for_clients_alone(
    asked: dict[str, object], field: str, value: object
) -> None:
    services = planned("Service", service=asked)
    assert {name for name, body in services.items() if body["spec"].get(field) == value} == FOR_CLIENTS
    quiet = planned("Service")
    assert not any(body["spec"].get(field) == value for body in quiet.values())


def test_annotations_are_on_the_services_for_clients_alone() -> None:
    services = planned("Service", service={"annotations": {"example.com/pool": "public"}})
    annotated = {name for name, body in services.items() if body["metadata"].get("annotations")}
    assert annotated == FOR_CLIENTS
    assert services["mail-smtp"]["metadata"]["annotations"] == {"example.com/pool": "public"}


@pytest.mark.parametrize(
    ("asked", "value"),
    [
        ("nodeSelector", {"disk": "ssd"}),
        ("tolerations", [{"key": "mail", "operator": "Exists"}]),
        ("affinity", {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": TERMS}}),
        ("priorityClassName", "high"),
    ],
)
def test_the_placement_of_pods_is_that_of_their_workload_alone(asked: str, value: object) -> None:
    sets = planned("StatefulSet", pods={"store": {asked: value}})
    pods = {name: body["spec"]["template"]["spec"] for name, body in sets.items()}
    assert pods["mail-store"][asked] == value
    assert {name for name, pod in pods.items() if asked in pod} == {"mail-store"}


def test_labels_and_annotations_of_pods_never_replace_those_of_the_platform() -> None:
    labels = {"team": "mail", "app.kubernetes.io/component": "imap", "app.kubernetes.io/managed-by": "me"}
    given = {"labels": labels, "annotations": {"example.com/scrape": "yes"}}
    before, after = planned("StatefulSet"), planned("StatefulSet", pods={"store": given})
    old, new = (sets["mail-store"]["spec"]["template"]["metadata"] for sets in (before, after))
    assert new["labels"] == {**old["labels"], "team": "mail"}
    assert new["annotations"]["example.com/scrape"] == "yes"
    assert after["mail-store"]["spec"]["selector"] == before["mail-store"]["spec"]["selector"]
    assert after["mail-imap"] == before["mail-imap"]
