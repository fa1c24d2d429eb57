"""The work queue of one MailServer: one thread, debounce, rest after a long reconcile, and back-off after a failure.

A failure is logged, counted and requeued; it delays no other MailServer.
"""

from __future__ import annotations

import logging
import random
import threading
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from typing_extensions import override

from postboat import telemetry
from postboat.cluster.retry import Backoff

if TYPE_CHECKING:
    from collections.abc import Callable

    from postboat.cluster.types import Key

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Pace:
    """How long to wait for quiet, how long at most, and how long a failure makes us wait."""

    quiet: float = 0.05
    cap: float = 0.25
    longest_rest: float = 1.0
    bulk_changes: int = 300
    """More changes than that since a reconcile began come in bulk: each reconcile renders every shard."""
    bulk_rest: float = 5.0
    """The longest rest while changes come in bulk, in seconds."""
    bulk_quiet: float = 0.5
    """So many seconds without a change end a bulk of changes, and the rest because of it."""
    resync: float = 600.0
    backoff: Backoff = field(default_factory=lambda: Backoff(base=0.5, cap=60.0))


class Debounce:
    """When the next reconcile is due, from the moments at which something changed; pure arithmetic on a given clock."""

    def __init__(self, pace: Pace) -> None:
        self._pace = pace
        self._first: float | None = None
        self._last = 0.0
        self._not_before = 0.0
        self._rested = 0.0
        self._failures = 0
        self._changes = 0
        self._bulk_rest = 0.0

    @property
    def pending(self) -> bool:
        """Whether a reconcile is asked for."""
        return self._first is not None

    def touch(self, now: float, *, news: bool = False) -> None:
        """Take in a change; news may have removed the cause of a failure, so they do not wait for its pause."""
        self._last = now
        self._changes += 1
        if self._first is None:
            self._first = now
        if news:
            self._not_before = min(self._not_before, self._rested)

    def due(self) -> float | None:
        """Give the moment of the next reconcile, or None when nothing has changed."""
        if self._first is None:
            return None
        quiet = min(self._last + self._pace.quiet, self._first + self._pace.cap)
        if self._changes <= self._pace.bulk_changes:
            return max(quiet, self._not_before)
        ended = max(self._last + self._pace.bulk_quiet, self._not_before)
        return max(quiet, min(ended, self._not_before + self._bulk_rest))

    def begin(self) -> None:
        """Note that a reconcile begins: what comes from now on is for the next one."""
        self._first = None
        self._changes = 0

    def succeeded(self, begun: float, now: float, busy: float) -> None:
        """Note a success; a reconcile is followed by a rest, so that many changes cost half of a processor.

        `busy` are the seconds that it has computed: waiting for the API server, or for a processor that others use,
        costs nobody anything, and is no reason to let the next change wait. The rest is longer while changes come in
        bulk: few changes never wait for long, and many take longer anyhow.
        """
        self._failures = 0
        rest = min(busy, self._pace.longest_rest)
        self._not_before = self._rested = now + rest
        self._bulk_rest = max(0.0, min(now - begun, self._pace.bulk_rest) - rest)

    def failed(self, begun: float, now: float, jitter: float) -> float:
        """Note a failure, ask for another attempt, and give the pause before it."""
        self._failures += 1
        self._bulk_rest = 0.0
        self._rested = now + min(max(now - begun, self._pace.cap), self._pace.longest_rest)
        pause = self._pace.backoff.delay(self._failures, jitter)
        self._not_before = now + pause
        self.touch(now)
        return pause


