"""All processes below this one: starts them, reaps them as PID 1 must, and finds those that a dead daemon left.

Only one place calls waitpid(2), so that no thread takes an exit status that another one waits for.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import select
import signal
import subprocess
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import io
    from collections.abc import Callable, Sequence

_PR_SET_CHILD_SUBREAPER = 36
_OUTPUT_LIMIT = 65536


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a command ended."""

    status: int
    """Exit status; negative: number of the signal that killed it; 127 when it could not be started."""
    output: str
    """Standard output and errors together, at most the last 64 KiB, without white space at its ends."""
    late: bool = False
    """Whether it was killed because its time was over."""


class Child:
    """A process that this one started.

    Args:
        on_exit: Called after it was reaped, on the thread that reaps; None calls nothing.

    Attributes:
        pid: Process id.
        status: As in Outcome; None until it was reaped.
    """

    def __init__(self, process: subprocess.Popen[bytes], on_exit: Callable[[], None] | None) -> None:
        self._process = process
        self._on_exit = on_exit
        self._ended = threading.Event()
        self.pid = process.pid
        self.status: int | None = None

    def wait(self, seconds: float | None = None) -> bool:
        """Wait until the process was reaped; return whether it was.

        Args:
            seconds: Longest wait; None waits without limit.
        """
        return self._ended.wait(seconds)

    def send(self, number: int) -> None:
        """Send a signal, unless the process was reaped; until then no other process can have its id.

        Args:
            number: Number of the signal.
        """
        if self.status is None:
            send(self.pid, number)

    def finish(self, status: int) -> None:
        """Record the exit status; called by `Children.reap` only.

        Popen gets it too, so that it never waits for a process id that was used again.

        Args:
            status: Exit status; negative: number of the signal.
        """
        self._process.returncode = self.status = status
        self._ended.set()
        if self._on_exit:
            self._on_exit()


