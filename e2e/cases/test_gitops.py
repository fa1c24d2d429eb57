"""GitOps: tools that wait by kstatus (Helm 4 here, with the library itself) wait until an object is served."""

from __future__ import annotations

import json
import os
import secrets
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from e2e.kube import GROUP
from e2e.platform import Platform, manifest, password_secret
from tools import programs


def release(platform: Platform, name: str, folder: Path, objects: Sequence[Mapping[str, Any]], patience: str) -> str:
    """Install objects as a chart and wait for them as Helm does; the result is what it says when it fails."""
    (folder / "templates").mkdir(parents=True, exist_ok=True)
    (folder / "Chart.yaml").write_text("apiVersion: v2\nname: users\nversion: 1.0.0\n")
    for number, one in enumerate(objects):
        (folder / "templates" / f"{number}.yaml").write_text(json.dumps(one))
    helm = programs.installed("helm")
    command: list[str | Path] = [helm, "upgrade", "--install", name, folder, "--wait", "--timeout", patience]
    told = subprocess.run(
        [*command, "--namespace", platform.namespace], env=os.environ | {"KUBECONFIG": platform.kube.kubeconfig},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    return told.stderr + told.stdout if told.returncode else ""


@pytest.mark.row("B1")
def test_helm_waits_until_new_objects_are_served(platform: Platform, tmp_path: Path) -> None:
    name = f"release-{secrets.token_hex(3)}"
    word, domain = password_secret(platform.namespace, f"{name}-password", {"password": "of no use"}), f"{name}.test"
    objects = [
        word,
        platform.mailbox(name),
        manifest("MailDomain", platform.namespace, domain, {"delivery": "Local"}),
        manifest("MailAddress", platform.namespace, f"{name}-sales", {"destinations": [{"mailbox": name}]}),
    ]
    try:
        assert not release(platform, name, tmp_path, objects, "90s")
        for one in objects[1:]:
            found = platform.kube.condition(one["kind"], platform.namespace, one["metadata"]["name"], "Ready")
            assert found is not None, one
            assert (found["status"], found["observedGeneration"]) == ("True", found["generation"]), one
        assert platform.answer(f"{name}-sales@{domain}") == 250
        objects[1]["spec"]["passwordSecret"]["key"] = "another"
        told = release(platform, name, tmp_path, objects, "8s")
        assert "timeout" in told or "deadline" in told, told
        assert name in told
    finally:
        for one in objects:
            platform.kube.delete(one["apiVersion"], one["kind"], platform.namespace, one["metadata"]["name"])


@pytest.mark.row("B1")
def test_an_object_that_nobody_has_judged_is_not_ready_by_itself(platform: Platform, tmp_path: Path) -> None:
    """Of another namespace than a MailServer's; its status says that there is none, which Helm waits to change."""
    stray = manifest("Mailbox", platform.namespace, f"stray-{secrets.token_hex(3)}", {"server": "none"})
    try:
        assert release(platform, stray["metadata"]["name"], tmp_path, [stray], "5s")
    finally:
        platform.kube.delete(GROUP, "Mailbox", platform.namespace, stray["metadata"]["name"])
