"""A platform without nodes: pods that only exist in the API, and agents that answer for them on loopback addresses.

An agent takes over what its pod demands after a pause, as kubelets and daemons do, or not at all when told so.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml
from typing_extensions import override

from postboat.api import KINDS
from postboat.cluster.observe import AGENT_PORT, EDGE_PORT, Pod, pod_of
from postboat.cluster.reflector import Reflector, Source
from postboat.cluster.types import POD, STATEFUL_SET, Json, Key, ResourceType
from postboat.objects.meta import TEMPLATE_DIGEST

if TYPE_CHECKING:
    from postboat.cluster.client import Client

ROOT = Path(__file__).resolve().parents[2]
CRD = ResourceType(
    "apiextensions.k8s.io", "v1", "customresourcedefinitions", "CustomResourceDefinition", namespaced=False
)
RESOURCES = {kind.kind: ResourceType("postboat.dev", "v1alpha1", kind.plural, kind.kind) for kind in KINDS.values()}
CONTAINERS = {
    "smtp": ("postfix", "edge"),
    "imap": ("dovecot",),
    "store": ("dovecot",),
    "filter": ("rspamd",),
    "valkey": ("valkey",),
}


def _loopback(number: int) -> str:
    """An address of this process alone, since cases run side by side."""
    pid = os.getpid()
    return f"127.{(pid >> 8) % 128 + 100}.{pid % 256}.{number}"


class FakePods:
    """The pods of one platform and their agents."""

    def __init__(self, client: Client, namespace: str, name: str, *, pause: float = 0.6) -> None:
        self.client, self.namespace, self.name = client, namespace, name
        self.pause = pause
        self.refuse: set[str] = set()
        self.unrolled: set[str] = set()
        self.frozen: set[str] = set()
        self._digests: dict[tuple[str, str], str] = {}
        self._newest: dict[tuple[str, str], str] = {}
        self._addresses: dict[str, str] = {}
        self._servers: list[ThreadingHTTPServer] = []
        self._lock = threading.Lock()
        for number, component in enumerate(CONTAINERS, start=1):
            self._addresses[component] = _loopback(number)
            self._serve(component)
            self.create(component)
        selector = "app.kubernetes.io/instance=" + name
        self.reflector = Reflector(client, Source(POD, namespace, selector), pod_of, self._heard)
        self.reflector.start()
        self.sets = Reflector(client, Source(STATEFUL_SET, namespace, selector), dict, self._rolled)
        self.sets.start()

    def stop(self) -> None:
        self.reflector.stop()
        self.sets.stop()
        for server in self._servers:
            server.shutdown()
            server.server_close()

    def create(self, component: str) -> None:
        labels = {
            "app.kubernetes.io/name": "postboat",
            "app.kubernetes.io/instance": self.name,
            "app.kubernetes.io/component": component,
            "app.kubernetes.io/managed-by": "postboat",
        }
        name = f"{self.name}-{component}-0"
        containers = [{"name": container, "image": "none"} for container in CONTAINERS[component]]
        meta = {"namespace": self.namespace, "name": name, "labels": labels}
        spec = {"containers": containers, "nodeName": "nowhere"}
        self.client.create(POD, {"apiVersion": "v1", "kind": "Pod", "metadata": meta, "spec": spec})
        ip = self._addresses[component]
        conditions = [{"type": "Ready", "status": "True"}]
        status = {"phase": "Running", "podIP": ip, "podIPs": [{"ip": ip}], "conditions": conditions}
        self.client.merge(POD, self.namespace, name, {"status": status}, subresource="status")

    def roll(self, name: str) -> None:
        """Let the pod of a StatefulSet be made anew."""
        raw = self.client.get(STATEFUL_SET, self.namespace, name)
        assert raw is not None
        self._rolled(Key(self.namespace, name), None, raw)

    def address(self, component: str) -> str:
        """Give the address of the pod of a component."""
        return self._addresses[component]

    def versions(self) -> list[str]:
        return [raw["metadata"]["resourceVersion"] for raw in self.client.pages(POD, self.namespace)]

    def _rolled(self, key: Key, _old: Json | None, new: Json | None) -> None:
        """Let a pod be of the newest template, as if it had been made anew."""
        if new is None or key.name.rpartition("-")[2] in self.unrolled:
            return
        digest = new["spec"]["template"]["metadata"]["annotations"][TEMPLATE_DIGEST]
        body = {"metadata": {"annotations": {TEMPLATE_DIGEST: digest}}}
        self.client.merge(POD, self.namespace, f"{key.name}-0", body)

    def _heard(self, _key: Key, old: Pod | None, new: Pod | None) -> None:
        if new is None:
            return
        for container, digest in new.demanded.items():
            if old is None or old.demanded.get(container) != digest:
                self._newest[new.component, container] = digest
                threading.Timer(self.pause, self._take_over, (new.component, container, digest)).start()

    def _take_over(self, component: str, container: str, digest: str) -> None:
        while component in self.frozen:
            time.sleep(0.05)
        with self._lock:
            if self._newest[component, container] == digest:  # what has waited longer may come last
                self._digests[component, container] = digest

    def answer(self, component: str, container: str) -> Json:
        with self._lock:
            digest = self._digests.get((component, container), "")
        seen, error = digest, ""
        if component in self.refuse:
            digest, error = "an-older-one", "InvalidConfiguration"
        return {"daemon": container, "digest": digest, "seen": seen, "error": error, "ready": True}

    def _serve(self, component: str) -> None:
        for port, container in zip((AGENT_PORT, EDGE_PORT), CONTAINERS[component], strict=False):
            handler = type("Handler", (_Handler,), {"pods": self, "component": component, "container": container})
            server = ThreadingHTTPServer((self._addresses[component], port), handler)
            server.daemon_threads = True
            threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
            self._servers.append(server)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    pods: FakePods
    component: str
    container: str

    @override
    def log_message(self, format: str, *args: Any) -> None:
        """Keep the test's output clean."""

    def do_GET(self) -> None:
        body = json.dumps(self.pods.answer(self.component, self.container)).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


