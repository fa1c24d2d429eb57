"""Figures of a benchmark run: one JSON object a line for programs, a table for people.

A figure that has something measured beside it carries the ratio, which is what may be compared between machines.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path


@dataclass(frozen=True)
class Figure:
    """One measured value; `beside` is the same thing without the part under test, in the same unit."""

    name: str
    size: int
    value: float
    unit: str
    beside: float | None = None

    @property
    def ratio(self) -> float | None:
        return round(self.value / self.beside, 3) if self.beside else None

    def line(self) -> str:
        return json.dumps({**asdict(self), "ratio": self.ratio}, sort_keys=True)


def percentile(values: list[float], share: float) -> float:
    """The smallest value that at least that share of all values do not exceed."""
    ordered = sorted(values)
    return ordered[max(0, -(-len(ordered) * int(share * 100) // 100) - 1)]


def table(figures: list[Figure]) -> str:
    """The figures in columns."""
    rows = [("figure", "mailboxes", "value", "beside", "ratio", "unit")]
    for one in figures:
        beside = "" if one.beside is None else f"{one.beside:.2f}"
        ratio = "" if one.ratio is None else f"{one.ratio:.2f}"
        rows.append((one.name, str(one.size), f"{one.value:.2f}", beside, ratio, one.unit))
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows
    )


def write(figures: list[Figure], path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(one.line() + "\n" for one in figures))
