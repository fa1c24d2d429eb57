"""The objects a new cluster begins with, and the checks that it is ready for work.

Ready means: the node takes pods, ServiceAccounts exist, and cluster names are resolved.
"""

from __future__ import annotations

import json
import socket
import struct

from e2e.cluster import lifecycle
from e2e.cluster.layout import Layout
from e2e.cluster.steps import StepError, wait_for

STORAGE_CLASS = {
    "apiVersion": "storage.k8s.io/v1",
    "kind": "StorageClass",
    "metadata": {"name": "local", "annotations": {"storageclass.kubernetes.io/is-default-class": "true"}},
    "provisioner": "postboat.test/local-volumes",
    "reclaimPolicy": "Delete",
    "volumeBindingMode": "WaitForFirstConsumer",
}


def resolves(layout: Layout, name: str) -> bool:
    """Ask the cluster's DNS for an A record."""
    labels = b"".join(bytes([len(label)]) + label.encode() for label in name.rstrip(".").split("."))
    query = struct.pack(">6H", 1, 0x0100, 1, 0, 0, 0) + labels + b"\0" + struct.pack(">2H", 1, 1)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as connection:
        connection.settimeout(1)
        try:
            connection.sendto(query, (layout.dns, 53))
            answer = connection.recv(1500)
        except OSError:
            return False
    flags, answers = (int.from_bytes(answer[i : i + 2], "big") for i in (2, 6))
    return flags & 0xF == 0 and answers > 0


def _node_ready(layout: Layout) -> bool:
    nodes = json.loads(lifecycle.kubectl(layout, "get", "nodes", "-o", "json"))["items"]
    conditions = [c for node in nodes for c in node["status"].get("conditions", ()) if c["type"] == "Ready"]
    return bool(conditions) and all(c["status"] == "True" for c in conditions)


def _has_service_account(layout: Layout) -> bool:
    try:
        lifecycle.kubectl(layout, "get", "serviceaccount", "default")
    except StepError:
        return False
    return True


def apply(layout: Layout) -> None:
    """Create the first objects and wait until the cluster is ready."""
    lifecycle.kubectl(layout, "apply", "-f", "-", stdin=json.dumps(STORAGE_CLASS))
    wait_for("the node becomes ready", lambda: _node_ready(layout), 120, 0.5)
    wait_for("ServiceAccounts", lambda: _has_service_account(layout), 60, 0.5)
    wait_for("cluster DNS", lambda: resolves(layout, "kubernetes.default.svc.cluster.local"), 60)
