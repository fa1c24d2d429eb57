"""Number of processes of this container that the kernel has killed for lack of memory, from its control group.

Where the kernel kills single processes (cgroup version 1, or `singleProcessOOMKill` of the kubelet), Kubernetes does
not report it.
"""

from __future__ import annotations

from pathlib import Path

# cgroup-v2.rst, memory.events; cgroup-v1/memory.rst, memory.oom_control
_COUNTERS = (Path("/sys/fs/cgroup/memory.events"), Path("/sys/fs/cgroup/memory/memory.oom_control"))


def oom_kills() -> int:
    """Return the number of processes killed since the container started; 0 also when the kernel does not count."""
    for path in _COUNTERS:
        try:
            fields = dict(line.split(maxsplit=1) for line in path.read_text().splitlines())
            return int(fields["oom_kill"])
        except (OSError, ValueError, KeyError):
            continue
    return 0
