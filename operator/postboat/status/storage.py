"""The condition StorageAvailable: how full the volumes are, with a warning before they are full.

Numbers are rounded, so that a status is not written for every message.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import IntEnum
from typing import Final

from postboat.agent.fill import Fill
from postboat.model.verdict import Reason
from postboat.status.conditions import Condition

_FILLING: Final = 80
_NEARLY_FULL: Final = 95
_MOST_NAMED: Final = 5
_UNITS: Final = ("B", "KiB", "MiB", "GiB", "TiB", "PiB")


class Level(IntEnum):
    """How full a volume is.

    FILLING: from 80 % of the bytes or inodes, or with less than twice the bytes that the daemon needs. NEARLY_FULL:
    from 95 %. FULL: the daemon accepts no mail.
    """

    FINE = 0
    FILLING = 1
    NEARLY_FULL = 2
    FULL = 3


@dataclass(frozen=True, slots=True)
class Volume:
    """How full the volume of one pod is."""

    pod: str
    level: Level
    words: str
    """A sentence with the numbers."""


def judged(pod: str, fill: Fill) -> Volume:
    """Return how full the volume of a pod is.

    Args:
        pod: Name of the pod.
        fill: What its agent reports.
    """
    used, files = _percent(fill.size, fill.available), _percent(fill.inodes, fill.inodes_available)
    level = _level(used, files, fill)
    words = f"{pod}: {used} % used, {amount(fill.available)} of {amount(fill.size)} left"
    if fill.needed:
        words += f" (it takes nothing with less than {amount(fill.needed)})"
    if files >= _FILLING:
        words += f", {files} % of the files (inodes) used"
    return Volume(pod, level, words)


def condition(volumes: Iterable[Volume]) -> Condition | None:
    """Return the condition StorageAvailable; None until a pod has reported its volume."""
    known = sorted(volumes, key=lambda volume: (-volume.level, volume.pod))
    if not known:
        return None
    bad = [volume for volume in known if volume.level]
    if not bad:
        message = f"All {len(known)} volumes are filled to less than {_FILLING} %."
        return Condition("StorageAvailable", holds=True, reason=Reason.STORAGE_AVAILABLE, message=message)
    reason, words = {
        Level.FILLING: (Reason.STORAGE_FILLING, "Volumes fill up"),
        Level.NEARLY_FULL: (Reason.STORAGE_NEARLY_FULL, "Volumes are nearly full"),
        Level.FULL: (Reason.STORAGE_FULL, "Volumes are full, and mail is deferred"),
    }[bad[0].level]
    named = "; ".join(volume.words for volume in bad[:_MOST_NAMED]) + (" ..." if len(bad) > _MOST_NAMED else "")
    message = f"{words}: {named}. Grow the claim, or make room."
    return Condition("StorageAvailable", holds=bad[0].level < Level.NEARLY_FULL, reason=reason, message=message)


def _level(used: int, files: int, fill: Fill) -> Level:
    if fill.available <= 0 or fill.available < fill.needed or (fill.inodes and not fill.inodes_available):
        return Level.FULL
    if max(used, files) >= _NEARLY_FULL:
        return Level.NEARLY_FULL
    if max(used, files) >= _FILLING or fill.available < 2 * fill.needed:
        return Level.FILLING
    return Level.FINE


def _percent(whole: int, left: int) -> int:
    """Return the percentage that is used; 0 when nothing is counted. It is 100 only when nothing is left."""
    return 0 if whole <= 0 else min(100, (whole - left) * 100 // whole)


def amount(number: int) -> str:
    """Return a number of bytes with a binary unit (B to PiB), such as `1.2 GiB` or `512 MiB`.

    Args:
        number: Bytes, 0 or more.
    """
    value, unit = float(number), 0
    while value >= 1000 and unit < len(_UNITS) - 1:  # noqa: PLR2004  three digits at most
        value, unit = value / 1024, unit + 1
    return f"{value:.1f} {_UNITS[unit]}" if value < 10 and unit else f"{value:.0f} {_UNITS[unit]}"  # noqa: PLR2004
