"""Quantities as Kubernetes writes them; they are compared by value, since `1024Mi` is `1Gi`.

`20Mi` is 20 * 1024 * 1024 bytes, `20M` is 20,000,000, and a number without a unit counts bytes.
"""

import re
from decimal import ROUND_CEILING, Decimal
from fractions import Fraction
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
_ANY_FORM: Final = re.compile(
    r"(?P<number>[0-9]{1,60}(?:\.[0-9]{0,18})?|\.[0-9]{1,18})"
    r"(?:(?P<unit>Ki|Mi|Gi|Ti|Pi|Ei|n|u|m|k|M|G|T|P|E)|[eE](?P<power>[+-]?[0-9]{1,2}))?",
    re.ASCII,
)
_ALL_UNITS: Final = {
    "n": Fraction(1, 10**9),
    "u": Fraction(1, 10**6),
    "m": Fraction(1, 10**3),
    **{unit or "": Fraction(size) for unit, size in _UNITS.items()},
    "E": Fraction(10**18),
    "Ei": Fraction(2**60),
}
"""What the API server knows (apimachinery, resource.Quantity), from small to large within each family."""


def parse_quantity(text: str) -> int:
    """Return the bytes of a size, 0 or more; a fraction of a byte is rounded up.

    Args:
        text: Up to 15 digits, up to three decimals, and one of the units Ki, Mi, Gi, Ti, Pi, k, M, G, T, P.

    Raises:
        ValueError: The text is no such size.
    """
    match = _FORM.fullmatch(text)
    if match is None:
        raise ValueError("not an amount of bytes: write a number and a unit, like 20Mi or 1Gi")
    amount = Decimal(match["number"]) * _UNITS[match["unit"]]
    return int(amount.to_integral_value(ROUND_CEILING))


def write_quantity(amount: int) -> str:
    """Return the shortest text for a number of bytes that is exact: `2Gi`, `1500k`, or a number without a unit.

    Args:
        amount: Bytes, 0 or more.
    """
    exact = (f"{amount // size}{unit or ''}" for unit, size in reversed(_UNITS.items()) if amount % size == 0)
    return min(exact, key=len) if amount else "0"


def amount(value: int | str) -> Fraction:
    """Return the value of any quantity of Kubernetes: `500m`, `0.5`, `1.5Gi`, `1e3`.

    Args:
        value: A number or text; negative ones are not accepted.

    Raises:
        ValueError: The text is no quantity.
    """
    match = _ANY_FORM.fullmatch(str(value))
    if match is None:
        raise ValueError("not an amount: write a number and a unit, like 500m or 1Gi")
    number = Fraction(match["number"])
    if match["power"] is not None:
        return number * Fraction(10) ** int(match["power"])
    return number * _ALL_UNITS[match["unit"] or ""]


def canonical(value: int | str) -> str:
    """Return the shortest exact text of a quantity, the same for equal ones: `0.5` and `500m` become `500m`.

    Raises:
        ValueError: The text is no quantity.
    """
    total = amount(value)
    if not total:
        return "0"
    exact = [f"{total // size}{unit}" for unit, size in _ALL_UNITS.items() if total % size == 0]
    return min(exact, key=len) if exact else str(value)