class Worker(threading.Thread):
    """The thread of one MailServer."""

    def __init__(
        self,
        key: Key,
        reconcile: Callable[[], None],
        *,
        pace: Pace | None = None,
        on_resync: Callable[[], None] = lambda: None,
    ) -> None:
        super().__init__(name=f"worker {key.namespace}/{key.name}", daemon=True)
        self.key = key
        self.heartbeat: float | None = None
        """When it last showed that it is alive, while busy; None at rest."""
        self.after: threading.Thread | None = None
        """A thread that has to end first, since it may still be writing the same objects."""
        self._reconcile = reconcile
        self._on_resync = on_resync
        self._pace = pace or Pace()
        self._debounce = Debounce(self._pace)
        self._condition = threading.Condition()
        self._stopping = False
        self._paused = False
        self._resync = self._next_resync()

    def wake(self, *, news: bool = False) -> None:
        """Ask for a reconcile; news are worth it even during the pause after a failure."""
        with self._condition:
            self._debounce.touch(time.monotonic(), news=news)
            self._condition.notify()

    def beat(self) -> None:
        """Show that the thread is alive within a long reconcile."""
        if self.heartbeat is not None:
            self.heartbeat = time.monotonic()

    def stop(self) -> None:
        """End the thread after what it does now."""
        with self._condition:
            self._stopping = True
            self._condition.notify()

    def pause(self, *, paused: bool) -> None:
        """Keep changes in mind but do not act on them, or act again."""
        with self._condition:
            self._paused = paused
            self._condition.notify()

    @property
    def pending(self) -> bool:
        """Whether a reconcile is asked for."""
        return self._debounce.pending

    @override
    def run(self) -> None:
        if self.after is not None:
            self.after.join()
            self.after = None
        while self._wait():
            self._once()

    def _next_resync(self) -> float:
        return time.monotonic() + self._pace.resync * random.uniform(0.8, 1.2)  # noqa: S311 - jitter, not a secret

    def _wait(self) -> bool:
        """Sleep until a reconcile is due; False when the thread should end. No number of changes puts a resync off."""
        with self._condition:
            while not self._stopping:
                now = time.monotonic()
                if now >= self._resync and not self._paused:
                    self._resync = self._next_resync()
                    self._on_resync()
                    self._debounce.touch(now)
                due = self._debounce.due()
                if self._paused:
                    self._condition.wait(60)
                elif due is not None and due <= now:
                    self._debounce.begin()
                    return True
                else:
                    self._condition.wait((self._resync if due is None else due) - now)
            return False

    def _once(self) -> None:
        begun = self.heartbeat = time.monotonic()
        computed = time.thread_time()
        try:
            self._reconcile()
        except Exception as failure:
            telemetry.RECONCILE_ERRORS.labels(*self.key).inc()
            with self._condition:
                pause = self._debounce.failed(begun, time.monotonic(), random.random())  # noqa: S311 - jitter, not a secret
            log.log(*_severity(failure), exc_info=_trace(failure), extra=self._extra(failure, pause))
        else:
            with self._condition:
                self._debounce.succeeded(begun, time.monotonic(), time.thread_time() - computed)
            telemetry.LAST_SUCCESS.labels(*self.key).set_to_current_time()
        finally:
            telemetry.RECONCILES.labels(*self.key).inc()
            self.heartbeat = None

    def _extra(self, failure: Exception, pause: float) -> dict[str, object]:
        return {
            "namespace": self.key.namespace,
            "mailserver": self.key.name,
            "cause": str(failure)[:300],
            "retry_in": round(pause, 1),
        }


class ExpectedError(Exception):
    """A failure whose cause is outside: it is told without a traceback."""


class NotLeadingError(ExpectedError):
    """The Lease was lost while working: somebody else goes on, so nobody needs to be told."""


class NamespaceEndsError(ExpectedError):
    """The namespace is being terminated: nothing can be made in it, and nobody expects it."""


def _severity(failure: Exception) -> tuple[int, str]:
    if isinstance(failure, NotLeadingError):
        return logging.DEBUG, "a reconcile stopped without the Lease"
    if isinstance(failure, NamespaceEndsError):
        return logging.DEBUG, "a reconcile stopped in a namespace that ends"
    if isinstance(failure, ExpectedError):
        return logging.WARNING, "a reconcile was not finished and is tried again"
    return logging.ERROR, "a reconcile failed and is tried again"


def _trace(failure: Exception) -> Exception | None:
    return None if isinstance(failure, ExpectedError) else failure
