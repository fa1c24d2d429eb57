"""Tells which feature rows of docs/features.md the last test runs have shown, and why cases failed.

A row is shown when at least one end-to-end case carries its id and no such case failed.
"""

from __future__ import annotations

import json
import os
import re
import sys
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from textwrap import indent
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
ROW = re.compile(r"^\| ([A-Z]\d+) \| ([^|]+?) \|")
COUNTED = "e2e/"  # only what ran against real pods counts
MOST = 600  # characters of the reason of a failure
BAD = frozenset({"failed", "error", "xpassed"})
SHOWN, FAILING, NONE = "shown", "failing", "without a case"


@dataclass(frozen=True, slots=True)
class Case:
    """One test case that ran: its name, its outcome, the rows that it stands for, and where and why it failed."""

    name: str
    outcome: str
    rows: frozenset[str]
    reason: str = ""

    @property
    def bad(self) -> bool:
        """Whether the case says that something is wrong."""
        return self.outcome in BAD


@dataclass(frozen=True, slots=True)
class Row:
    """One feature row and the cases that ran for it."""

    id: str
    title: str
    cases: tuple[Case, ...]

    @property
    def state(self) -> str:
        """Whether the row is shown, failing or without a case."""
        if any(case.bad for case in self.cases):
            return FAILING
        return SHOWN if any(case.outcome == "passed" for case in self.cases) else NONE


def features(text: str) -> tuple[tuple[str, str], ...]:
    """Read the ids and titles of the rows from the tables of the features page."""
    found = tuple((match[1], match[2]) for line in text.splitlines() if (match := ROW.match(line)))
    ids = [identifier for identifier, _ in found]
    if len(set(ids)) != len(ids):
        raise SystemExit("docs/features.md names a row twice")
    return found


def cases(report: Mapping[str, Any]) -> Iterator[Case]:
    """Read the cases of one pytest JSON report."""
    for test in report.get("tests", []):
        rows = frozenset(entry["row"] for entry in test.get("user_properties", []) if "row" in entry)
        yield Case(str(test["nodeid"]), str(test["outcome"]), rows, _reason(test))


def _reason(test: Mapping[str, Any]) -> str:
    crashes = [test[stage]["crash"] for stage in ("setup", "call", "teardown") if test.get(stage, {}).get("crash")]
    places = (f"{Path(crash['path']).name}:{crash['lineno']}: {crash['message'][:MOST]}" for crash in crashes)
    return "\n".join(places)


def tell(known: Iterable[tuple[str, str]], ran: Iterable[Case]) -> tuple[Row, ...]:
    """Join rows and cases; a case that names an unknown row is a mistake to be told."""
    counted = [case for case in ran if case.name.startswith(COUNTED) and case.rows]
    known = tuple(known)
    unknown = {row for case in counted for row in case.rows} - {identifier for identifier, _ in known}
    if unknown:
        raise SystemExit(f"cases name rows that docs/features.md does not know: {', '.join(sorted(unknown))}")
    return tuple(Row(one, title, tuple(case for case in counted if one in case.rows)) for one, title in known)


def as_json(rows: Iterable[Row]) -> str:
    """Print every row for a program."""
    listing = [
        {
            "id": row.id,
            "title": row.title,
            "state": row.state,
            "cases": {case.name: case.outcome for case in row.cases},
        }
        for row in rows
    ]
    return json.dumps(listing, indent=2)


def as_table(rows: tuple[Row, ...]) -> str:
    """Print every row for a reader, the failing cases by name, and the sum at the end."""
    lines = []
    for row in rows:
        lines.append(f"{row.id:<4} {row.state:<14} {len(row.cases):>3} cases  {row.title}")
        lines += [f"{'':<24}{case.outcome}: {case.name}" for case in row.cases if case.bad]
    count = {state: sum(row.state == state for row in rows) for state in (SHOWN, FAILING, NONE)}
    lines.append(", ".join(f"{number} {state}" for state, number in count.items()) + f", of {len(rows)} rows")
    return "\n".join(lines)


def failures(ran: Iterable[Case]) -> str:
    """Print the failed cases of every suite with their reasons: whoever sees only the end of a log sees why."""
    return "\n".join(f"{case.outcome}: {case.name}\n{indent(case.reason, '  ')}" for case in ran if case.bad)


def main() -> int:
    """Print the rows; the exit status is not a verdict, since the tests have given theirs."""
    reports = sorted(ROOT.glob("reports/*.json"))
    ran = [case for path in reports for case in cases(json.loads(path.read_text()))]
    rows = tell(features((ROOT / "docs/features.md").read_text()), ran)
    if os.environ.get("FORMAT", "") == "json":
        print(as_json(rows))
    else:
        print(*filter(None, (as_table(rows), failures(ran))), sep="\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
