"""Tells the verdict of a validator from an end that says nothing about the configuration, and when to try again.

A busy node or small limits of CPU or memory kill or delay a validator: that is no reason to refuse a configuration.
"""

from __future__ import annotations

import signal
from dataclasses import dataclass
from typing import TYPE_CHECKING

from postboat.agent.errors import ActivationError, Failure

if TYPE_CHECKING:
    from postboat.agent.children import Outcome

_NOT_RUN = frozenset({126, 127})  # sh(1): found but not executable, not found; Children.run answers 127 without memory
_BY_SIGNAL = 128  # sh(1): a command of a script ended by the signal of the number above it
_SHORT, _LONG, _LONGEST = 60.0, 240.0, 960.0
_LOW = 10


@dataclass(frozen=True, slots=True)
class Effort:
    """How much a validator may use."""

    seconds: float = _SHORT
    """Time after which it is killed."""
    niceness: int = 0
    """Niceness of its process, see setpriority(2); 0 leaves it as it is."""


def effort(interrupted: int, *, serving: bool) -> Effort:
    """Return the effort for the next attempt.

    It may take 1 minute while the daemon serves, else 4, twice as long after each interruption, and 16 at most. While
    the daemon does not serve, the validator does not yield to it either.

    Args:
        interrupted: Number of attempts before that came to no verdict.
        serving: Whether the daemon runs.
    """
    first = _SHORT if serving else _LONG
    return Effort(min(first * 2.0 ** min(interrupted, 10), _LONGEST), _LOW if serving else 0)


def judged(
    program: str, outcome: Outcome, no_verdicts: frozenset[int] = frozenset(), *, out_of_memory: bool = False
) -> Outcome:
    """Return the outcome of a validator if it is a verdict.

    Args:
        program: Name of the validator, for messages.
        outcome: How it ended.
        no_verdicts: Exit statuses of this program that say nothing about the configuration.
        out_of_memory: Whether the kernel killed a process of the container for lack of memory meanwhile.

    Raises:
        ActivationError: OutOfMemory or NotValidated when it is no verdict.
    """
    if out_of_memory and outcome.status:
        text = f"{program} ended with {outcome.status} while the kernel killed for want of memory; it is tried again"
        raise ActivationError(Failure.OUT_OF_MEMORY, text)
    reason = _interruption(outcome, no_verdicts)
    if reason:
        text = f"{program} {reason}, so nothing is known of the configuration; it is tried again"
        raise ActivationError(Failure.NOT_VALIDATED, f"{text}: {outcome.output[-1000:]}".rstrip(": "))
    return outcome


def _interruption(outcome: Outcome, no_verdicts: frozenset[int]) -> str:
    status = outcome.status
    if outcome.late:
        return "did not end in time and was killed"
    if status < 0:
        return f"was killed by {_name(-status)}"
    if status > _BY_SIGNAL:
        return f"ended with {status} after {_name(status - _BY_SIGNAL)}"
    if status in _NOT_RUN | no_verdicts:
        return f"could not do its work and ended with {status}"
    return ""


def _name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


class Pauses:
    """Increasing pauses between failed attempts.

    Args:
        first: Seconds of the first pause; each further one is twice as long.
        longest: Seconds of the longest pause.
    """

    def __init__(self, first: float, longest: float) -> None:
        self._first, self._longest = first, longest
        self._tries = 0

    def next(self) -> float:
        """Return the seconds to wait before the next attempt."""
        self._tries += 1
        return min(self._first * 2.0 ** min(self._tries - 1, 20), self._longest)

    def reset(self) -> None:
        """Start again with the first pause."""
        self._tries = 0
