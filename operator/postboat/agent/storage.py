"""How full the volume of a container is, in bytes and files, as statvfs(3) reports it for users other than root."""

from __future__ import annotations

import os
from dataclasses import asdict
from typing import TYPE_CHECKING

from postboat.agent.fill import Fill

if TYPE_CHECKING:
    from pathlib import Path


def fill(path: Path | None, needed: int) -> Fill | None:
    """Return how full the file system of a folder is.

    Args:
        path: The folder; None when the container has no volume.
        needed: Bytes without which the daemon accepts nothing more; 0 when it sets no limit.

    Returns:
        None without a volume, and when it cannot be read.
    """
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
    """Return the lines of a volume in the Prometheus text format; "" without a volume.

    Args:
        daemon: Name of the daemon, for the label.
    """
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
