"""The control group below which everything of one cluster runs, in either version of the interface.

The kubelet wants it to exist in every hierarchy; what is left of it after a crash is removed from the leaves up.
"""

from __future__ import annotations

import os
from pathlib import Path

from e2e.cluster.layout import Layout

ROOT = Path("/sys/fs/cgroup")


def hierarchies() -> list[Path]:
    if (ROOT / "cgroup.controllers").exists():
        return [ROOT]
    return [path for path in sorted(ROOT.iterdir()) if (path / "cgroup.procs").exists()]


def create(layout: Layout) -> None:
    for hierarchy in hierarchies():
        group = hierarchy / layout.name
        group.mkdir(exist_ok=True)
        for setting in ("cpuset.cpus", "cpuset.mems"):
            own, parent = group / setting, hierarchy / setting
            if own.exists() and parent.exists() and not own.read_text().strip():
                own.write_text(parent.read_text())


def members(layout: Layout) -> list[int]:
    """Return the processes in any group of the cluster."""
    found: set[int] = set()
    for hierarchy in hierarchies():
        for folder, _, _ in os.walk(hierarchy / layout.name):
            found |= {int(pid) for pid in Path(folder, "cgroup.procs").read_text().split()}
    return sorted(found)


def remove(layout: Layout) -> list[Path]:
    """Remove the groups and return those that would not go."""
    stuck = []
    for hierarchy in hierarchies():
        for folder, _, _ in os.walk(hierarchy / layout.name, topdown=False):
            try:
                Path(folder).rmdir()
            except OSError:
                stuck.append(Path(folder))
    return stuck
