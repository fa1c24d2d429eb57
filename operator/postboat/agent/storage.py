"""How full the volume of a container is, in bytes and in files, as statvfs(3) tells those who are not root."""

from __future__ import annotations

import os
from dataclasses import asdict
from typing import TYPE_CHECKING

from postboat.agent.fill import Fill

if TYPE_CHECKING:
    from pathlib import Path


def fill(path: Path | None, needed: int) -> Fill | None:
    """Look at the file system of a folder; None where there is no volume, or it cannot be asked."""
    if path is None:
        return None
    try:
        found = os.statvfs(path)
    except OSError:
        return None
    used = found.f_blocks - found.f_bfree
    size, available = used + found.f_bavail, found.f_bavail
    return Fill(size * found.f_frsize, available * found.f_frsize, needed, found.f_files, found.f_favail)


def metrics(found: Fill | None, daemon: str) -> str:
    """Return lines of the Prometheus text format, none without a volume."""
    if found is None:
        return ""
    about = {
        "size": ("bytes", "Size of the volume."),
        "available": ("bytes", "Bytes that the daemon may still write."),
        "needed": ("bytes", "With fewer bytes available the daemon takes nothing more."),
        "inodes": ("", "Files that the volume can hold."),
        "inodes_available": ("", "Files that may still be made."),
    }
    lines = []
    for name, value in asdict(found).items():
        unit, text = about[name]
        metric = "_".join(filter(None, ("postboat_agent_volume", name, unit)))
        lines.append(f'# HELP {metric} {text}\n# TYPE {metric} gauge\n{metric}{{daemon="{daemon}"}} {value}\n')
    return "".join(lines)
