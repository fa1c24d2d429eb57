"""The table of rows: what counts as shown, what as failing, and which mistakes are told.

The reports here are what pytest-json-report writes, cut down to what is read of them.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from postboat.model.kinds import RULES
from tools import rows

PAGE = """
| id | ability | stated in |
|---|---|---|
| D1 | as many domains as you like | `MailDomain` |
| D2 | local mailboxes | `MailDomain` |
| B1 | says whether it is in force | |
"""


def case(name: str, outcome: str, *ids: str) -> dict[str, Any]:
    return {"nodeid": name, "outcome": outcome, "user_properties": [{"row": one} for one in ids]}


def states(*tests: dict[str, Any]) -> dict[str, str]:
    told = rows.tell(rows.features(PAGE), rows.cases({"tests": list(tests)}))
    return {row.id: row.state for row in told}


def test_a_row_is_shown_by_cases_that_passed() -> None:
    assert states(case("e2e/cases/a.py::b", "passed", "D1", "B1")) == {
        "D1": "shown",
        "D2": "without a case",
        "B1": "shown",
    }


@pytest.mark.parametrize("outcome", ["failed", "error", "xpassed"])
def test_one_failure_outweighs_what_passed(outcome: str) -> None:
    tests = (case("e2e/cases/a.py::b", "passed", "D2"), case("e2e/cases/a.py::c", outcome, "D2"))
    assert states(*tests)["D2"] == "failing"


def test_skipped_cases_show_nothing() -> None:
    assert states(case("e2e/cases/a.py::b", "skipped", "D1"))["D1"] == "without a case"


def test_cases_without_pods_do_not_count() -> None:
    assert states(case("tests/unit/a.py::b", "passed", "D1"))["D1"] == "without a case"


def test_an_unknown_row_is_a_mistake() -> None:
    with pytest.raises(SystemExit, match="D9"):
        states(case("e2e/cases/a.py::b", "passed", "D9"))


def test_a_row_stands_once_on_the_page() -> None:
    with pytest.raises(SystemExit, match="twice"):
        rows.features(PAGE + "| D1 | again | |\n")


def test_the_table_names_what_failed_and_adds_up() -> None:
    told = rows.tell(rows.features(PAGE), rows.cases({"tests": [case("e2e/cases/a.py::b", "failed", "D1")]}))
    table = rows.as_table(told)
    assert "failed: e2e/cases/a.py::b" in table
    assert table.endswith("0 shown, 1 failing, 2 without a case, of 3 rows")
    assert {row["id"]: row["state"] for row in json.loads(rows.as_json(told))}["D1"] == "failing"


def test_the_real_page_has_all_seventy_one_rows() -> None:
    page = Path(rows.ROOT, "docs/features.md").read_text()
    assert len(rows.features(page)) == 71


def test_markers_reach_the_report(request: pytest.FixtureRequest) -> None:
    request.node.add_marker(pytest.mark.row("D1", "D2"))
    from conftest import pytest_collection_modifyitems  # noqa: PLC0415  the hook under test

    before = list(request.node.user_properties)
    pytest_collection_modifyitems([request.node])
    added = [entry for entry in request.node.user_properties if entry not in before]
    request.node.user_properties[:] = before
    assert added == [("row", "D1"), ("row", "D2")]


def test_the_page_lists_the_fields_in_force() -> None:
    page = Path(rows.ROOT, "docs/features.md").read_text().partition("## In force")[2]
    stated = dict(re.findall(r"^\| `(\w+)` \| (.+) \|$", page, re.MULTILINE))
    listed = {kind: set(re.findall(r"`([^`]+)`", fields)) for kind, fields in stated.items()}
    assert listed == {kind: set(rules.supported) for kind, rules in RULES.items() if rules.supported is not None}


def test_failures_of_every_suite_are_told_with_their_reasons() -> None:
    crash = {"path": "/somewhere/e2e/cases/a.py", "lineno": 7, "message": "AssertionError: 451\nnot 250"}
    failed = {**case("tests/unit/a.py::b", "failed"), "call": {"crash": crash}, "setup": {"outcome": "passed"}}
    told = rows.failures(rows.cases({"tests": [failed, case("tests/unit/a.py::c", "passed")]}))
    assert told == "failed: tests/unit/a.py::b\n  a.py:7: AssertionError: 451\n  not 250"
