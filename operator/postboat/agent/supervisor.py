"""Keeps one daemon running: starts it, restarts it when it ends, stops it so that open sessions can end.

One thread does all of this, so that a daemon is never started while an earlier one is being stopped.
"""

from __future__ import annotations

import logging
import signal
import threading
import time
from typing import TYPE_CHECKING

from postboat.agent.memory import oom_kills

if TYPE_CHECKING:
    from postboat.agent.children import Child, Children
    from postboat.agent.daemons.base import Daemon
    from postboat.agent.status import Status

log = logging.getLogger(__name__)

FIRST_PAUSE = 0.2
"""Seconds before the first restart; twice as long after each further failure."""
LONGEST_PAUSE = 5.0
"""Seconds."""
HEALTHY = 30.0  # seconds after which a daemon counts as having been well
MANY = 10  # ends in a row without having been well, after which the container should be started anew


class Supervisor:
    """Runs the daemon; its methods may be called from any thread.

    Args:
        grace: Seconds that sessions get to end when the daemon is stopped.
    """

    def __init__(self, daemon: Daemon, children: Children, status: Status, grace: float) -> None:
        self._daemon = daemon
        self._children = children
        self._status = status
        self._grace = grace
        self._change = threading.Condition()
        self._wanted = self._stopping = self._restarting = self._leaving = self._at_once = False
        self._main: Child | None = None
        self._failures = 0
        self._thread = threading.Thread(target=self._run, name="supervisor", daemon=True)
        self._thread.start()

    def begin(self) -> None:
        """Start the daemon, since its configuration is in force. Later calls do nothing."""
        self._set("_wanted")

    def restart(self, *, at_once: bool = False) -> None:
        """Stop the daemon as at the end of the container and start it again; the call does not block.

        Args:
            at_once: Kill it without waiting for sessions, since it hangs.
        """
        self._at_once = self._at_once or at_once
        self._set("_restarting")

    def reload(self, number: int) -> None:
        """Send the daemon the signal to reload; a daemon that has just ended reads its configuration when it starts.

        Args:
            number: Number of the signal.
        """
        main = self._main
        if main:
            main.send(number)

    def stop(self) -> None:
        """Stop the daemon for good; the call does not block."""
        self._set("_stopping")

    def wait_stopped(self, seconds: float) -> bool:
        """Wait until the daemon was stopped for good; return whether it was.

        Args:
            seconds: Longest wait; 0 only asks.
        """
        self._thread.join(seconds)
        return not self._thread.is_alive()

    @property
    def process(self) -> int:
        """Return the process id of the daemon; 0 when none runs, or it is being stopped."""
        main = self._main
        return main.pid if main and main.status is None and not (self._stopping or self._leaving) else 0

    @property
    def hopeless(self) -> bool:
        """Return whether the daemon has ended so often in a row that only a new container may help."""
        return self._failures >= MANY or not (self._thread.is_alive() or self._stopping)

    def _set(self, name: str) -> None:
        with self._change:
            setattr(self, name, True)
            self._change.notify_all()

    def _exited(self) -> None:
        with self._change:
            self._change.notify_all()

    def _run(self) -> None:
        with self._change:
            self._change.wait_for(lambda: self._wanted or self._stopping)
        while not self._stopping:
            try:
                self._live_once()
            except Exception:
                log.exception("supervision failed")
                self._pause()

    def _live_once(self) -> None:
        """Start the daemon, wait for its end or for a wish, and tidy up after it."""
        self._children.end_others(2.0)
        self._daemon.clean()
        started, kills = time.monotonic(), oom_kills()
        main = self._main = self._children.start(
            self._daemon.command(), output=self._daemon.output(), on_exit=self._exited
        )
        self._leaving = False
        log.info("%s started with pid %d", self._daemon.name, main.pid)
        with self._change:
            self._change.wait_for(lambda: main.status is not None or self._stopping or self._restarting)
            asked = main.status is None
            at_once, self._restarting, self._at_once = self._at_once, False, False
        if asked:
            self._leaving = True
            log.info("stopping %s", self._daemon.name)
            if at_once and not self._stopping:
                self._end(main)
            else:
                self._daemon.stop(main, self._grace)
            log.info("%s stopped", self._daemon.name)
            return
        killed = "; the kernel killed for want of memory meanwhile (OOM)" if oom_kills() > kills else ""
        log.error("%s exited with status %s%s, restarting it", self._daemon.name, main.status, killed)
        self._status.restarted()
        self._failures = 1 if time.monotonic() - started > HEALTHY else self._failures + 1
        self._children.end_others(2.0)
        self._pause()

    def _end(self, main: Child) -> None:
        """End a daemon that hangs: nobody waits for sessions that get no answer."""
        main.send(signal.SIGKILL)
        main.wait(2.0)
        self._children.end_others(1.0)

    def _pause(self) -> None:
        seconds = min(FIRST_PAUSE * 2 ** max(0, self._failures - 1), LONGEST_PAUSE)
        with self._change:
            self._change.wait_for(lambda: self._stopping, seconds)
