"""Fixtures of the cluster's own tests: a copy of these sources is a checkout of its own, so it gets its own cluster.

The cluster of the checkout the tests stand in is never touched.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from e2e.cluster.layout import CHECKOUT, Layout, find
from e2e.world import World

# A plain system Python, without the packages of the development environment.
PYTHON = str(Path(sys.base_prefix) / "bin/python3")
BUSYBOX = "postboat.test/busybox:latest"


@dataclass(frozen=True, slots=True)
class Checkout:
    """A copy of the cluster's sources, driven by its command line as a user would."""

    folder: Path

    def command(self, *words: str, stdin: str | None = None, check: bool = True) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            [PYTHON, "-m", "e2e.cluster", *words],
            cwd=self.folder, input=stdin, text=True, capture_output=True, timeout=900, check=False,
        )  # fmt: skip
        assert done.returncode == 0 or not check, f"{words}: {done.stdout}{done.stderr}"
        return done

    def kubectl(self, *words: str, stdin: str | None = None) -> str:
        return self.command("kubectl", *words, stdin=stdin).stdout

    def get(self, *words: str) -> Any:  # noqa: ANN401 -- whatever JSON the API server answers
        return json.loads(self.kubectl("get", *words, "-o", "json"))

    def apply(self, *manifests: dict[str, Any]) -> None:
        self.kubectl("apply", "-f", "-", stdin=json.dumps({"apiVersion": "v1", "kind": "List", "items": manifests}))

    def ready(self, *pods: str) -> None:
        self.kubectl("wait", "--for=condition=Ready", "--timeout=60s", *(f"pod/{pod}" for pod in pods))

    def run_in(self, pod: str, script: str) -> tuple[int, str]:
        """Run a shell script in a pod and return its exit status and output."""
        done = self.command("kubectl", "exec", pod, "--", "sh", "-c", script, check=False)
        return done.returncode, done.stdout.strip()

    @property
    def layout(self) -> Layout:
        found = find(self.folder)
        assert found is not None
        return found


def pod(name: str, *command: str, **spec: Any) -> dict[str, Any]:  # noqa: ANN401 -- fields of a PodSpec
    """Compose a pod of the test image, labelled by its name."""
    container = {"name": "main", "image": BUSYBOX, "imagePullPolicy": "Never", "command": list(command)}
    container |= spec.pop("container", {})
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "labels": {"app": name}},
        "spec": {"terminationGracePeriodSeconds": 0, "containers": [container], **spec},
    }


def new_checkout(folder: Path) -> Checkout:
    """Copy the sources, and make sure that the copy drives a cluster of its own and not that of this checkout."""
    shutil.copytree(CHECKOUT / "e2e/cluster", folder / "e2e/cluster", ignore=shutil.ignore_patterns("__pycache__"))
    (folder / "e2e/__init__.py").touch()
    question = "from e2e.cluster.layout import CHECKOUT; print(CHECKOUT)"
    answer = subprocess.run([PYTHON, "-c", question], cwd=folder, text=True, capture_output=True, check=True)
    assert answer.stdout.strip() == str(folder.resolve())
    return Checkout(folder.resolve())


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Checkout]:
    """A checkout whose cluster runs, and is gone after the module's cases."""
    fresh = new_checkout(tmp_path_factory.mktemp("checkout"))
    fresh.command("up")
    yield fresh
    fresh.command("down")


@pytest.fixture(scope="module")
def world(checkout: Checkout) -> Iterator[World]:
    with World(checkout.layout) as scene:
        yield scene