class Children:
    """The processes of this container below PID 1; safe to use from many threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._known: dict[int, Child] = {}
        ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)

    def start(
        self,
        command: Sequence[str],
        *,
        stdin: int = subprocess.DEVNULL,
        output: int | None = None,
        errors_only: bool = False,
        on_exit: Callable[[], None] | None = None,
    ) -> Child:
        """Start a command in a session of its own.

        Args:
            command: Program and arguments; no shell.
            stdin: File descriptor of its input.
            output: File descriptor of its standard output and errors; None inherits those of this process.
            errors_only: Discard its standard output.
            on_exit: Called when it was reaped, on the thread that reaps.

        Raises:
            OSError: It cannot be executed.
        """
        ordinary = subprocess.DEVNULL if errors_only else output
        with self._lock:
            process = subprocess.Popen(  # noqa: S603  the commands are the daemons' own, without a shell
                command, stdin=stdin, stdout=ordinary, stderr=output, start_new_session=True, cwd="/"
            )
            child = self._known[process.pid] = Child(process, on_exit)
        return child

    def run(
        self,
        command: Sequence[str],
        *,
        given: bytes = b"",
        seconds: float = 60,
        niceness: int = 0,
        errors_only: bool = False,
    ) -> Outcome:
        """Run a command and return how it ended; it blocks until then. `reap` must run on another thread.

        The end of the command counts and not that of its output, so a daemon that inherits the pipe does not block the
        call.

        Args:
            command: Program and arguments; no shell.
            given: Its input.
            seconds: Time after which it is killed.
            niceness: Niceness of its process, see setpriority(2); 0 leaves it as it is.
            errors_only: Discard its standard output.

        Returns:
            The outcome; status 127 when it could not be started.
        """
        receiving, sending = os.pipe2(os.O_CLOEXEC)
        with open(os.memfd_create("input"), "w+b") as source, open(receiving, "rb", buffering=0) as sink:  # noqa: PTH123
            source.write(given)
            source.seek(0)
            try:
                child = self.start(command, stdin=source.fileno(), output=sending, errors_only=errors_only)
            except OSError as error:
                return Outcome(127, str(error))
            finally:
                os.close(sending)
            if niceness:
                with contextlib.suppress(OSError):  # it may have ended
                    os.setpriority(os.PRIO_PROCESS, child.pid, niceness)
            output = _read_until_end(child, sink, time.monotonic() + seconds)
            late = child.status is None
            if late:
                child.send(signal.SIGKILL)
                child.wait(1)
        status = -signal.SIGKILL if child.status is None else child.status
        return Outcome(status, output.decode(errors="replace").strip(), late)

    def reap(self) -> None:
        """Reap every process that has ended, started here or inherited. It does not block; PID 1 calls it."""
        while True:
            with self._lock:
                try:
                    pid, status = os.waitpid(-1, os.WNOHANG)
                except ChildProcessError:
                    return
                child = self._known.pop(pid, None)
            if not pid:
                return
            if child:
                child.finish(os.waitstatus_to_exitcode(status))

    def end_others(self, seconds: float) -> None:
        """End every process outside of the sessions of running commands: SIGTERM, then SIGKILL. It blocks.

        Args:
            seconds: Time between the two signals, at most.
        """
        for number, limit in ((signal.SIGTERM, seconds), (signal.SIGKILL, 1.0)):
            for pid in self.others():
                send(pid, number)
            if wait_until(lambda: not self.others(), limit):
                return

    def others(self, program: str | None = None) -> frozenset[int]:
        """Return the ids of living processes below this one that are not in a session of a running command.

        Args:
            program: Return only those of this name, whatever their session; None for all.
        """
        with self._lock:
            sessions = frozenset(self._known)
        return frozenset(
            process.pid
            for process in descendants()
            if (process.program == program if program else process.session not in sessions)
        )


def _read_until_end(child: Child, sink: io.FileIO, deadline: float) -> bytes:
    """Return the end of what a command writes until it ends or its time is over."""
    output = b""
    opened = True
    while (remaining := deadline - time.monotonic()) > 0:
        if opened and select.select([sink], [], [], min(remaining, 0.05))[0]:
            part = sink.read(_OUTPUT_LIMIT)
            opened = bool(part)
            output = (output + part)[-_OUTPUT_LIMIT:]
        elif child.wait(0 if opened else min(remaining, 1.0)):
            break
    return output


def send(pid: int, number: int) -> None:
    """Send a signal to a process; one that is gone is no error.

    Args:
        pid: Process id.
        number: Number of the signal.
    """
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, number)


def wait_until(condition: Callable[[], bool], seconds: float) -> bool:
    """Poll a condition every 50 ms, and return whether it came true. It blocks.

    Args:
        condition: Called again and again.
        seconds: Longest wait.
    """
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() >= deadline:
            return False
        time.sleep(0.05)
    return True


@dataclass(frozen=True, slots=True)
class Process:
    """A living process as /proc shows it."""

    pid: int
    parent: int
    session: int
    """Session id."""
    program: str
    """Name of the program, at most 15 characters."""
    state: str = "S"
    """As in proc_pid_stat(5): R, S, D (waits for a disk), T (stopped), t (traced)."""


def descendants() -> tuple[Process, ...]:
    """Return the living processes below this one; those of `kubectl exec` are not below PID 1."""
    below = {os.getpid()}
    found: list[Process] = []
    rest = _processes()
    while True:
        generation = [process for process in rest if process.parent in below]
        if not generation:
            return tuple(found)
        found += generation
        below = {process.pid for process in generation}
        rest = [process for process in rest if process.pid not in below]


def command_line(pid: int) -> bytes:
    """Return the command line of a process, arguments separated by NUL; b"" when it is gone."""
    try:
        return Path("/proc", str(pid), "cmdline").read_bytes()
    except OSError:
        return b""


def _processes() -> list[Process]:
    processes: list[Process] = []
    for entry in os.listdir("/proc"):  # noqa: PTH208  called often while a daemon stops
        if entry.isdecimal():
            try:
                name, _, rest = Path("/proc", entry, "stat").read_text(errors="replace").rpartition(")")
            except OSError:
                continue
            state, parent, _, session = rest.split()[:4]
            if state not in "ZX":
                processes.append(Process(int(entry), int(parent), int(session), name.partition("(")[2], state))
    return processes
