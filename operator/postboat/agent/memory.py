"""How many processes of this container the kernel has killed for want of memory, by its control group.

Where the kernel kills single processes (version 1, or `singleProcessOOMKill` of the kubelet), Kubernetes does not tell.
"""

from __future__ import annotations

from pathlib import Path

# cgroup-v2.rst, memory.events; cgroup-v1/memory.rst, memory.oom_control
_COUNTERS = (Path("/sys/fs/cgroup/memory.events"), Path("/sys/fs/cgroup/memory/memory.oom_control"))


def oom_kills() -> int:
    """Return the number of processes killed since the container began; 0 where nobody counts."""
    for path in _COUNTERS:
        try:
            fields = dict(line.split(maxsplit=1) for line in path.read_text().splitlines())
            return int(fields["oom_kill"])
        except (OSError, ValueError, KeyError):
            continue
    return 0
