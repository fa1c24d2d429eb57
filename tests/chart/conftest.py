"""Renders the chart once for every set of values that the cases look at.

The sets are the corners: as it comes, everything on, and some namespaces only.
"""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Any

import pytest
import yaml

from e2e.cluster.steps import run
from tools import programs

ROOT = Path(__file__).resolve().parents[2]
CHART = ROOT / "charts/postboat"
CORNERS = {
    "default": "{}",
    "everything": """
replicas: 2
networkPolicy: {egress: true, metricsFrom: [{namespaceSelector: {}}]}
podDisruptionBudget: {enabled: true}
metrics: {serviceMonitor: {enabled: true}}
priorityClassName: system-cluster-critical
topologySpreadConstraints:
  - maxSkew: 1
    topologyKey: kubernetes.io/hostname
    whenUnsatisfiable: ScheduleAnyway
    labelSelector: {matchLabels: {app.kubernetes.io/component: operator}}
tolerations: [{key: mail, operator: Exists}]
imagePullSecrets: [{name: pull}]
extraObjects: [{apiVersion: v1, kind: ConfigMap, metadata: {name: more}}]
""",
    "namespaced": "{namespaces: [blue, green], crds: {enabled: false}}",
}


@functools.cache
def rendered(corner: str) -> str:
    """What `helm template` prints for one corner."""
    helm: str | Path = programs.bundled("helm")
    command = [helm, "template", "postboat", CHART, "--namespace", "mail-operator", "--values", "-"]
    return run(command, stdin=CORNERS[corner])


def documents(corner: str) -> list[dict[str, Any]]:
    """The same as objects."""
    return [one for one in yaml.safe_load_all(rendered(corner)) if one]


@pytest.fixture(params=sorted(CORNERS))
def corner(request: pytest.FixtureRequest) -> str:
    """Every corner in turn."""
    return str(request.param)
