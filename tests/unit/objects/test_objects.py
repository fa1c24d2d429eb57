"""Objects as Kubernetes takes them: valid, secure, reachable along the arrows only, and never stuck."""

from collections.abc import Mapping
from dataclasses import replace
from functools import cache
from typing import Any

import kubernetes_validate
import pytest

from postboat.agent.digest import content_digest, file_digest
from postboat.model.platform import Volume
from postboat.model.resolve import resolve
from postboat.model.verdict import Reason
from postboat.objects.plan import Plan
from tests.golden import world

CASES = ("quickstart", "several")
BASELINE = {"AUDIT_WRITE", "CHOWN", "DAC_OVERRIDE", "FOWNER", "FSETID", "KILL", "MKNOD", "NET_BIND_SERVICE", "SETFCAP"}
BASELINE |= {"SETGID", "SETPCAP", "SETUID", "SYS_CHROOT"}


@cache
def planned(case: str) -> Plan:
    return world.planned(resolve(world.snapshot(world.documents(world.HERE / "cases" / case / "input.yaml"))))


def containers(pod: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    return [*pod.get("initContainers", ()), *pod["containers"]]


def bodies(case: str, kind: str) -> dict[str, Mapping[str, Any]]:
    return {item.name: item.body for item in planned(case).objects if item.kind == kind}


@pytest.mark.parametrize("case", CASES)
def test_every_object_is_valid(case: str) -> None:
    for item in planned(case).objects:
        kubernetes_validate.validate(item.body, "1.36", strict=True)


@pytest.mark.parametrize("case", CASES)
def test_pods_are_restricted_but_for_postfix_which_is_baseline(case: str) -> None:
    for name, body in bodies(case, "StatefulSet").items():
        pod = body["spec"]["template"]["spec"]
        assert pod["automountServiceAccountToken"] is False
        assert pod["enableServiceLinks"] is False
        assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        assert not {"hostNetwork", "hostPID", "hostIPC"} & pod.keys()
        assert all({"projected", "emptyDir"} & volume.keys() for volume in pod["volumes"])
        for container in containers(pod):
            security = container["securityContext"]
            added = set(security["capabilities"].get("add", ()))
            assert security["allowPrivilegeEscalation"] is False
            assert security["readOnlyRootFilesystem"] is True
            assert security["capabilities"]["drop"] == ["ALL"]
            assert added <= BASELINE
            if container["name"] == "postfix":
                assert name == "mail-smtp"
            else:
                assert not added
                assert security["runAsNonRoot"] is True
                assert security["runAsUser"] > 0


@pytest.mark.parametrize("case", CASES)
def test_mounts_have_volumes_and_ports_have_names(case: str) -> None:
    for body in bodies(case, "StatefulSet").values():
        pod = body["spec"]["template"]["spec"]
        volumes = {volume["name"] for volume in pod["volumes"]}
        claims = {claim["metadata"]["name"] for claim in body["spec"].get("volumeClaimTemplates", ())}
        assert not volumes & claims
        mounted = {mount["name"] for container in containers(pod) for mount in container["volumeMounts"]}
        assert mounted == volumes | claims
        names = [port["name"] for container in containers(pod) for port in container["ports"]]
        assert len(names) == len(set(names))
        assert all(len(name) <= 15 for name in names)


def test_unprivileged_processes_of_postfix_cannot_read_what_is_mounted() -> None:
    pod = bodies("quickstart", "StatefulSet")["mail-smtp"]["spec"]["template"]["spec"]
    modes = {item["name"]: item["projected"]["defaultMode"] for item in pod["volumes"] if "projected" in item}
    assert modes == {"config": 0o400, "edge-config": 0o444}


@pytest.mark.parametrize("case", CASES)
def test_digests_are_those_of_the_mounted_files(case: str) -> None:
    plan_ = planned(case)
    assert plan_.files is not None
    objects = {(item.kind, item.name): item.body for item in plan_.objects}
    checked = 0
    for (workload, name), digest in plan_.digests.items():
        pod = objects["StatefulSet", workload]["spec"]["template"]["spec"]
        container = next(container for container in containers(pod) if container["name"] == name)
        volume_name = next(
            mount["name"] for mount in container["volumeMounts"] if mount["mountPath"] == "/etc/postboat"
        )
        volume = next(volume for volume in pod["volumes"] if volume["name"] == volume_name)
        assert content_digest(_mounted(volume["projected"]["sources"], objects)) == digest
        checked += 1
    assert checked == 6


def _mounted(sources: list[Mapping[str, Any]], objects: Mapping[tuple[str, str], Mapping[str, Any]]) -> dict[str, str]:
    from base64 import b64decode  # noqa: PLC0415

    files: dict[str, str] = {}
    for source in sources:
        if "configMap" in source:
            data = objects["ConfigMap", source["configMap"]["name"]]["data"]
            files |= {key: file_digest(value.encode()) for key, value in data.items()}
            continue
        secret = objects.get(("Secret", source["secret"]["name"]))
        data = {} if secret is None else {key: b64decode(value) for key, value in secret["data"].items()}
        paths = {item["key"]: item["path"] for item in source["secret"].get("items", ())}
        files |= {paths.get(key, key): file_digest(value) for key, value in data.items() if not paths or key in paths}
    return files


def test_only_restart_files_enter_the_pod_template() -> None:
    raws = world.documents(world.HERE / "cases" / "quickstart" / "input.yaml")
    before = {name: body["spec"] for name, body in bodies("quickstart", "StatefulSet").items()}
    changed = [dict(raw) for raw in raws]
    for raw in changed:
        if raw["kind"] == "MailServer":
            raw["spec"] = raw["spec"] | {"hostname": "other.example.org", "imap": {"protocols": ["IMAP"]}}
        if raw["kind"] == "Secret":
            raw["stringData"] = {"alice": "other", "bob": "other"}
    after = world.planned(resolve(world.snapshot(changed)))
    assert {item.name: item.body["spec"] for item in after.objects if item.kind == "StatefulSet"} == before


def test_volumes_that_exist_are_kept_and_the_server_says_so() -> None:
    raws = world.documents(world.HERE / "cases" / "quickstart" / "input.yaml")
    resolution = resolve(world.snapshot(raws))
    assert (
        world.planned(resolution, claims={"mail-store": Volume("1Gi", "standard")})
        .verdicts["MailServer", "mail"]
        .accepted
    )
    kept = world.planned(resolution, claims={"mail-store": Volume("7Gi", "standard")})
    verdict = kept.verdicts["MailServer", "mail"]
    assert verdict.reason is Reason.IMMUTABLE
    assert verdict.effective
    store = next(item.body for item in kept.objects if (item.kind, item.name) == ("StatefulSet", "mail-store"))
    template = store["spec"]["volumeClaimTemplates"][0]["spec"]
    assert template["resources"] == {"requests": {"storage": "7Gi"}}
    assert template["storageClassName"] == "standard"


@pytest.mark.parametrize("spelling", ["1Gi", "1024Mi", "1048576Ki", "1073741824"])
def test_volumes_are_compared_by_amount(spelling: str) -> None:
    raws = [dict(raw) for raw in world.documents(world.HERE / "cases" / "quickstart" / "input.yaml")]
    for raw in raws:
        if raw["kind"] == "MailServer":
            sizes = {"storage": {"size": spelling}, "valkey": {"size": spelling}, "smtp": {"queue": {"size": spelling}}}
            raw["spec"] = raw["spec"] | sizes
    claims = {f"mail-{name}": Volume("1Gi", "standard") for name in ("store", "valkey", "smtp")}
    assert world.planned(resolve(world.snapshot(raws)), claims=claims).verdicts["MailServer", "mail"].accepted


def test_another_spelling_of_an_amount_changes_no_pod() -> None:
    def templates(*amounts: int | str) -> list[Any]:
        cpu, memory, limit = amounts
        resources = {"requests": {"cpu": cpu, "memory": memory}, "limits": {"memory": limit}}
        server = world.server(pods={name: {"resources": resources} for name in ("smtp", "store", "valkey")})
        secrets = {one.name: one for one in (world.internal("mail", "mail"), world.self_signed("mail", "mail"))}
        objects = world.planned(resolve(world.of(server, (), secrets))).objects
        return [item.body["spec"]["template"] for item in objects if item.kind == "StatefulSet"]

    assert templates("21m", "1Gi", "2Gi") == templates("0.021", "1024Mi", 2 << 30)
    assert templates("21m", "1Gi", "2Gi") != templates("22m", "1Gi", "2Gi")


def test_nothing_without_an_owner_looks_like_a_part_of_an_application() -> None:
    """StatefulSets copy their selector to their claims, and Argo CD takes the label for its own."""
    tracking = "app.kubernetes.io/instance"
    for body in bodies("several", "StatefulSet").values():
        claims = body["spec"].get("volumeClaimTemplates", ())
        if claims:
            assert tracking not in body["spec"]["selector"]["matchLabels"]
        assert not [claim for claim in claims if tracking in claim["metadata"]["labels"]]
        labels = body["spec"]["template"]["metadata"]["labels"]
        assert body["spec"]["selector"]["matchLabels"].items() <= labels.items()
        assert labels[tracking] == "mail"


def test_selectors_that_exist_stay() -> None:
    raws = world.documents(world.HERE / "cases" / "quickstart" / "input.yaml")
    old = {"app.kubernetes.io/instance": "mail", "app.kubernetes.io/component": "store"}
    claims = {"mail-store": Volume("1Gi", "standard", old, {"a": "b"})}
    objects = world.planned(resolve(world.snapshot(raws)), claims=claims).objects
    store = next(item.body for item in objects if (item.kind, item.name) == ("StatefulSet", "mail-store"))
    assert store["spec"]["selector"]["matchLabels"] == old
    assert store["spec"]["volumeClaimTemplates"][0]["metadata"]["labels"] == {"a": "b"}


def test_what_a_server_asks_for_its_pods() -> None:
    limits = {"limits": {"memory": "64Mi", "cpu": "100m"}}
    marks = {"app.kubernetes.io/instance": "other", "team": "post"}
    pods = {
        "smtp": {"resources": limits, "sidecarResources": {"limits": {"memory": "32Mi"}}, "labels": marks},
        "store": {"annotations": {"a": "b", "postboat.dev/restart-digest": "x"}, "imagePullSecrets": [{"name": "r"}]},
    }
    secrets = {one.name: one for one in (world.internal("mail", "mail"), world.self_signed("mail", "mail"))}
    objects = world.planned(resolve(world.of(world.server(pods=pods), (), secrets))).objects
    made = {item.name: item.body["spec"]["template"] for item in objects if item.kind == "StatefulSet"}
    resources = {one["name"]: one["resources"] for one in containers(made["mail-smtp"]["spec"])}
    assert resources == {"postfix": limits, "edge": {"limits": {"memory": "32Mi"}}}
    assert (
        made["mail-smtp"]["metadata"]["labels"] | {"team": "post", "app.kubernetes.io/instance": "mail"}
        == (made["mail-smtp"]["metadata"]["labels"])
    )
    assert made["mail-store"]["metadata"]["annotations"]["a"] == "b"
    assert len(made["mail-store"]["metadata"]["annotations"]["postboat.dev/restart-digest"]) == 64
    assert made["mail-store"]["spec"]["imagePullSecrets"] == [{"name": "r"}]


@pytest.mark.parametrize("families", [["IPv6"], ["IPv6", "IPv4"], []])
def test_client_services_have_the_families_that_are_asked_for(families: list[str]) -> None:
    secrets = {one.name: one for one in (world.internal("mail", "mail"), world.self_signed("mail", "mail"))}
    server = world.server(service={"ipFamilyPolicy": "PreferDualStack", "ipFamilies": families})
    objects = world.planned(resolve(world.of(server, (), secrets))).objects
    found = {item.name: item.body["spec"] for item in objects if item.kind == "Service"}
    for name in ("mail-smtp", "mail-imap"):
        assert found[name]["ipFamilyPolicy"] == "PreferDualStack"
        assert found[name].get("ipFamilies", []) == families
    assert "ipFamilies" not in found["mail-store"]


def test_names_are_valid_for_the_longest_server() -> None:
    name = "m" * 40
    secrets = {content.name: content for content in (world.internal("mail", name), world.self_signed("mail", name))}
    resolution = resolve(world.of(world.server(name=name), (), secrets))
    for item in world.planned(resolution).objects:
        assert len(item.name) <= 63
        if item.kind == "StatefulSet":
            # Pods carry NAME-hash as the label controller-revision-hash.
            assert len(f"{item.name}-0123456789") <= 63


ARROWS = {
    ("world", "smtp"): {10025, 10587, 10465},
    ("world", "imap"): {10143, 10993, 10110, 10995, 14190},
    ("smtp", "filter"): {11332},
    ("smtp", "store"): {10024, 10027, 12340},
    ("smtp", "world"): {25},
    ("imap", "store"): {10143, 10110, 14190},
    ("store", "smtp"): {10026},
    ("filter", "valkey"): {6379},
    ("operator", "smtp"): {9100, 9101},
    ("operator", "imap"): {9100},
    ("operator", "store"): {9100, 9443},
    ("operator", "filter"): {9100, 11334},
    ("operator", "valkey"): {9100},
}


VISITS: Mapping[tuple[str, str], set[int]] = {("store", "store"): {10143}}
"""Between stores, once there are several: people of the others come to the first one for the public mailboxes."""


@pytest.mark.parametrize(("case", "arrows"), [("quickstart", ARROWS), ("public", {**ARROWS, **VISITS})])
def test_network_policies_let_through_the_arrows_and_nothing_else(
    case: str, arrows: Mapping[tuple[str, str], set[int]]
) -> None:
    seen: dict[tuple[str, str], set[int]] = {}
    opened: dict[tuple[str, str], set[int]] = {}
    for body in bodies(case, "NetworkPolicy").values():
        component = body["spec"]["podSelector"]["matchLabels"]["app.kubernetes.io/component"]
        assert body["spec"]["policyTypes"] == ["Ingress", "Egress"]
        for rule in body["spec"]["ingress"]:
            for peer in rule.get("from", [{}]):
                seen.setdefault((_peer(peer), component), set()).update(port["port"] for port in rule["ports"])
        for rule in body["spec"]["egress"]:
            ports = {port["port"] for port in rule["ports"]}
            if ports != {53}:
                for peer in rule["to"]:
                    opened.setdefault((component, _peer(peer)), set()).update(ports)
    outgoing = {arrow: ports for arrow, ports in arrows.items() if arrow[1] == "world"}
    assert seen == {arrow: ports for arrow, ports in arrows.items() if arrow not in outgoing}
    inner = {arrow: ports for arrow, ports in arrows.items() if arrow[0] not in {"world", "operator"}}
    assert opened == inner


def _peer(peer: Mapping[str, Any]) -> str:
    if "podSelector" in peer:
        return str(peer["podSelector"]["matchLabels"]["app.kubernetes.io/component"])
    return "operator" if "namespaceSelector" in peer else "world"


def test_the_port_for_stores_is_on_no_service_for_clients() -> None:
    services = bodies("quickstart", "Service")
    assert {port["port"] for port in services["mail-smtp"]["spec"]["ports"]} == {25, 587, 465}
    assert {port["port"] for port in services["mail-imap"]["spec"]["ports"]} == {143, 993, 110, 995, 4190}


def test_switched_off_protocols_are_on_no_service() -> None:
    service = bodies("several", "Service")["mail-imap"]
    assert {port["port"] for port in service["spec"]["ports"]} == {143, 993}


def test_budgets_only_where_there_is_more_than_one_pod() -> None:
    assert bodies("quickstart", "PodDisruptionBudget") == {}
    assert set(bodies("several", "PodDisruptionBudget")) == {"mail-smtp", "mail-imap", "mail-store", "mail-filter"}


def test_no_secret_is_in_a_config_map() -> None:
    for body in bodies("several", "ConfigMap").values():
        text = "".join(body["data"].values())
        assert "PRIVATE KEY" not in text
        assert "xxxxxxxx" not in text
        assert "{SSHA512}" not in text


def test_every_pod_names_the_secrets_that_images_are_pulled_with() -> None:
    snapshot = world.snapshot(world.documents(world.HERE / "cases/quickstart/input.yaml"))
    told = replace(snapshot, environment=replace(world.ENVIRONMENT, image_pull_secrets=("registry",)))
    sets = [item.body for item in world.planned(resolve(told)).objects if item.kind == "StatefulSet"]
    assert [body["spec"]["template"]["spec"]["imagePullSecrets"] for body in sets] == [[{"name": "registry"}]] * 5
    for body in bodies("quickstart", "StatefulSet").values():
        assert "imagePullSecrets" not in body["spec"]["template"]["spec"]
