"""The processes of a pod as this machine sees them, so that a case can kill exactly the one it means.

A container's processes carry its id in their control group; the last number of `NSpid` (proc_pid_status(5)) is the
pid inside.
"""

from __future__ import annotations

import ctypes
import os
import signal
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from e2e.kube import Object

_PTRACE_DETACH, _PTRACE_SEIZE, _PTRACE_INTERRUPT = 17, 0x4206, 0x4207
_WALL = 0x40000000


@dataclass(frozen=True)
class Process:
    """One process: its pid here, its pid in the container, and its name."""

    pid: int
    inner: int
    name: str


def containers(pod: Object) -> list[Object]:
    """The containers of a pod, sidecars among them."""
    return [*(pod["spec"].get("initContainers") or ()), *pod["spec"]["containers"]]


def container_statuses(pod: Object) -> list[Object]:
    """The states of the containers of a pod, sidecars among them; none before its kubelet has told any."""
    status = pod["status"]
    return [*(status.get("initContainerStatuses") or ()), *(status.get("containerStatuses") or ())]


def container_processes(pod: Object) -> dict[str, list[Process]]:
    """Container name -> its living processes."""
    ids = {
        status["containerID"].rpartition("/")[2]: status["name"]
        for status in container_statuses(pod)
        if status.get("containerID")
    }
    found: dict[str, list[Process]] = {}
    for folder in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            groups = (folder / "cgroup").read_text()
            name = next((name for container, name in ids.items() if container in groups), None)
            if name:
                fields = dict(line.split(":", 1) for line in (folder / "status").read_text().splitlines())
                inner = int(fields["NSpid"].split()[-1])
                found.setdefault(name, []).append(Process(int(folder.name), inner, fields["Name"].strip()))
    return found


def kill(processes: Iterable[Process]) -> None:
    """Kill without warning; who is gone already is fine."""
    for process in processes:
        with suppress(ProcessLookupError):
            os.kill(process.pid, signal.SIGKILL)


@contextmanager
def traced(processes: Iterable[Process]) -> Iterator[Callable[[], bool]]:
    """Hold processes still by ptrace(2), which SIGCONT does not end; the function tells whether all were killed."""
    libc = ctypes.CDLL(None, use_errno=True)
    held = {process.pid for process in processes}
    for pid in held:
        for request in (_PTRACE_SEIZE, _PTRACE_INTERRUPT):
            if libc.ptrace(request, pid, None, None) < 0:
                raise OSError(ctypes.get_errno(), f"ptrace {request:#x} of {pid}")

    def ended() -> bool:
        for pid in tuple(held):
            with suppress(ChildProcessError):
                changed, status = os.waitpid(pid, os.WNOHANG | _WALL)
                if changed and (os.WIFSIGNALED(status) or os.WIFEXITED(status)):
                    held.discard(pid)
        return not held

    try:
        yield ended
    finally:
        for pid in held:
            libc.ptrace(_PTRACE_DETACH, pid, None, None)


@contextmanager
def frozen_agent(pod: Object, container: str) -> Iterator[None]:
    """Stop the agent of a container where it stands, its daemon not; it goes on afterwards."""
    with frozen(process for process in container_processes(pod)[container] if process.inner == 1):
        yield


@contextmanager
def frozen(processes: Iterable[Process]) -> Iterator[None]:
    """Stop processes where they stand; they go on afterwards."""
    stopped = [process.pid for process in processes]
    assert stopped
    for pid in stopped:
        os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        for pid in stopped:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGCONT)
