"""Bulk apply: thousands of mailboxes by one `kubectl apply`, until every one of them is Ready.

The same files are applied first to a namespace of their own while no operator runs: the bare time of the cluster.
"""

from __future__ import annotations

import secrets
import subprocess
import time
from pathlib import Path

import yaml

from e2e.kube import GROUP, Object, eventually
from e2e.platform import Platform, manifest, password_secret

KEYS_A_SECRET = 500


class Bulk:
    """The files of so many mailboxes, and their way into the cluster."""

    def __init__(self, platform: Platform, folder: Path, start: int, end: int) -> None:
        self.platform = platform
        self.folder = folder
        self.numbers = range(start, end)

    def _objects(self, namespace: str) -> list[Object]:
        objects: list[Object] = []
        for first in range(self.numbers.start, self.numbers.stop, KEYS_A_SECRET):
            numbers = range(first, min(first + KEYS_A_SECRET, self.numbers.stop))
            passwords = {f"user{number}": secrets.token_urlsafe(12) for number in numbers}
            objects.append(password_secret(namespace, f"passwords-{first}", passwords))
            for user in passwords:
                reference = {"name": f"passwords-{first}", "key": user}
                objects.append(manifest("Mailbox", namespace, user, {"type": "User", "passwordSecret": reference}))
        return objects

    def _apply(self, namespace: str) -> float:
        path = self.folder / f"{namespace}.yaml"
        with path.open("w") as file:
            yaml.dump_all(self._objects(namespace), file, Dumper=getattr(yaml, "CSafeDumper", yaml.SafeDumper))
        begun = time.monotonic()
        command = [
            "kubectl",
            f"--kubeconfig={self.platform.kube.kubeconfig}",
            "apply",
            "--server-side",
            "-f",
            str(path),
        ]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        return time.monotonic() - begun

    def apply_elsewhere(self) -> float:
        """Seconds of the bare apply, in a namespace that is gone afterwards."""
        kube, namespace = self.platform.kube, f"bare-{secrets.token_hex(3)}"
        kube.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}})
        taken = self._apply(namespace)
        kube.delete("v1", "Namespace", None, namespace)
        eventually(
            lambda: kube.get("v1", "Namespace", None, namespace) is None, "the bare namespace is gone", 900, every=1
        )
        return taken

    def apply(self) -> tuple[float, float]:
        """Seconds until kubectl returned, and until all are Ready."""
        begun = time.monotonic()
        self._apply(self.platform.namespace)
        applied = time.monotonic() - begun
        eventually(self._all_ready, "all mailboxes Ready", timeout=1200, every=2)
        return applied, time.monotonic() - begun

    def _all_ready(self) -> bool:
        ready = 0
        for one in self.platform.kube.objects(GROUP, "Mailbox", self.platform.namespace):
            conditions = (one.get("status") or {}).get("conditions") or []
            ready += any(c["type"] == "Ready" and c["status"] == "True" for c in conditions)
        return ready >= self.numbers.stop
