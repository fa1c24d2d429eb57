"""Builds the programs of the cluster and caches them by version and content of their sources.

One multi-call binary holds everything that can be linked together; the rest are main packages installed as published.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
from pathlib import Path

from e2e.cluster import packages
from e2e.cluster.layout import SOURCES, cache_home, locked
from e2e.cluster.steps import run, step, watch

KUBERNETES = "v1.36.3"
BINARY = "postboat-cluster"
PROGRAMS = (
    "containerd", "coredns", "ctr", "etcd", "helm", "kube-apiserver", "kube-controller-manager", "kube-proxy",
    "kube-scheduler", "kubectl", "kubelet", "load-balancer", "local-volumes", "network-policy",
)  # fmt: skip
CNI = "github.com/containernetworking/plugins/plugins"
INSTALLED = (
    (("github.com/containerd/containerd/v2/cmd/containerd-shim-runc-v2@v2.3.7",), ""),
    (("github.com/opencontainers/runc@v1.5.2",), "seccomp"),
    (tuple(f"{CNI}/{name}@v1.9.1" for name in ("main/ptp", "main/loopback", "ipam/host-local", "meta/portmap")), ""),
)


def linker_flags() -> str:
    """Strip the symbols, and make the servers and kubectl tell their true version."""
    major, minor, _ = KUBERNETES.removeprefix("v").split(".")
    values = {"gitVersion": KUBERNETES, "gitMajor": major, "gitMinor": minor, "gitTreeState": "clean"}
    modules = ("k8s.io/component-base/version", "k8s.io/client-go/pkg/version")
    stamps = [f"-X {module}.{key}={value}" for module in modules for key, value in values.items()]
    return " ".join(["-s -w", *stamps])


def _cache_key(content: list[Path], *words: object) -> str:
    digest = hashlib.sha256(repr(words).encode())
    for path in content:
        digest.update(f"{path.name}\0".encode() + path.read_bytes() + b"\0")
    return digest.hexdigest()[:16]


def go_sources() -> list[Path]:
    return sorted([*SOURCES.glob("*.go"), SOURCES / "go.mod", SOURCES / "go.sum"])


def _build_environment(**more: str) -> dict[str, str]:
    return os.environ | {"GOTOOLCHAIN": "auto", "CGO_ENABLED": "1"} | more


def _keep(folder: Path, scratch: Path) -> None:
    scratch.chmod(0o755)
    scratch.rename(folder)


def _build_binary(folder: Path) -> None:
    scratch = Path(tempfile.mkdtemp(dir=folder.parent))
    try:
        environment = _build_environment()
        total = len(run(["go", "list", "-deps", "."], environment=environment, folder=SOURCES).splitlines())
        command = ["go", "build", "-v", "-ldflags", linker_flags(), "-o", str(scratch / BINARY), "."]
        watch(command, environment=environment, folder=SOURCES, total=total, unit="packages")
        for program in PROGRAMS:
            (scratch / program).symlink_to(BINARY)
        _keep(folder, scratch)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def _install_published(folder: Path) -> None:
    scratch = Path(tempfile.mkdtemp(dir=folder.parent))
    try:
        for modules, tags in INSTALLED:
            command = ["go", "install", "-ldflags", "-s -w", "-tags", tags, *modules]
            run(command, environment=_build_environment(GOBIN=str(scratch)), folder=scratch)
        _keep(folder, scratch)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def binary_folder() -> Path:
    """Return where the multi-call binary of these sources is or will be."""
    return cache_home() / "bin" / _cache_key(go_sources(), linker_flags(), PROGRAMS)


def published_folder() -> Path:
    """Return where the programs that are installed as published are or will be."""
    return cache_home() / "bin" / _cache_key([], INSTALLED)


def ensure() -> None:
    """Build what is not in the cache; two checkouts that build at once wait for each other."""
    with locked(cache_home() / "build.lock"):
        (cache_home() / "bin").mkdir(exist_ok=True)
        if not binary_folder().exists():
            packages.ensure_go()
            with step("building Kubernetes, etcd, containerd, CoreDNS, helm (minutes on a cold Go cache)"):
                _build_binary(binary_folder())
        if not published_folder().exists():
            packages.ensure_go()
            with step("installing runc, its shim and the CNI plugins"):
                _install_published(published_folder())


def search_path() -> str:
    """Return a PATH that finds the programs of the cluster first."""
    system = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
    return f"{binary_folder()}:{published_folder()}:{system}"
