"""Prints where the time of the last test runs went: each suite, and the slowest cases of all.

The time of a case is that of its set-up, its call and its clean-up; who makes what others share has its time.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

ROOT = Path(__file__).resolve().parent.parent
SLOWEST = 20
STAGES = ("setup", "call", "teardown")


class Suite(NamedTuple):
    """One suite: its wall time and the sum over its cases, in seconds, which is more where cases run side by side."""

    name: str
    seconds: float
    work: float
    cases: int


def took(test: Mapping[str, Any]) -> float:
    """Give the seconds of one case of a pytest JSON report."""
    return sum(float(test.get(stage, {}).get("duration", 0.0)) for stage in STAGES)


def suite(name: str, report: Mapping[str, Any]) -> Suite:
    """Sum up one pytest JSON report."""
    tests = report.get("tests", [])
    return Suite(name, float(report.get("duration", 0.0)), sum(map(took, tests)), len(tests))


def slowest(reports: Mapping[str, Mapping[str, Any]], most: int = SLOWEST) -> list[tuple[float, str]]:
    """Give the slowest cases of all suites, the slowest first."""
    found = ((took(test), str(test["nodeid"])) for report in reports.values() for test in report.get("tests", []))
    return sorted(found, reverse=True)[:most]


def table(reports: Mapping[str, Mapping[str, Any]]) -> Iterator[str]:
    """Write both tables, a line at a time."""
    yield f"{'suite':<10} {'seconds':>8} {'work':>8} {'cases':>6}"
    for one in (suite(name, report) for name, report in reports.items()):
        yield f"{one.name:<10} {one.seconds:>8.0f} {one.work:>8.0f} {one.cases:>6}"
    yield f"the {SLOWEST} slowest cases:"
    yield from (f"{seconds:>8.1f} s  {name}" for seconds, name in slowest(reports))


def main() -> int:
    """Print what the reports of the last runs say."""
    reports = {path.stem: json.loads(path.read_text()) for path in sorted(ROOT.glob("reports/*.json"))}
    print(*table(reports), sep="\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
