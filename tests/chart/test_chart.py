"""What other people's checkers say of the chart: helm, its unit tests, three Kubernetes versions, and a scorer.

A finding that stays has its reason in ACCEPTED_FINDINGS.
"""

from __future__ import annotations

import json
import re
from pathlib import Path

import kubernetes_validate  # type: ignore[import-untyped]
import pytest
import yaml

from e2e.cluster.steps import StepError, run
from tests.chart.conftest import CHART, ROOT, documents, rendered
from tools import programs

UNKNOWN_KINDS = {"ServiceMonitor"}  # the Prometheus operator's, not Kubernetes' own

ACCEPTED_FINDINGS = {
    "container-resources": "no CPU limit on purpose: throttling would delay every change; the request keeps the share",
    "container-image-pull-policy": "IfNotPresent: releases are tags that never move, or digests",
    "deployment-replicas": "one replica suffices, since mail flows without the operator; more wait for the Lease",
    "pod-networkpolicy": "nobody gets in; the way out needs the ports of the API server, which only you know",
}


def test_helm_lints_it_strictly() -> None:
    run([programs.bundled("helm"), "lint", "--strict", CHART])


def test_its_unit_tests_pass() -> None:
    printed = run([programs.checker("helm-unittest"), "--strict", CHART])
    assert re.search(r"Tests: +\d+ passed, \d+ total", printed), printed


def test_helm_refuses_a_misspelt_value() -> None:
    command: list[str | Path] = [programs.bundled("helm"), "template", "postboat", CHART, "--set", "crds.kept=true"]
    with pytest.raises(StepError, match="kept"):
        run(command)


WRONG = [
    ("fullnameOverride", '"mail.operator"'),  # a Service has no dot in its name
    ("podLabels", '{"a": "b c"}'),
    ("podLabels", '{"-a": "b"}'),
    ("commonLabels", json.dumps({"a": "b" * 64})),
    ("nodeSelector", '{"a/b/c": "d"}'),
    ("podAnnotations", '{"a b": "c"}'),
    ("priorityClassName", '"High Priority"'),
    ("serviceAccount.name", '"Mail"'),
    ("imagePullSecrets", '[{"name": ""}]'),
    ("resources", '{"limit": {"cpu": "1"}}'),
    ("resources", '{"limits": {"memory": "512MB"}}'),
    ("tolerations", '[{"operator": "Exist"}]'),
    ("tolerations", '[{"effects": "NoSchedule"}]'),
    ("affinity", '{"podAffinty": {}}'),
    ("topologySpreadConstraints", '[{"topologyKey": "a"}]'),
    ("extraEnv", '[{"name": "A", "val": "b"}]'),
    ("podDisruptionBudget.maxUnavailable", '"half"'),
    ("podDisruptionBudget.maxUnavailable", "-1"),
    ("networkPolicy.metricsFrom", '[{"podSelctor": {}}]'),
    ("clusterDomain", '"cluster..local"'),
    ("podSecurityContext.runAsUser", "-1"),
    ("podSecurityContext.runAsRoot", "true"),
    ("releaseSeconds", "5"),
]


@pytest.mark.parametrize(("value", "given"), WRONG)
def test_helm_refuses_what_the_api_server_would(value: str, given: str) -> None:
    command: list[str | Path] = [programs.bundled("helm"), "template", "postboat", CHART, "--set-json"]
    with pytest.raises(StepError, match=value.rpartition(".")[2]):
        run([*command, f"{value}={given}"])


def test_user_ids_can_be_left_to_the_cluster() -> None:
    command: list[str | Path] = [programs.bundled("helm"), "template", "postboat", CHART]
    for name in ("runAsUser", "runAsGroup", "fsGroup"):
        command += ["--set-json", f"podSecurityContext.{name}=null"]
    pods = [one["spec"]["template"]["spec"] for one in yaml.safe_load_all(run(command))
            if one and one["kind"] in {"Deployment", "Job"}]  # fmt: skip
    assert [pod["securityContext"] for pod in pods] == [
        {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}}
    ] * len(pods)
    assert len(pods) == 2


@pytest.mark.parametrize("version", ["1.34", "1.35", "1.36"])
def test_every_object_fits_kubernetes(corner: str, version: str) -> None:
    for one in documents(corner):
        if one["kind"] not in UNKNOWN_KINDS:
            kubernetes_validate.validate(one, version, strict=True)


def test_the_scorer_finds_nothing_unexplained(corner: str) -> None:
    ignored = [word for name in ACCEPTED_FINDINGS for word in ("--ignore-test", name)]
    command: list[str | Path] = [programs.checker("kube-score"), "score", "--kubernetes-version", "v1.36"]
    run([*command, "--output-format", "ci", "--exit-one-on-warning", *ignored, "-"], stdin=rendered(corner))


def test_the_chart_holds_the_generated_definitions() -> None:
    generated = {path.name: path.read_text() for path in (ROOT / "crds").glob("*.yaml")}
    held = {path.name: path.read_text() for path in (CHART / "files/crds").glob("*.yaml")}
    assert generated
    assert held == generated


def test_definitions_are_rendered_as_generated_and_kept() -> None:
    rendered_specs = {}
    for one in documents("default"):
        if one["kind"] == "CustomResourceDefinition":
            assert one["metadata"]["annotations"]["helm.sh/resource-policy"] == "keep"
            rendered_specs[one["metadata"]["name"]] = one["spec"]
    generated = [yaml.safe_load(path.read_text()) for path in (ROOT / "crds").glob("*.yaml")]
    assert rendered_specs == {one["metadata"]["name"]: one["spec"] for one in generated}


def test_the_readme_tells_of_every_value() -> None:
    text = (CHART / "README.md").read_text()
    values = yaml.safe_load((CHART / "values.yaml").read_text())
    assert not [key for key in values if f"`{key}" not in text and key != "global"]


def test_the_schema_and_the_values_name_the_same_keys() -> None:
    schema = json.loads((CHART / "values.schema.json").read_text())

    def compare(known: dict[str, object], stated: object, path: str) -> None:
        properties = known.get("properties")
        if isinstance(properties, dict) and isinstance(stated, dict):
            assert set(properties) == set(stated), path
            assert known["additionalProperties"] is False, path
            for key, inner in properties.items():
                compare(inner, stated[key], f"{path}.{key}")

    compare(schema, yaml.safe_load((CHART / "values.yaml").read_text()), "values")
