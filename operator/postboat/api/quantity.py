"""Amounts of bytes as Kubernetes writes them.

`20Mi` is 20 * 1024 * 1024 bytes, `20M` is 20,000,000, and a bare number counts bytes.
"""

import re
from decimal import ROUND_CEILING, Decimal
from typing import Final

_FORM: Final = re.compile(r"(?P<number>[0-9]{1,15}(?:\.[0-9]{1,3})?)(?P<unit>Ki|Mi|Gi|Ti|Pi|k|M|G|T|P)?", re.ASCII)
_UNITS: Final = {
    None: 1,
    "k": 10**3,
    "M": 10**6,
    "G": 10**9,
    "T": 10**12,
    "P": 10**15,
    "Ki": 2**10,
    "Mi": 2**20,
    "Gi": 2**30,
    "Ti": 2**40,
    "Pi": 2**50,
}


def parse_quantity(text: str) -> int:
    """Count the bytes, rounding a fraction of a byte up; raise ValueError for anything that is no quantity."""
    match = _FORM.fullmatch(text)
    if match is None:
        raise ValueError("not an amount of bytes: write a number and a unit, like 20Mi or 1Gi")
    amount = Decimal(match["number"]) * _UNITS[match["unit"]]
    return int(amount.to_integral_value(ROUND_CEILING))


def write_quantity(amount: int) -> str:
    """Write bytes in the shortest way that is exact: `2Gi`, `1500k`, or a bare number."""
    exact = (f"{amount // size}{unit or ''}" for unit, size in reversed(_UNITS.items()) if amount % size == 0)
    return min(exact, key=len) if amount else "0"
