"""General rows: what they stand for, and that a domain which comes or goes is a change of its own rows alone."""

from __future__ import annotations

import gzip
import sys
from typing import TYPE_CHECKING

import pytest

from postboat.agent.errors import ActivationError, Failure
from postboat.agent.general import Domain, Domains, Expansion, listed
from postboat.agent.manifest import Table
from postboat.agent.tables import Delta, Directory, Row

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

ALIASES = Table("aliases", "memory", ("key", "value"))
BOOKS = Domain("xn--bcher-kva.example", ("bücher.example", "xn--bcher-kva.example"), frozenset({"away", "catchall"}))
DOMAINS = Domains(
    "mail.example",
    (Domain("a.example", ("a.example",), frozenset({"catchall"})), Domain("b.example", ("b.example",), frozenset())),
)
WITH_BOOKS = Domains(DOMAINS.host, (*DOMAINS.domains, BOOKS))


def shard(*lines: str) -> bytes:
    return gzip.compress("".join(f"{line}\n" for line in sorted(lines)).encode(), mtime=0)


def first(*names: str, more: Iterable[str] = ()) -> bytes:
    """The shard with the domains."""
    return shard("@local\t\tmail.example\t", *(f"@local\t{name}\t{name}\t" for name in names), *more)


GENERAL = shard(
    "aliases\t*\teach\t\tanna@*\tanna",
    "aliases\t*\teach\t+b.example\tinfo@*\tinfo-b",
    "aliases\t*\teach\t-b.example\tinfo@*\tinfo",
    "aliases\t*\tfirst\t\tname\tanna@*",
    "aliases\tplain@elsewhere.example\tx",
)


class Memory:
    """A driver that keeps rows, and what it was told."""

    limit = sys.maxsize
    replaces = False

    def __init__(self) -> None:
        self.rows: dict[str, str] = {}
        self.deltas: list[tuple[set[str], set[str]]] = []

    def rebuild(self, tables: Mapping[Table, Iterable[Row]]) -> None:
        self.rows = {row[0]: row[1] for rows in tables.values() for row in rows}

    def update(self, deltas: Mapping[Table, Delta]) -> bool:
        for delta in deltas.values():
            self.deltas.append((set(delta.changed), set(delta.removed)))
            self.rows = {key: value for key, value in self.rows.items() if key not in delta.removed}
            self.rows |= {key: row[1] for key, row in delta.changed.items()}
        return False


@pytest.fixture
def driver() -> Memory:
    return Memory()


@pytest.fixture
def directory(driver: Memory) -> Directory:
    return Directory({"memory": driver})


@pytest.mark.parametrize(
    ("which", "limits", "found"),
    [
        ("each", "", {"a.example", "b.example", "bücher.example", "xn--bcher-kva.example"}),
        ("each", "-a.example,xn--bcher-kva.example,gone.example", {"b.example"}),
        ("each", "+xn--bcher-kva.example,gone.example", {"bücher.example", "xn--bcher-kva.example"}),
        ("each", "+", set()),
        ("catchall", "", {"a.example", "bücher.example", "xn--bcher-kva.example"}),
        ("catchall", "-xn--bcher-kva.example", {"a.example"}),
        ("away", "", {"bücher.example", "xn--bcher-kva.example"}),
        ("first", "", {"a.example"}),
        ("first", "-a.example", {"b.example"}),
        ("first", "+xn--bcher-kva.example", {"xn--bcher-kva.example"}),
        ("first", "+", {"mail.example"}),
        ("first", "+gone.example", {"mail.example"}),
    ],
)
def test_what_a_row_stands_for(which: str, limits: str, found: set[str]) -> None:
    rows = Expansion(WITH_BOOKS).rows(["*", which, limits, "own/anna@*", "text"])
    assert {row[0].removeprefix("own/anna@") for row in rows} == found
    assert {row[1] for row in rows} <= {"text"}


def test_the_list_is_in_the_shard_that_begins_with_it() -> None:
    lines = ["@local\t\tmail.example\t", "@local\ta.example\ta.example\tcatchall", "@local\tb.example\tb.example\t"]
    classless = Domains("mail.example", (DOMAINS.domains[0], Domain("b.example", ("b.example",), frozenset({""}))))
    assert listed([GENERAL, shard(*lines, "domains\ta.example\tlocal"), shard()]) == classless
    assert listed([first()]) == Domains("mail.example")
    assert listed([GENERAL, shard()]) is None


