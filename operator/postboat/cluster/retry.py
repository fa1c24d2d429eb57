"""When to try a request again, and how long to wait before.

The arithmetic is pure; the jitter comes in as a number between 0 and 1.
"""

from __future__ import annotations

from dataclasses import dataclass

from postboat.cluster.types import ApiError

TRANSIENT = frozenset({401, 408, 429, 500, 502, 503, 504})

EVERYBODYS = TRANSIENT - {500}
"""Answers that say nothing about the object that was sent, while a webhook that is away makes a 500 of its own."""


@dataclass(frozen=True, slots=True)
class Backoff:
    """Exponential delays with jitter between half and the whole of each step."""

    base: float = 0.1
    cap: float = 10.0

    def delay(self, failures: int, jitter: float) -> float:
        """Give the wait after so many failures in a row; the first failure counts as one."""
        step = min(self.cap, self.base * float(2 ** min(max(failures - 1, 0), 30)))
        return step * (0.5 + 0.5 * jitter)


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """How often one request is repeated before its failure is the caller's matter."""

    attempts: int = 5
    backoff: Backoff = Backoff(base=0.1, cap=4.0)
    longest_asked_wait: float = 10.0

    def pause(self, failure: Exception, attempt: int, jitter: float) -> float | None:
        """Give the wait before the next attempt, or None when there should be none."""
        if attempt >= self.attempts:
            return None
        pause = self.backoff.delay(attempt, jitter)
        if not isinstance(failure, ApiError):
            return pause
        if failure.status not in TRANSIENT:
            return None
        if failure.retry_after is not None:
            return max(pause, min(failure.retry_after, self.longest_asked_wait))
        return pause


ONCE = RetryPolicy(attempts=1)
