"""Durations as people write them: `4d` is four days, `1h30m` an hour and a half; the units are s, m, h, d and w."""

import re
from typing import Final

_FORM: Final = re.compile(r"(?:[1-9][0-9]{0,5}[smhdw])+", re.ASCII)
_PART: Final = re.compile(r"([0-9]+)([smhdw])", re.ASCII)
_UNITS: Final = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}


def parse_duration(text: str) -> int:
    """Return the seconds of a duration, at least 1.

    Args:
        text: Numbers of up to six digits, each with a unit (s, m, h, d, w); they are added. None of them is 0.

    Raises:
        ValueError: The text is no such duration.
    """
    if _FORM.fullmatch(text) is None:
        raise ValueError("not a duration: write numbers with units, like 30s, 15m, 4d or 1h30m")
    return sum(int(number) * _UNITS[unit] for number, unit in _PART.findall(text))
