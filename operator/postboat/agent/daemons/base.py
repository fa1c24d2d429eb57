"""The questions that the agent asks about its daemon, with the answers that fit most of them.

The module of a daemon answers the others; no other module of the agent knows one daemon from another.
"""

from __future__ import annotations

import shutil
import signal
from abc import ABC, abstractmethod
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from postboat.agent.children import wait_until
from postboat.agent.memory import oom_kills
from postboat.agent.probe import Pulse
from postboat.agent.validation import judged

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from typing_extensions import override

    from postboat.agent.children import Child, Children, Outcome
    from postboat.agent.probe import Probe
    from postboat.agent.tables import Driver
    from postboat.agent.validation import Effort
else:

    def override(method):  # noqa: ANN001, ANN201  typing has it from Python 3.12 on
        """Mark a method that replaces one of its base class."""
        return method


__all__ = ["Daemon", "Idle", "empty", "override"]


class Daemon(ABC):
    """One daemon.

    Args:
        active: Folder of the active configuration.
        state: Folder for tables.
        children: Starts processes.
    """

    name: ClassVar[str]
    """Name on the command line of the agent."""
    reload_signal: ClassVar[int | None] = signal.SIGHUP
    """Signal to the main process for a reload; None when only a restart reads the configuration."""
    stop_signals: ClassVar[tuple[int, ...]] = (signal.SIGTERM,)
    """Signals that stop it, in this order, until it has ended."""
    no_verdicts: ClassVar[frozenset[int]] = frozenset()
    """Exit statuses of its own tools that say nothing about a configuration."""

    def __init__(self, active: Path, state: Path, children: Children) -> None:
        self.active = active
        self.state = state
        self.children = children

    @abstractmethod
    def command(self) -> tuple[str, ...]:
        """Return the command that runs the daemon in the foreground with the active configuration."""

    @abstractmethod
    def complaint(self, staged: Path, effort: Effort) -> str:
        """Return why a configuration cannot be used, for the log; "" when it can. It blocks until the validator ends.

        Args:
            staged: Folder with the configuration.
            effort: How much the validator may use.

        Raises:
            ActivationError: OutOfMemory or NotValidated, when there was no verdict.
        """

    @abstractmethod
    def probes(self) -> tuple[Probe, ...]:
        """Return the probes that must all succeed for the daemon to be ready, from the active configuration."""

    def prepare(self, folder: Path, effort: Effort) -> str:
        """Create what the daemon needs beside its configuration, before its first start in this run.

        Args:
            folder: Folder with the configuration.
            effort: How much it may use.

        Returns:
            Why it failed; "" when it did not.

        Raises:
            ActivationError: OutOfMemory or NotValidated, as for `complaint`.
        """
        del folder, effort
        return ""

    def pulses(self) -> tuple[Pulse, ...]:
        """Return the parts that must answer while the daemon runs, from the active configuration."""
        return tuple(Pulse(self.name, probe, (self.name,)) for probe in self.probes())

    def drivers(self) -> Mapping[str, Driver]:
        """Return the drivers of the tables that the daemon reads, by name (`lmdb`, `sqlite`, `acl`)."""
        return {}

    def output(self) -> int | None:
        """Return the file descriptor for the output of the daemon; None for the output of the container."""
        return None

    def pages(self) -> Mapping[str, Callable[[], bytes]]:
        """Return further pages of the agent by path; each returns JSON."""
        return {}

    def begin(self) -> None:  # noqa: B027  most have nothing to do beside their daemon
        """Start what runs beside the daemon for the whole life of the container."""

    def clean(self) -> None:  # noqa: B027  most leave nothing behind
        """Remove what a killed daemon left behind and what would keep the next one from starting."""

    def needed(self) -> int:
        """Return the bytes on the volume without which the daemon accepts nothing more; 0 when it sets no limit."""
        return 0

    def metrics(self) -> str:
        """Return the daemon's own lines in the Prometheus text format; "" for none."""
        return ""

    def serving(self) -> frozenset[int]:
        """Return the ids of processes that keep the configuration of their start; empty when a reload reaches all."""
        return frozenset()

    def ready(self) -> bool:
        """Return whether all probes succeed. It blocks up to 3 s for each step of a probe."""
        return all(probe.answers() for probe in self.probes())

    def stop(self, main: Child, seconds: float) -> None:
        """Accept no new sessions, let open ones end, and leave no process behind. It blocks.

        Args:
            main: The main process.
            seconds: Time for open sessions.
        """
        for number in self.stop_signals:
            main.send(number)
            if wait_until(self.idle(main), seconds):
                break
            seconds = 3.0
        main.send(signal.SIGTERM)
        self.children.end_others(2.0)
        main.send(signal.SIGKILL)
        main.wait(2.0)

    def idle(self, main: Child) -> Idle:
        """Return the condition that the daemon and all its sessions are gone."""
        return Idle(main, self.children)

    def check(self, effort: Effort, *command: str, errors_only: bool = False) -> str:
        """Run a validator; return its output when it refuses, and "" when it passes. It blocks.

        Args:
            effort: How much it may use.
            command: Program and arguments.
            errors_only: Discard its standard output, which may have secrets.

        Raises:
            ActivationError: OutOfMemory or NotValidated, when there was no verdict.
        """
        outcome = self.judge(effort, *command, errors_only=errors_only)
        return "" if outcome.status == 0 else f"{command[0]} ended with {outcome.status}: {outcome.output[-4000:]}"

    def judge(self, effort: Effort, *command: str, given: bytes = b"", errors_only: bool = False) -> Outcome:
        """Run a validator and return how it ended. It blocks.

        Args:
            effort: How much it may use.
            command: Program and arguments.
            given: Its input.
            errors_only: Discard its standard output.

        Raises:
            ActivationError: OutOfMemory or NotValidated, when it did not end by itself.
        """
        kills = oom_kills()
        seconds, niceness = effort.seconds, effort.niceness
        outcome = self.children.run(command, given=given, seconds=seconds, niceness=niceness, errors_only=errors_only)
        return judged(command[0], outcome, self.no_verdicts, out_of_memory=oom_kills() > kills)


class Idle:
    """The condition that the main process is gone, and all others below PID 1 but running commands."""

    def __init__(self, main: Child, children: Children) -> None:
        self._main = main
        self._children = children

    def __call__(self) -> bool:
        """Return whether no process is left."""
        return self._main.status is not None and not self._children.others()


def empty(folder: Path) -> None:
    """Remove the content of a folder, but not the folder itself, which may be a mount; a missing folder is no error."""
    for path in folder.iterdir() if folder.is_dir() else ():
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)
