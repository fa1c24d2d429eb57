"""Which failed requests are tried again, and after how many seconds.

The arithmetic is pure; the jitter is passed as a number between 0 and 1.
"""

from __future__ import annotations

from dataclasses import dataclass

from postboat.cluster.types import ApiError

TRANSIENT = frozenset({401, 408, 429, 500, 502, 503, 504})
"""HTTP status codes after which a request is tried again; 401 too, since the token may have been rotated."""

EVERYBODYS = TRANSIENT - {500}
"""Status codes that say nothing about the object that was sent, so that other objects would fail as well.

A webhook that is down causes a 500 for its own objects only.
"""


@dataclass(frozen=True, slots=True)
class Backoff:
    """Exponential backoff; each delay is between half and the whole of its step."""

    base: float = 0.1
    """Seconds, the first step."""
    cap: float = 10.0
    """Seconds, the longest step."""

    def delay(self, failures: int, jitter: float) -> float:
        """Return the seconds to wait.

        Args:
            failures: Failures in a row, from 1; 0 counts as 1.
            jitter: A random number from 0 to 1.
        """
        step = min(self.cap, self.base * float(2 ** min(max(failures - 1, 0), 30)))
        return step * (0.5 + 0.5 * jitter)


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """How often a request is tried before the caller gets the failure."""

    attempts: int = 5
    """Attempts in all, the first one included; 1 means no retry."""
    backoff: Backoff = Backoff(base=0.1, cap=4.0)
    longest_asked_wait: float = 10.0
    """Seconds that are waited at most because of `Retry-After`."""

    def pause(self, failure: Exception, attempt: int, jitter: float) -> float | None:
        """Return the seconds to wait before the next attempt, or None when there should be none.

        Args:
            failure: Why the last attempt failed. An ApiError is retried for the status codes in TRANSIENT only, any
                other failure always.
            attempt: The number of the last attempt, from 1.
            jitter: A random number from 0 to 1.
        """
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
