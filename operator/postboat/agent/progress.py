"""Whether processes make progress, by their context switches in /proc (proc_pid_status(5)).

Processor time is counted in hundredths of a second, and a probe takes less; context switches are counted one by one.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from postboat.agent.children import command_line, descendants

if TYPE_CHECKING:
    from collections.abc import Iterable

_TURNS = ("voluntary_ctxt_switches", "nonvoluntary_ctxt_switches")
_WAITS_FOR_DISK = "D"


def progress(programs: Iterable[str]) -> object:
    """Return a value that changes when one of the processes is scheduled; None while one waits for a disk.

    Args:
        programs: Names of processes, or parts of their command lines.

    Returns:
        Context switches by process id; the value is only to be compared.
    """
    names = tuple(programs)
    found: dict[int, int] = {}
    for process in descendants():
        if process.program in names or any(name.encode() in command_line(process.pid) for name in names):
            if process.state == _WAITS_FOR_DISK:
                return None
            found[process.pid] = _turns(process.pid)
    return found


def _turns(pid: int) -> int:
    try:
        lines = Path("/proc", str(pid), "status").read_text(errors="replace").splitlines()
    except OSError:
        return 0
    fields = dict(line.split(":", 1) for line in lines if ":" in line)
    return sum(int(fields.get(name, 0)) for name in _TURNS)
