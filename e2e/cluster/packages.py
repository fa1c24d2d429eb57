"""Debian packages the cluster needs on a bare machine, installed only when a tool is missing.

Go is not among them: Debian 12 ships 1.19, and a Go of 1.21 or newer fetches the version that go.mod names.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from e2e.cluster.steps import StepError, run, step

TOOLS = {
    "gcc": ("gcc", "libc6-dev"),
    "ip": ("iproute2",),
    "nft": ("nftables",),
    "nsenter": ("util-linux",),
    "openssl": ("openssl",),
    "pkg-config": ("pkg-config",),
    "mount": ("mount",),
}
FILES = {
    Path("/etc/ssl/certs/ca-certificates.crt"): ("ca-certificates",),
    Path("/usr/include/seccomp.h"): ("libseccomp-dev",),
    Path("/usr/include/stdio.h"): ("libc6-dev",),
}
SERVICES = Path("/usr/sbin/policy-rc.d")
NO_SERVICES = "#!/bin/sh\n# Written by the tests of postboat while they install packages.\nexit 101\n"
MINIMUM_GO = (1, 21)


def missing_packages(tools: Mapping[str, tuple[str, ...]] = TOOLS) -> list[str]:
    """Name the packages of tools that are not there, and of files that building needs."""
    names = {name for tool, packages in tools.items() if not shutil.which(tool) for name in packages}
    names |= {name for path, packages in FILES.items() if not path.exists() for name in packages}
    return sorted(names)


def install(packages: list[str]) -> None:
    """Install Debian packages by apt, with nothing they merely recommend, and start no service that is in them."""
    environment = os.environ | {"DEBIAN_FRONTEND": "noninteractive"}
    run(["apt-get", "update", "-qq"], environment=environment)
    with _no_service_starts():
        run(["apt-get", "install", "-y", "-qq", "--no-install-recommends", *packages], environment=environment)


@contextmanager
def _no_service_starts() -> Iterator[None]:
    """Forbid it as invoke-rc.d(8) asks for it, unless the machine has a policy of its own.

    A policy that a killed run has left is known by its text, and goes with the next run.
    """
    if SERVICES.exists() and SERVICES.read_text() != NO_SERVICES:
        yield
        return
    SERVICES.write_text(NO_SERVICES)
    SERVICES.chmod(0o755)
    try:
        yield
    finally:
        SERVICES.unlink(missing_ok=True)


def ensure(tools: Mapping[str, tuple[str, ...]] = TOOLS) -> None:
    """Install what is missing, for each tool its packages; refuse with a clear word where that cannot work."""
    if os.geteuid() != 0:
        raise StepError("a cluster needs root: namespaces, mounts and cgroups")
    packages = missing_packages(tools)
    if packages:
        if not shutil.which("apt-get"):
            raise StepError(f"install these first: {', '.join(packages)}")
        with step(f"installing {' '.join(packages)}"):
            install(packages)


def ensure_go() -> None:
    """Refuse a Go that cannot fetch the toolchain which go.mod asks for."""
    go = shutil.which("go")
    if not go:
        raise StepError("Go 1.21 or newer must be in PATH to build the cluster (https://go.dev/dl)")
    said = subprocess.run([go, "env", "GOVERSION"], capture_output=True, text=True, check=True, cwd="/").stdout
    found = re.match(r"go(\d+)\.(\d+)", said)
    if found and (int(found[1]), int(found[2])) < MINIMUM_GO:
        raise StepError(f"{said.strip()} is too old: Go 1.21 or newer is needed to build the cluster")
