"""Finds the programs that are not Python: helm and kubectl, and the checkers of the chart.

They come from Go modules pinned by go.sum, and are built once and cached outside the checkout.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
from pathlib import Path

from e2e.cluster import build, packages
from e2e.cluster.layout import cache_home, locked
from e2e.cluster.steps import run, step

SOURCES = Path(__file__).resolve().parent / "go"
CHECKERS = {
    "helm-unittest": "github.com/helm-unittest/helm-unittest/cmd/helm-unittest",
    "kube-score": "github.com/zegl/kube-score/cmd/kube-score",
}


def bundled(name: str) -> Path:
    """Return helm or kubectl as linked into the cluster's binary, building that where the cache lacks it."""
    build.ensure()
    return build.binary_folder() / name


def installed(name: str) -> Path:
    """Return the user's own helm or kubectl where there is one, else the bundled one."""
    found = shutil.which(name)
    return Path(found) if found else bundled(name)


def checker(name: str) -> Path:
    """Return a checker built from its pinned module."""
    pins = [SOURCES / name / "go.mod", SOURCES / name / "go.sum"]
    key = hashlib.sha256(b"\0".join(path.read_bytes() for path in pins)).hexdigest()[:16]
    target = cache_home() / "checkers" / f"{name}-{key}"
    with locked(cache_home() / "checkers.lock"):
        if not target.exists():
            packages.ensure_go()
            with step(f"building {name}"):
                _build(name, target)
    return target


def _build(name: str, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=target.parent) as scratch:
        fresh = Path(scratch, name)
        command: list[str | Path] = ["go", "build", "-ldflags", "-s -w", "-o", fresh, CHECKERS[name]]
        run(
            command, environment=os.environ | {"GOTOOLCHAIN": "auto", "GOFLAGS": "-mod=readonly"}, folder=SOURCES / name
        )
        fresh.rename(target)