def test_a_domain_that_comes_writes_its_rows_and_no_others(directory: Directory, driver: Memory) -> None:
    directory.apply((ALIASES,), {"00": first("b.example"), "01": GENERAL})
    assert driver.rows == {
        "anna@b.example": "anna",
        "info@b.example": "info-b",
        "name": "anna@b.example",
        "plain@elsewhere.example": "x",
    }
    directory.apply((ALIASES,), {"00": first("b.example", "c.example"), "01": GENERAL})
    directory.apply((ALIASES,), {"00": first("a.example", "b.example"), "01": GENERAL})
    directory.apply((ALIASES,), {"00": first(), "01": GENERAL})
    assert driver.deltas == [
        ({"anna@c.example", "info@c.example"}, set()),
        ({"anna@a.example", "info@a.example", "name"}, {"anna@c.example", "info@c.example"}),
        ({"name"}, {"anna@a.example", "anna@b.example", "info@a.example", "info@b.example"}),
    ]
    assert driver.rows == {"name": "anna@mail.example", "plain@elsewhere.example": "x"}


def test_a_domain_and_a_shard_that_change_together(directory: Directory, driver: Memory) -> None:
    directory.apply((ALIASES,), {"00": first("a.example"), "01": GENERAL, "02": shard("aliases\t*\teach\t\told@*\tx")})
    shards = {"00": first("b.example"), "01": GENERAL, "02": shard("aliases\t*\teach\t\tnew@*\tx")}
    directory.apply((ALIASES,), shards)
    again = Memory()
    Directory({"memory": again}).apply((ALIASES,), shards)
    assert driver.rows == again.rows
    assert driver.rows["new@b.example"] == "x"


def test_an_exception_is_a_change_of_one_row(directory: Directory, driver: Memory) -> None:
    lines = ["aliases\t*\teach\t\tinfo@*\tinfo"]
    directory.apply((ALIASES,), {"00": first("a.example", "b.example", "c.example"), "01": shard(*lines)})
    apart = ["aliases\t*\teach\t+b.example\tinfo@*\tother", "aliases\t*\teach\t-b.example\tinfo@*\tinfo"]
    directory.apply((ALIASES,), {"00": first("a.example", "b.example", "c.example"), "01": shard(*apart)})
    assert driver.deltas == [({"info@b.example"}, set())]
    assert driver.rows["info@b.example"] == "other"


@pytest.mark.parametrize("other", [shard("domains\ta.example\tlocal"), None], ids=["of an older version", "missing"])
def test_without_the_list_nothing_changes(directory: Directory, driver: Memory, other: bytes | None) -> None:
    """While an older version writes its shards, or a newer one does, not all of them are of one kind."""
    directory.apply((ALIASES,), {"00": first("a.example"), "01": GENERAL})
    before = dict(driver.rows)
    with pytest.raises(ActivationError) as failed:
        directory.apply((ALIASES,), ({"00": other} if other is not None else {}) | {"01": GENERAL})
    assert failed.value.failure is Failure.TABLE_UPDATE_FAILED
    assert driver.rows == before
    directory.apply((ALIASES,), {"00": first("a.example"), "01": GENERAL})
    assert driver.rows == before


def test_shards_of_an_older_version_are_taken(directory: Directory, driver: Memory) -> None:
    old = {"00": shard("domains\ta.example\tlocal"), "01": shard("aliases\tanna@a.example\tanna")}
    directory.apply((ALIASES,), old)
    assert driver.rows == {"anna@a.example": "anna"}
    directory.apply((ALIASES,), {"00": first("a.example"), "01": shard("aliases\t*\teach\t\tanna@*\tanna")})
    assert (driver.rows, driver.deltas) == ({"anna@a.example": "anna"}, [])
    directory.apply((ALIASES,), old)
    assert (driver.rows, driver.deltas) == ({"anna@a.example": "anna"}, [])


@pytest.mark.parametrize(
    "line", ["aliases\t*\tnever\t\tanna@*\tanna", "aliases\t*\teach\t\tanna\tanna", "aliases\t*\teach\ta"]
)
def test_a_row_of_a_newer_kind_is_a_failure(directory: Directory, line: str) -> None:
    with pytest.raises(ActivationError) as failed:
        directory.apply((ALIASES,), {"00": first("a.example"), "01": shard(line)})
    assert failed.value.failure is Failure.TABLE_UPDATE_FAILED