class RunningOperator:
    """The operator as a process of its own."""

    def __init__(
        self, kubeconfig: str, namespace: str, log: Path, *, identity: str = "one", **environment: str
    ) -> None:
        self.log = log
        variables = {
            "PYTHONPATH": str(ROOT / "operator"),
            "POSTBOAT_KUBECONFIG": kubeconfig,
            "POSTBOAT_NAMESPACES": namespace,
            "POD_NAMESPACE": namespace,
            "POD_NAME": identity,
            "POSTBOAT_PROBE_PORT": "0",
            "POSTBOAT_METRICS_PORT": "0",
            **environment,
        }
        with log.open("ab") as output:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "postboat", "run"], env={**os.environ, **variables}, stderr=output
            )

    def memory(self) -> int:
        """Give the resident memory in MB."""
        lines = Path(f"/proc/{self.process.pid}/status").read_text().splitlines()
        return next(int(line.split()[1]) for line in lines if line.startswith("VmRSS")) // 1024

    def stop(self) -> int:
        self.process.terminate()
        return self.process.wait(20)

    def complaints(self) -> list[str]:
        lines = [json.loads(line) for line in self.log.read_text().splitlines() if line.startswith("{")]
        return [line["message"] + line.get("exception", "") for line in lines if line["level"] == "error"]


def install_definitions(client: Client) -> None:
    for path in sorted((ROOT / "crds").glob("*.yaml")):
        client.apply(yaml.safe_load(path.read_text()), CRD)
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        raw = client.get(CRD, "", "mailboxes.postboat.dev") or {}
        conditions = (raw.get("status") or {}).get("conditions") or ()
        if any(one["type"] == "Established" and one["status"] == "True" for one in conditions):
            return
        time.sleep(0.1)


def resource(kind: str, namespace: str, name: str, **spec: Any) -> Json:  # noqa: ANN401
    meta = {"namespace": namespace, "name": name}
    return {"apiVersion": "postboat.dev/v1alpha1", "kind": kind, "metadata": meta, "spec": spec}


def condition(raw: Json | None, type_: str) -> str:
    """Give the status of a condition that speaks of the newest generation, or nothing."""
    for one in ((raw or {}).get("status") or {}).get("conditions") or ():
        if one["type"] == type_ and raw is not None and one["observedGeneration"] == raw["metadata"]["generation"]:
            return str(one["status"])
    return ""
