"""What the cluster promises: it starts anywhere, keeps to itself, recovers from a crash, and leaves nothing.

The cases run on copies of the sources, so they need no cluster and disturb none.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from pathlib import Path

import pytest

from e2e.cluster import build, cgroups, network
from e2e.cluster.conftest import Checkout, new_checkout, pod
from e2e.cluster.layout import Layout, find
from e2e.cluster.steps import wait_for

pytestmark = pytest.mark.e2e
RESTRICTED_USER = 5000


def traces(layout: Layout) -> list[str]:
    """Return everything on this machine that belongs to a cluster."""
    mounts = [line for line in Path("/proc/self/mounts").read_text().splitlines() if str(layout.state) in line]
    tables = subprocess.run(["nft", "list", "tables"], capture_output=True, text=True, check=True).stdout
    groups = [str(h / layout.name) for h in cgroups.hierarchies() if (h / layout.name).exists()]
    folders = [str(folder) for folder in (layout.state, layout.run) if folder.exists()]
    routes = subprocess.run(["ip", "route", "show", layout.network], capture_output=True, text=True, check=True).stdout
    ours = [line for line in tables.splitlines() if "kube-proxy" in line or "postboat" in line]
    return [*mounts, *ours, *groups, *folders, *routes.split(), *network.leftovers(layout)]


def test_up_twice_is_harmless(checkout: Checkout) -> None:
    before = checkout.get("node")["items"][0]["metadata"]["uid"]
    assert "is up" in checkout.command("up").stdout
    assert checkout.get("node")["items"][0]["metadata"]["uid"] == before


def test_versions_are_the_true_ones(checkout: Checkout) -> None:
    versions = json.loads(checkout.kubectl("version", "-o", "json"))
    node = checkout.get("node")["items"][0]["status"]["nodeInfo"]
    assert versions["serverVersion"]["gitVersion"] == build.KUBERNETES
    assert versions["clientVersion"]["gitVersion"] == build.KUBERNETES
    assert node["kubeletVersion"] == build.KUBERNETES


def test_status_names_every_server_as_running(checkout: Checkout) -> None:
    lines = checkout.command("status").stdout.splitlines()
    assert len([line for line in lines if " running " in line]) == 11
    assert not [line for line in lines if " down " in line]


def test_nobody_without_a_name_is_let_in(checkout: Checkout) -> None:
    checkout.kubectl("get", "--raw=/readyz")
    address = f"https://{checkout.layout.node}:6443"
    authority = str(checkout.layout.state / "pki/ca.crt")
    answers = {}
    for path in ("/readyz", "/api/v1/namespaces"):
        command = ["openssl", "s_client", "-quiet", "-CAfile", authority, "-verify_return_error"]
        request = f"GET {path} HTTP/1.0\r\nHost: x\r\n\r\n"
        place = address.removeprefix("https://")
        done = subprocess.run([*command, "-connect", place], input=request, text=True, capture_output=True, check=False)
        answers[path] = done.stdout.split()[1]
    assert answers == {"/readyz": "200", "/api/v1/namespaces": "401"}


def test_a_volume_belongs_to_the_group_of_the_pod_and_ends_with_its_claim(checkout: Checkout) -> None:
    claim = {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": {"name": "data"},
        "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}},
    }
    user = {"runAsUser": RESTRICTED_USER, "runAsGroup": RESTRICTED_USER, "fsGroup": RESTRICTED_USER}
    volumes = [{"name": "data", "persistentVolumeClaim": {"claimName": "data"}}]
    mounted = {"volumeMounts": [{"name": "data", "mountPath": "/data"}]}
    checkout.apply(claim, pod("writer", "sleep", "9999", securityContext=user, volumes=volumes, container=mounted))
    checkout.ready("writer")
    assert checkout.run_in("writer", "echo kept > /data/file && stat -c %g /data") == (0, str(RESTRICTED_USER))
    (folder,) = checkout.layout.volumes.iterdir()
    assert (folder / "file").read_text() == "kept\n"
    checkout.kubectl("delete", "pod/writer", "pvc/data")
    wait_for("removal of the volume", lambda: not folder.exists() and not checkout.get("pv")["items"], 20)


def test_pod_security_admission_refuses_what_a_namespace_forbids(checkout: Checkout) -> None:
    labels = {"pod-security.kubernetes.io/enforce": "restricted"}
    checkout.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "strict", "labels": labels}})
    manifest = json.dumps(pod("plain", "sleep", "9999"))
    refused = checkout.command("kubectl", "apply", "-n", "strict", "-f", "-", stdin=manifest, check=False)
    assert refused.returncode != 0
    assert "violates PodSecurity" in refused.stderr


def test_a_service_account_may_do_what_its_role_says_and_nothing_else(checkout: Checkout) -> None:
    checkout.kubectl("create", "role", "reader", "--verb=get", "--resource=pods")
    checkout.kubectl("create", "rolebinding", "reader", "--role=reader", "--serviceaccount=default:default")
    asked = ["auth", "can-i", "--as=system:serviceaccount:default:default"]
    assert checkout.command("kubectl", *asked, "get", "pods", check=False).stdout.strip() == "yes"
    assert checkout.command("kubectl", *asked, "delete", "pods", check=False).stdout.strip() == "no"


def test_a_server_that_dies_is_started_again(checkout: Checkout) -> None:
    proxies = [pid for pid in network.processes(checkout.layout) if _program(pid) == "kube-proxy"]
    os.kill(proxies[0], signal.SIGKILL)

    def back() -> bool:
        now = [pid for pid in network.processes(checkout.layout) if _program(pid) == "kube-proxy"]
        return bool(now) and now != proxies

    wait_for("kube-proxy", back, 20)


def _program(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")[0].decode().rpartition("/")[2]
    except OSError:
        return ""


def test_up_recovers_when_every_process_was_killed(checkout: Checkout) -> None:
    checkout.apply(pod("victim", "sleep", "9999"))
    checkout.ready("victim")
    for pid in {*network.processes(checkout.layout), *cgroups.members(checkout.layout)}:
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            continue
    time.sleep(0.5)
    assert checkout.command("status", check=False).returncode != 0
    checkout.command("up")
    checkout.apply(pod("after", "sleep", "9999"))
    checkout.ready("after")


def test_two_checkouts_have_a_cluster_each(checkout: Checkout, tmp_path: Path) -> None:
    other = new_checkout(tmp_path)
    other.command("up")
    layout = other.layout
    try:
        assert layout.slot != checkout.layout.slot
        for each in (checkout, other):
            each.apply(pod("same-name", "sleep", "9999"))
            each.ready("same-name")
            assert [n["metadata"]["name"] for n in each.get("node")["items"]] == [each.layout.name]
    finally:
        other.command("down")
    assert not traces(layout)
    assert find(tmp_path) is None
    assert checkout.run_in("same-name", "echo still here") == (0, "still here")


def test_down_leaves_nothing(tmp_path: Path) -> None:
    fresh = new_checkout(tmp_path)
    fresh.command("up")
    layout = fresh.layout
    fresh.apply(pod("some", "sleep", "9999"))
    fresh.ready("some")
    assert traces(layout)
    fresh.command("down")
    assert not network.processes(layout)
    assert not traces(layout)
    assert "no cluster" in fresh.command("down").stdout
