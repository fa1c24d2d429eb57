"""The tables of where the time of a test run went."""

from __future__ import annotations

from tools import times


def case(name: str, *seconds: float) -> dict[str, object]:
    return {"nodeid": name, **{stage: {"duration": one} for stage, one in zip(times.STAGES, seconds, strict=False)}}


def test_a_case_takes_what_its_stages_take() -> None:
    assert times.took(case("a", 1.0, 2.0, 0.5)) == 3.5
    assert times.took(case("a", 1.0)) == 1.0, "a case whose set-up failed has no other stage"


def test_suites_and_the_slowest_cases_of_all_are_listed() -> None:
    many = [case(f"tests/b.py::{number}", 0.0, float(number)) for number in range(30)]
    reports = {"unit": {"duration": 9.0, "tests": many}, "e2e": {"duration": 70.4, "tests": [case("e2e/a.py::x", 99)]}}
    lines = list(times.table(reports))
    assert lines[1].split() == ["unit", "9", "435", "30"]
    assert lines[2].split() == ["e2e", "70", "99", "1"]
    assert lines[4].split() == ["99.0", "s", "e2e/a.py::x"]
    assert lines[5].endswith("29.0 s  tests/b.py::29")
    assert len(lines) == 4 + times.SLOWEST


def test_without_reports_there_is_nothing_to_tell() -> None:
    assert len(list(times.table({}))) == 2
