"""Tables: only the difference is written, and what a failure left behind is built anew."""

from __future__ import annotations

import gzip
import sqlite3
import sys
from contextlib import closing, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from postboat.agent.children import Children, Outcome
from postboat.agent.errors import ActivationError, Failure
from postboat.agent.lmdb import LmdbDriver, _source
from postboat.agent.manifest import Table
from postboat.agent.sqlite import SqliteDriver
from postboat.agent.tables import Delta, Directory, Row, difference

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

USERS = Table("users", "sqlite", ("user", "quota"))
ALIASES = Table("aliases", "lmdb", ("key", "value"))


def shard(*lines: str) -> bytes:
    return gzip.compress("".join(f"{line}\n" for line in sorted(lines)).encode(), mtime=0)


class Recorder:
    """A driver that keeps what it was told, and can be told to fail."""

    def __init__(self, limit: int = sys.maxsize, *, replaces: bool = False) -> None:
        self.limit, self.replaces = limit, replaces
        self.calls: list[tuple[str, object]] = []
        self.broken = False

    def rebuild(self, tables: Mapping[Table, Iterable[Row]]) -> None:
        self.calls.append(("rebuild", {table.name: sorted(rows) for table, rows in tables.items()}))

    def update(self, deltas: Mapping[Table, Delta]) -> bool:
        if self.broken:
            raise OSError("disk full")
        self.calls.append(("update", {table.name: (delta.removed, delta.changed) for table, delta in deltas.items()}))
        return False


def test_the_first_time_builds_and_the_next_times_write_the_difference() -> None:
    driver = Recorder()
    directory = Directory({"sqlite": driver})
    directory.apply((USERS,), {"00": shard("users\ta\t1", "users\tb\t1"), "01": shard("users\tc\t1")})
    directory.apply((USERS,), {"00": shard("users\ta\t2"), "01": shard("users\tc\t1"), "02": shard("users\td\t1")})
    directory.apply((USERS,), {"00": shard("users\ta\t2"), "01": shard("users\tc\t1"), "02": shard("users\td\t1")})
    assert driver.calls == [
        ("rebuild", {"users": [("a", "1"), ("b", "1"), ("c", "1")]}),
        ("update", {"users": ({"b"}, {"a": ("a", "2"), "d": ("d", "1")})}),
    ]


def test_a_row_that_moves_to_another_shard_is_not_deleted() -> None:
    deltas = difference([(USERS, ("a", "1"))], [(USERS, ("a", "2"))])
    assert deltas[USERS].removed == set()
    assert deltas[USERS].changed == {"a": ("a", "2")}


def test_rows_of_tables_that_the_manifest_does_not_name_are_ignored() -> None:
    driver = Recorder()
    Directory({"sqlite": driver}).apply((USERS,), {"00": shard("users\ta\t1", "future\tx\ty\tz")})
    assert driver.calls == [("rebuild", {"users": [("a", "1")]})]


def test_who_is_removed_is_told_however_it_came(tmp_path: Path) -> None:
    told: list[tuple[str, set[str]]] = []
    path = tmp_path / "directory.sqlite"
    driver = SqliteDriver(path, lambda table, keys: told.append((table, set(keys))))
    driver.rebuild({USERS: [("a", "1"), ("b", "1"), ("c", "1")]})
    driver.update({USERS: Delta({"a"}, {"d": ("d", "1")})})
    driver.update({USERS: Delta(set(), {"d": ("d", "2")})})
    driver.rebuild({USERS: [("c", "2"), ("e", "1")]})
    assert told == [("users", {"a"}), ("users", {"b", "d"})]
    again = SqliteDriver(path, lambda table, keys: told.append((table, set(keys))))
    again.rebuild({Table("users", "sqlite", ("name", "quota")): [("c", "2")]})
    assert len(told) == 2, "another table of that name"


def test_another_table_rebuilds_all() -> None:
    driver = Recorder()
    directory = Directory({"sqlite": driver})
    shards = {"00": shard("users\ta\t1", "domain\texample.org")}
    directory.apply((USERS,), shards)
    directory.apply((USERS, Table("domain", "sqlite", ("domain",))), shards)
    assert [name for name, _ in driver.calls] == ["rebuild", "rebuild"]


def test_many_rows_are_a_rebuild_and_readers_open_again() -> None:
    driver = Recorder(limit=1, replaces=True)
    directory = Directory({"sqlite": driver})
    assert directory.apply((USERS,), {})
    assert not directory.apply((USERS,), {"00": shard("users\ta\t1")})
    assert directory.apply((USERS,), {"00": shard("users\ta\t1", "users\tb\t1", "users\tc\t1")})
    assert [name for name, _ in driver.calls] == ["rebuild", "update", "rebuild"]


