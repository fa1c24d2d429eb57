"""The sweep of Junk: when a span is due, and whose mail it is about."""

from __future__ import annotations

from contextlib import closing
from sqlite3 import connect
from typing import TYPE_CHECKING

from postboat.agent.children import Children, Outcome
from postboat.agent.sweep import FIRST, LONGEST, SHORTEST, Sweep, beat

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

DAY = 86_400


class Recorder(Children):
    """Takes down the commands instead of running them."""

    def __init__(self) -> None:
        self.commands: list[tuple[str, bytes]] = []

    def run(self, command: Sequence[str], *, given: bytes = b"", seconds: float = 60) -> Outcome:
        assert seconds > 60, "many mailboxes take their time"
        self.commands.append((" ".join(command[3:]), given))
        return Outcome(0, "")


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def store(folder: Path, **retentions: int) -> tuple[Sweep, Recorder, Clock]:
    with closing(connect(folder / "directory.sqlite")) as connection:
        connection.execute("CREATE TABLE users (user TEXT PRIMARY KEY, retention TEXT)")
        connection.executemany("INSERT INTO users VALUES (?, ?)", ((u, str(r)) for u, r in retentions.items()))
        connection.commit()
    recorder, clock = Recorder(), Clock()
    return Sweep(folder / "directory.sqlite", folder / "mail", recorder, clock), recorder, clock


def test_each_span_is_swept_in_its_time_for_those_who_have_junk_here(tmp_path: Path) -> None:
    sweep, recorder, clock = store(tmp_path, anna=20, bert=20, carl=15 * DAY, dora=20)
    for user in ("anna", "carl"):
        (tmp_path / "mail" / user / "Maildir" / ".Junk").mkdir(parents=True)
    (tmp_path / "mail" / ".public" / "mail" / "bert" / "Junk").mkdir(parents=True)
    sweep.look()
    assert recorder.commands == []
    clock.now += SHORTEST
    sweep.look()
    sweep.look()
    assert recorder.commands == [("doveadm expunge -F - mailbox Junk savedbefore 20secs", b"anna\nbert\n")]
    clock.now += FIRST
    sweep.look()
    assert [given for _, given in recorder.commands[1:]] == [b"anna\nbert\n", b"carl\n"]
    clock.now += LONGEST - 1
    sweep.look()
    assert [given for _, given in recorder.commands[3:]] == [b"anna\nbert\n"]
    clock.now += 1
    sweep.look()
    assert (f"doveadm expunge -F - mailbox Junk savedbefore {15 * DAY}secs", b"carl\n") in recorder.commands[4:]


def test_a_table_that_is_not_there_or_says_nothing_of_retention_means_nothing_to_do(tmp_path: Path) -> None:
    recorder = Recorder()
    Sweep(tmp_path / "nothing.sqlite", tmp_path, recorder).look()
    with closing(connect(tmp_path / "edge.sqlite")) as connection:
        connection.execute("CREATE TABLE users (user TEXT PRIMARY KEY, password TEXT)")
    Sweep(tmp_path / "edge.sqlite", tmp_path, recorder).look()
    assert recorder.commands == []
    assert not (tmp_path / "nothing.sqlite").exists()


def test_the_beat_is_a_tenth_within_bounds() -> None:
    assert [beat(span) for span in (1, 600, 15 * DAY)] == [SHORTEST, 60, LONGEST]
