"""The operator under test as its administrator handles it: scaled, replaced, asked to render offline.

Cases that scale it put it back to one replica.
"""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from e2e.kube import Kube, eventually

ROOT = Path(__file__).resolve().parent.parent


@dataclass(frozen=True)
class Operator:
    """The Deployment that the chart made, and its image settings."""

    kube: Kube
    namespace: str = "postboat-system"
    name: str = "postboat"
    container: str = "operator"

    def scale(self, replicas: int) -> None:
        """Change the number of replicas and wait until it is so."""
        self.kube.patch("apps/v1", "Deployment", self.namespace, self.name, {"spec": {"replicas": replicas}})

        def settled() -> bool:
            found = self.kube.get("apps/v1", "Deployment", self.namespace, self.name)
            assert found is not None
            return int(found["status"].get("readyReplicas") or 0) == replicas and len(self.pods()) == replicas

        eventually(settled, f"{replicas} operator pods", timeout=120)

    def pods(self) -> list[str]:
        found = self.kube.objects("v1", "Pod", self.namespace, f"app.kubernetes.io/name={self.name}")
        return [pod["metadata"]["name"] for pod in found]

    def image(self) -> str:
        """The image that the operator runs, for a pod that only has to stand somewhere."""
        found = self.kube.get("apps/v1", "Deployment", self.namespace, self.name)
        assert found is not None
        return str(found["spec"]["template"]["spec"]["containers"][0]["image"])

    def leader(self) -> str | None:
        """The pod that holds the Lease."""
        for lease in self.kube.objects("coordination.k8s.io/v1", "Lease", self.namespace):
            holder = (lease["spec"].get("holderIdentity") or "").split("_")[0]
            if holder in self.pods():
                return holder
        return None

    def environment(self) -> dict[str, str]:
        """The settings of the running operator, for an offline render that must equal what it applies."""
        found = self.kube.get("apps/v1", "Deployment", self.namespace, self.name)
        assert found is not None
        variables = found["spec"]["template"]["spec"]["containers"][0].get("env") or []
        settings = {one["name"]: one["value"] for one in variables if one.get("value") is not None}
        return {**settings, "POD_NAMESPACE": self.namespace}

    def configure(self, **variables: str) -> None:
        """Set environment variables and wait until the new pod is the only one."""
        settings = [{"name": name, "value": value} for name, value in variables.items()]
        patch = {"spec": {"template": {"spec": {"containers": [{"name": self.container, "env": settings}]}}}}
        self.kube.patch("apps/v1", "Deployment", self.namespace, self.name, patch, how="strategic-merge")

        def rolled_out() -> bool:
            found = self.kube.get("apps/v1", "Deployment", self.namespace, self.name)
            assert found is not None
            status, wanted = found["status"], found["spec"]["replicas"]
            current = status.get("observedGeneration") == found["metadata"]["generation"]
            return current and status.get("updatedReplicas") == wanted == len(self.pods()) and bool(self.leader())

        eventually(rolled_out, "the operator with new settings", timeout=180)

    def memory(self) -> int:
        """Resident memory of the leading operator, in bytes (VmRSS of proc(5))."""
        return self._memory("VmRSS")

    def memory_peak(self) -> int:
        """The most that the leading operator ever held, in bytes (VmHWM of proc(5))."""
        return self._memory("VmHWM")

    def _memory(self, field: str) -> int:
        status = self.kube.exec(self.namespace, str(self.leader()), self.container, ["cat", "/proc/1/status"])
        line = next(line for line in status.splitlines() if line.startswith(f"{field}:"))
        return int(line.split()[1]) * 1024

    def render(self, source: Path, target: Path) -> None:
        """`postboat render` of a folder, with the settings of the running operator."""
        subprocess.run(
            [sys.executable, "-m", "postboat", "render", str(source), "--output", str(target)],
            check=True,
            env={**os.environ, **self.environment(), "PYTHONPATH": str(ROOT / "operator")},
        )
