"""The questions that the agent asks about its daemon, with the answers that fit most of them.

A daemon's own module answers the rest; no other module of the agent knows one daemon from another.
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
    """One daemon: `name` on the agent's command line, `reload_signal` to its main process (None: a restart reloads)."""

    name: ClassVar[str]
    reload_signal: ClassVar[int | None] = signal.SIGHUP
    stop_signals: ClassVar[tuple[int, ...]] = (signal.SIGTERM,)
    no_verdicts: ClassVar[frozenset[int]] = frozenset()
    """Exit statuses of the daemon's own tools that say nothing about a configuration."""

    def __init__(self, active: Path, state: Path, children: Children) -> None:
        self.active = active
        self.state = state
        self.children = children

    @abstractmethod
    def command(self) -> tuple[str, ...]:
        """Return the command that runs the daemon in the foreground with the active configuration."""

    @abstractmethod
    def complaint(self, staged: Path, effort: Effort) -> str:
        """Return why the configuration in the folder `staged` cannot be used, for the log; empty when it can.

        Raises ActivationError (NotValidated) when that could not be found out.
        """

    @abstractmethod
    def probes(self) -> tuple[Probe, ...]:
        """Return what must answer for the daemon to be ready, by the active configuration."""

    def prepare(self, folder: Path, effort: Effort) -> str:
        """Make what the daemon needs beside its configuration, in `folder`, before its first start of this run.

        Returns why that failed, empty when it did not; raises ActivationError (NotValidated) like `complaint`.
        """
        del folder, effort
        return ""

    def pulses(self) -> tuple[Pulse, ...]:
        """Return the parts that have to answer as long as the daemon runs, by the active configuration."""
        return tuple(Pulse(self.name, probe, (self.name,)) for probe in self.probes())

    def drivers(self) -> Mapping[str, Driver]:
        """Return the kinds of tables that the daemon reads."""
        return {}

    def output(self) -> int | None:
        """Return the descriptor that takes what the daemon writes; None is the output of the container itself."""
        return None

    def pages(self) -> Mapping[str, Callable[[], bytes]]:
        """Return more pages of the agent, each as JSON, by its path."""
        return {}

    def begin(self) -> None:  # noqa: B027  most have nothing to do beside their daemon
        """Begin what goes on for the whole life of the container beside the daemon."""

    def clean(self) -> None:  # noqa: B027  most leave nothing behind
        """Remove what a daemon that was killed left behind and that keeps the next one from starting."""

    def needed(self) -> int:
        """Return the bytes that must be available on the volume for the daemon to take anything more."""
        return 0

    def metrics(self) -> str:
        """Return lines of the Prometheus text format about the daemon."""
        return ""

    def serving(self) -> frozenset[int]:
        """Return the processes that serve with the configuration they began with; none where a reload reaches all."""
        return frozenset()

    def ready(self) -> bool:
        """Return whether everything that should answer does."""
        return all(probe.answers() for probe in self.probes())

    def stop(self, main: Child, seconds: float) -> None:
        """Stop taking sessions, let those in progress end within `seconds`, and leave no process behind."""
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
        """Return the condition that the daemon is gone, and every session of it."""
        return Idle(main, self.children)

    def check(self, effort: Effort, *command: str, errors_only: bool = False) -> str:
        """Run a validator and return its output when it refuses, the empty text when it passes.

        With `errors_only` its standard output is thrown away.
        Raises ActivationError (NotValidated) when it ended without a verdict.
        """
        outcome = self.judge(effort, *command, errors_only=errors_only)
        return "" if outcome.status == 0 else f"{command[0]} ended with {outcome.status}: {outcome.output[-4000:]}"

    def judge(self, effort: Effort, *command: str, given: bytes = b"", errors_only: bool = False) -> Outcome:
        """Run a validator to its own end; raise ActivationError (OutOfMemory, NotValidated) if it came to another."""
        kills = oom_kills()
        seconds, niceness = effort.seconds, effort.niceness
        outcome = self.children.run(command, given=given, seconds=seconds, niceness=niceness, errors_only=errors_only)
        return judged(command[0], outcome, self.no_verdicts, out_of_memory=oom_kills() > kills)


class Idle:
    """The condition that the main process and all others of its session and below are gone."""

    def __init__(self, main: Child, children: Children) -> None:
        self._main = main
        self._children = children

    def __call__(self) -> bool:
        """Return whether nothing is left."""
        return self._main.status is not None and not self._children.others()


def empty(folder: Path) -> None:
    """Remove everything in a folder that may not exist, but not the folder: it may be a mount."""
    for path in folder.iterdir() if folder.is_dir() else ():
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)