def test_after_a_failure_everything_is_built_anew() -> None:
    driver = Recorder()
    directory = Directory({"sqlite": driver})
    directory.apply((USERS,), {})
    driver.broken = True
    with pytest.raises(ActivationError) as failed:
        directory.apply((USERS,), {"00": shard("users\ta\t1")})
    assert failed.value.failure is Failure.TABLE_UPDATE_FAILED
    directory.apply((USERS,), {"00": shard("users\ta\t1")})
    assert driver.calls[1:] == [("rebuild", {"users": [("a", "1")]})]


@pytest.mark.parametrize(
    "content",
    [b"no gzip", shard("users\ta"), shard("users\ta\t1\t2"), gzip.compress(b"\xff\t1", mtime=0)],
    ids=["no gzip", "too short", "too long", "no text"],
)
def test_a_damaged_shard_is_a_failure_and_no_crash(content: bytes) -> None:
    with pytest.raises(ActivationError) as failed:
        Directory({"sqlite": Recorder()}).apply((USERS,), {"00": content})
    assert failed.value.failure is Failure.TABLE_UPDATE_FAILED


def rows(path: Path, query: str = "SELECT * FROM users ORDER BY user") -> list[Row]:
    with closing(sqlite3.connect(path)) as connection:
        return connection.execute(query).fetchall()


def test_sqlite_changes_in_place_under_an_open_reader(tmp_path: Path) -> None:
    path = tmp_path / "tables" / "directory.sqlite"
    driver = SqliteDriver(path)
    driver.rebuild({USERS: [("a", "1"), ("b", "1")]})
    inode = path.stat().st_ino
    with closing(sqlite3.connect(path)) as reader:
        reader.execute("BEGIN")
        assert len(reader.execute("SELECT * FROM users").fetchall()) == 2
        driver.update({USERS: Delta({"b"}, {"a": ("a", "9"), "c": ("c", "'; DROP TABLE users")})})
        assert reader.execute("SELECT quota FROM users WHERE user = 'a'").fetchall() == [("1",)]
        reader.execute("COMMIT")
        assert reader.execute("SELECT quota FROM users WHERE user = 'a'").fetchall() == [("9",)]
    assert rows(path) == [("a", "9"), ("c", "'; DROP TABLE users")]
    driver.rebuild({Table("users", "sqlite", ("user",)): [("z",)]})
    assert rows(path) == [("z",)]
    assert path.stat().st_ino == inode


def test_sqlite_replaces_a_damaged_file(tmp_path: Path) -> None:
    path = tmp_path / "directory.sqlite"
    path.write_bytes(b"not a database, but long enough to look like one" * 50)
    SqliteDriver(path).rebuild({USERS: [("a", "1")]})
    assert rows(path) == [("a", "1")]


def test_a_file_that_somebody_reads_is_not_removed_for_being_locked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("postboat.agent.sqlite._SECONDS", 0.05)
    path = tmp_path / "directory.sqlite"
    SqliteDriver(path).rebuild({USERS: [("a", "1")]})
    before = path.stat().st_ino
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN EXCLUSIVE")
        with pytest.raises(ValueError, match="locked"):
            SqliteDriver(path).rebuild({USERS: [("b", "2")]})
    assert path.stat().st_ino == before
    assert rows(path) == [("a", "1")]


def test_a_failed_transaction_changes_nothing(tmp_path: Path) -> None:
    path = tmp_path / "directory.sqlite"
    driver = SqliteDriver(path)
    driver.rebuild({USERS: [("a", "1")]})
    other = Table("missing", "sqlite", ("key",))
    with pytest.raises(ValueError, match="missing"):
        driver.update({USERS: Delta({"a"}), other: Delta({"x"})})
    assert rows(path) == [("a", "1")]


def test_what_postmap_cannot_express_is_left_out() -> None:
    given = [("a@x", "b@x, c@x"), ("#a@x", "b"), ("a b@x", "c"), ('"q"@x', "d"), ("@x", "all")]
    assert _source(ALIASES, given) == b"@x all\na@x b@x, c@x\n"
    assert _source(Table("domains", "lmdb", ("key",)), [("x",)]) == b"x -\n"


class Postmap(Children):
    """Takes postmap's place."""

    def run(self, command: Sequence[str], *, given: bytes = b"", seconds: float = 60) -> Outcome:
        assert command[0] == "postmap"
        assert given
        assert seconds
        return Outcome(0, "")


