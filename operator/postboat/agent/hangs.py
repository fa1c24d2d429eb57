"""Finds a daemon that runs but does nothing: its parts are probed, and one that hangs is restarted.

A busy node must not look like a hang, so time counts only while the probed part makes no progress: its processes are
not scheduled and wait for no disk. A process that somebody has stopped (SIGSTOP) is continued.
"""

from __future__ import annotations

import logging
import signal
import threading
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from postboat.agent.children import descendants, send
from postboat.agent.progress import progress

if TYPE_CHECKING:
    from postboat.agent.daemons.base import Daemon
    from postboat.agent.probe import Pulse
    from postboat.agent.status import Status
    from postboat.agent.supervisor import Supervisor

log = logging.getLogger(__name__)

LOOK = 5.0  # seconds between two looks
ANSWER = 10.0  # seconds in which a part has to answer
HUNG = 45.0  # seconds without an answer and without any progress
STUCK = 600.0  # seconds without an answer though something goes on, for parts that clients cannot occupy
STARTING = 1800.0  # the same for what has not answered since the daemon was started again
MANY = 3  # restarts in a row that did not help, after which the container should be started anew


@dataclass(slots=True)
class _Silence:
    """A part that does not answer: since when, how often, and since when it has made no progress."""

    since: float
    still_since: float
    progress: object
    tries: int = 1


class Monitor:
    """Watches one daemon on a thread of its own."""

    def __init__(self, daemon: Daemon, supervisor: Supervisor, status: Status) -> None:
        self._daemon, self._supervisor, self._status = daemon, supervisor, status
        self._process = 0
        self._asked: dict[str, float] = {}
        self._answered: set[str] = set()  # by the process that runs
        self._known: set[str] = set()  # by any process in this container: what never answered is no hang
        self._silent: dict[str, _Silence] = {}
        self._stopped: dict[int, int] = {}
        self._restarts = 0

    def start(self) -> None:
        """Start the thread that looks every 5 s; it ends with the process."""
        threading.Thread(target=self._run, name="monitor", daemon=True).start()

    @property
    def silent(self) -> bool:
        """Return whether a part of the daemon did not answer twice in a row."""
        silent = tuple(self._silent.items())
        return any(silence.tries > 1 and part in self._known for part, silence in silent)

    @property
    def hopeless(self) -> bool:
        """Return whether restarts have not helped, so that only a new container may."""
        return self._restarts >= MANY

    def _run(self) -> None:
        while True:
            time.sleep(LOOK)
            try:
                self.look()
            except Exception:
                log.exception("probing the daemon failed")

    def look(self) -> None:
        """Probe the parts that are due, and restart the daemon if one hangs. It blocks up to 10 s for each probe."""
        self._continue_stopped()
        process = self._supervisor.process
        if process != self._process:
            self._process = process
            self._asked, self._answered, self._silent = {}, set(), {}
        if not process:
            return
        for pulse in self._daemon.pulses():
            if pulse.part in self._silent or time.monotonic() - self._asked.get(pulse.part, -1e9) >= pulse.every:
                self._ask(pulse)
        hung = next((pulse for pulse in self._daemon.pulses() if self._hangs(pulse)), None)
        if hung is not None and self._supervisor.process == process:
            self._restart(hung)

    def _ask(self, pulse: Pulse) -> None:
        before = time.monotonic()
        answers = pulse.probe.answers(ANSWER)
        now = self._asked[pulse.part] = time.monotonic()
        if answers:
            if self._silent.pop(pulse.part, None) is not None:
                log.info("%s answers again", pulse.part)
            self._answered.add(pulse.part)
            self._known.add(pulse.part)
            self._restarts = 0 if not self._silent else self._restarts
            return
        made = progress(pulse.programs)
        silence = self._silent.get(pulse.part)
        if silence is None:
            self._silent[pulse.part] = _Silence(now, now, made)
            return
        silence.tries += 1
        # Where this thread itself had to wait for its turn, the node is busy and the time does not count.
        lag = max(0.0, now - before - ANSWER - 1.0)
        moved = made is None or made != silence.progress
        silence.still_since = now if moved else silence.still_since + lag
        silence.since, silence.progress = silence.since + lag, made

    def _hangs(self, pulse: Pulse) -> bool:
        silence = self._silent.get(pulse.part)
        if silence is None or silence.tries <= 2 or pulse.part not in self._known:  # noqa: PLR2004  twice may be chance
            return False
        now = time.monotonic()
        if now - silence.still_since >= HUNG:
            return True
        longest = STUCK if pulse.part in self._answered else STARTING
        return not pulse.crowded and now - silence.since >= longest

    def _restart(self, pulse: Pulse) -> None:
        seconds = time.monotonic() - self._silent[pulse.part].since
        log.error("%s has not answered for %.0f s, restarting %s", pulse.part, seconds, self._daemon.name)
        self._restarts += 1
        self._status.hung()
        self._silent = {}
        self._supervisor.restart(at_once=True)

    def _continue_stopped(self) -> None:
        """Continue a process that was stopped at the last look too; one that cannot be continued is killed."""
        stopped = {process.pid: process.program for process in descendants() if process.state == "T"}
        self._stopped = {pid: self._stopped.get(pid, 0) + 1 for pid in stopped}
        for pid, looks in self._stopped.items():
            if looks > 1:
                number = signal.SIGCONT if looks < 4 else signal.SIGKILL  # noqa: PLR2004  it has had its chances
                log.warning("%s (%d) is in state T (stopped), sending %s", stopped[pid], pid, number.name)
                send(pid, number)
