"""Telling a validator's verdict from an end that says nothing about the configuration, and how often to try again.

A busy node, a small limit of CPU or of memory kills or delays a validator: that is no reason to refuse anything.
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
    """How long a validator may run, in seconds, and how much it gives way to the daemon, see nice(2)."""

    seconds: float = _SHORT
    niceness: int = 0


def effort(interrupted: int, *, serving: bool) -> Effort:
    """Give each try after one that came to no verdict twice the time, within 1 and 16 minutes.

    While nothing serves there is nothing to give way to, and nothing better to do than wait.
    """
    first = _SHORT if serving else _LONG
    return Effort(min(first * 2.0 ** min(interrupted, 10), _LONGEST), _LOW if serving else 0)


def judged(
    program: str, outcome: Outcome, no_verdicts: frozenset[int] = frozenset(), *, out_of_memory: bool = False
) -> Outcome:
    """Return an outcome that is a verdict, or raise ActivationError (OutOfMemory, NotValidated)."""
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
    """Pauses between tries that fail: `first` seconds, each time twice as long, `longest` at most."""

    def __init__(self, first: float, longest: float) -> None:
        self._first, self._longest = first, longest
        self._tries = 0

    def next(self) -> float:
        """Give the pause before the next try."""
        self._tries += 1
        return min(self._first * 2.0 ** min(self._tries - 1, 20), self._longest)

    def reset(self) -> None:
        """Begin with the first pause again."""
        self._tries = 0