def test_only_domains_are_remembered_by_those_who_read(tmp_path: Path) -> None:
    driver = LmdbDriver(tmp_path / "tables", tmp_path / "postmap", Postmap())
    assert not driver.update({ALIASES: Delta({"a@example.org"}, {"b@example.org": ("b@example.org", "c")})})
    for name in ("domains", "relays"):
        table = Table(name, "lmdb", ("key", "value"))
        assert driver.update({table: Delta(set(), {"example.org": ("example.org", "local")})})
        assert driver.update({table: Delta({"example.org"}, {})})


class Answering(Children):
    """Notes the commands, and gives them all one answer."""

    def __init__(self, answer: Outcome) -> None:
        self.answer = answer
        self.commands: list[tuple[list[str], bytes]] = []

    def run(self, command: Sequence[str], *, given: bytes = b"", seconds: float = 60) -> Outcome:
        assert seconds
        self.commands.append((list(command), given))
        return self.answer


def test_rows_come_and_go_by_the_commands_of_postmap() -> None:
    postmap = Answering(Outcome(0, ""))
    driver = LmdbDriver(Path("/tables"), Path("/settings"), postmap)
    driver.update({ALIASES: Delta({"gone@x", "#no key"}, {"a@x": ("a@x", "b@x")})})
    first = ["postmap", "-c", "/settings"]
    assert postmap.commands == [
        ([*first, "-r", "-i", "lmdb:/tables/aliases"], b"a@x b@x\n"),
        ([*first, "-d", "-", "lmdb:/tables/aliases"], b"gone@x\n"),
    ]


@pytest.mark.parametrize(
    ("answer", "insertable", "deletable"),
    [
        (Outcome(0, ""), True, True),
        (Outcome(0, "postmap: warning: duplicate entry"), True, True),
        (Outcome(1, ""), False, True),
        (Outcome(1, "postmap: fatal: open database"), False, False),
        (Outcome(0, "postmap: fatal: put key"), False, False),
        (Outcome(2, ""), False, False),
        (Outcome(-9, ""), False, False),
    ],
)
def test_what_postmap_could_not_write_is_not_in_force(answer: Outcome, *, insertable: bool, deletable: bool) -> None:
    driver = LmdbDriver(Path("/tables"), Path("/settings"), Answering(answer))
    for delta, fine in ((Delta(set(), {"a@x": ("a@x", "b@x")}), insertable), (Delta({"a@x"}, {}), deletable)):
        with nullcontext() if fine else pytest.raises(OSError, match="postmap"):
            driver.update({ALIASES: delta})


class Steps(Children):
    """Notes what postmap was asked for: the table, and `+` for rows that come or `-` for rows that go."""

    def __init__(self) -> None:
        self.taken: list[str] = []

    def run(self, command: Sequence[str], *, given: bytes = b"", seconds: float = 60) -> Outcome:
        assert given
        assert seconds
        table = command[-1].rpartition("/")[2]
        self.taken.append(("-" if "-d" in command else "+") + table)
        if table.startswith("new-"):
            Path(command[-1].removeprefix("lmdb:")).with_suffix(".lmdb").touch()
        return Outcome(0, "")


def test_a_domain_counts_when_all_is_known_of_it_and_goes_before_that() -> None:
    folder = Path("/nowhere")
    steps = Steps()
    change = Delta({"old"}, {"new": ("new", "value")})
    order = ("domains", "transports", "aliases", "relays", "internal", "refused")
    tables = {Table(name, "lmdb", ("key", "value")): change for name in order}
    LmdbDriver(folder, folder, steps).update(tables)
    coming = ["+internal", "+refused", "+aliases", "+transports", "+domains", "+relays"]
    assert steps.taken == [*coming, *("-" + step[1:] for step in reversed(coming))]


def test_tables_are_renamed_into_place_when_all_are_written(tmp_path: Path) -> None:
    seen: dict[str, list[str]] = {}

    class Watching(Steps):
        def run(self, command: Sequence[str], *, given: bytes = b"", seconds: float = 60) -> Outcome:
            seen[command[-1].rpartition("-")[2]] = sorted(path.name for path in tmp_path.glob("[a-m]*.lmdb"))
            return super().run(command, given=given or b"rows", seconds=seconds)

    tables = {Table(name, "lmdb", ("key", "value")): [("key", "value")] for name in ("domains", "aliases")}
    LmdbDriver(tmp_path, tmp_path / "settings", Watching()).rebuild(tables)
    assert seen == {"aliases": [], "domains": []}
    assert sorted(path.name for path in tmp_path.glob("*.lmdb")) == ["aliases.lmdb", "domains.lmdb"]
