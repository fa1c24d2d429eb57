"""Sieve scripts in the hands of a store's agent: set aside with their owner, switched off when they kill a delivery."""

from __future__ import annotations

import socket
import sqlite3
import threading
import time
from contextlib import closing
from typing import TYPE_CHECKING

import pytest

from postboat.agent.children import Children, Outcome
from postboat.agent.mailstore.crashes import Crashes, Death, deaths, lines
from postboat.agent.mailstore.owners import Owners, deactivate, set_aside
from postboat.agent.manifest import Table
from postboat.agent.sqlite import SqliteDriver
from postboat.agent.tables import Delta

if TYPE_CHECKING:
    from pathlib import Path

USERS = Table("users", "sqlite", ("user", "email", "uid"))
PANIC = "file mempool.c: line 17 (pool_get_exp_grown_size): assertion failed: (old_size < min_size)"
TRACE = "Raw backtrace: #3 i_panic[0x7f91eac666b7] -> #8 sieve_match_value[0x7f91e9d82310] -> #14 mail_deliver[0x7f91]"
OTHER_TRACE = "Raw backtrace: #3 i_panic[0x7f91eac666b7] -> #14 mail_deliver[0x7f91eb1544f0]"
KILLED = "master: service(lmtp): child 1920 killed with signal 6 (core dumps disabled - https://dovecot.org)"


def home(mail: Path, user: str, *scripts: str, active: str = "") -> Path:
    folder = mail / user / "sieve"
    folder.mkdir(parents=True)
    for script in scripts:
        (folder / f"{script}.sieve").write_text(f"# {script}")
        (folder / f"{script}.svbin").write_text("compiled")
    if active:
        (mail / user / ".dovecot.sieve").symlink_to(f"sieve/{active}.sieve")
    return mail / user


def kept(folder: Path) -> set[str]:
    return {path.name for path in (folder / "sieve").iterdir()}


def test_the_next_owner_of_a_name_has_none_of_the_scripts_in_force(tmp_path: Path) -> None:
    anna = home(tmp_path, "anna", "holiday", "rules", active="rules")
    bert = home(tmp_path, "bert", "own", active="own")
    owners = Owners(tmp_path)
    assert not owners.settle({"anna": "1", "bert": "2"}), "who was there before this was kept is no newcomer"
    assert not owners.settle({"anna": "1"})
    assert (anna / ".dovecot.sieve").is_symlink()
    assert Owners(tmp_path).settle({"anna": "3", "bert": "2"}) == {"anna"}
    assert not (anna / ".dovecot.sieve").is_symlink()
    assert kept(anna) == {"former-owner-holiday.sieve", "former-owner-rules.sieve"}
    assert (bert / ".dovecot.sieve").is_symlink()
    assert kept(bert) == {"own.sieve", "own.svbin"}
    assert not owners.settle({"anna": "3"}), "it happens once"


def test_each_owner_is_told_apart_and_no_script_is_lost(tmp_path: Path) -> None:
    anna = home(tmp_path, "anna", "rules", active="rules")
    owners = Owners(tmp_path)
    for uid in ("1", "2", "3"):
        owners.settle({"anna": uid})
        (anna / "sieve" / "rules.sieve").write_text(f"# of {uid}")
    owners.settle({"anna": "4"})
    texts = {path.name: path.read_text() for path in (anna / "sieve").glob("former*")}
    assert texts == {
        "former-owner-rules.sieve": "# of 1",
        "former-owner-rules-2.sieve": "# of 2",
        "former-owner-rules-3.sieve": "# of 3",
    }


def test_a_public_mailbox_and_a_name_without_mail_change_nothing(tmp_path: Path) -> None:
    anna = home(tmp_path, "anna", "rules", active="rules")
    owners = Owners(tmp_path)
    owners.settle({"anna": "1"})
    assert not owners.settle({"anna": "", "../x": "2"})
    assert (anna / ".dovecot.sieve").is_symlink()
    owners.settle({"cleo": "1"})
    assert owners.settle({"cleo": "2"}) == {"cleo"}, "nothing to set aside, but sessions to end"


def test_scripts_that_cannot_be_set_aside_are_tried_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    home(tmp_path, "anna", "rules", active="rules")
    owners = Owners(tmp_path)
    owners.settle({"anna": "1"})
    with monkeypatch.context() as patch:
        patch.setattr("postboat.agent.mailstore.owners.set_aside", _full)
        owners.settle({"anna": "2", "bert": "2"})
    assert (tmp_path / "anna" / ".dovecot.sieve").is_symlink()
    owners.settle({"anna": "2"})
    assert not (tmp_path / "anna" / ".dovecot.sieve").is_symlink()


def _full(_: Path) -> tuple[str, ...]:
    raise OSError("no space left")


@pytest.mark.parametrize("name", ["a" * 240, "ü" * 120])
def test_a_long_name_of_a_script_stays_one_that_a_file_can_have(tmp_path: Path, name: str) -> None:
    anna = home(tmp_path, "anna")
    (anna / "sieve" / f"{name}.sieve").write_text("keep;")
    (new,) = set_aside(anna)
    assert len(f"{new}.sieve".encode()) <= 255
    assert (anna / "sieve" / f"{new}.sieve").read_text() == "keep;"


def test_an_active_script_that_is_no_link_is_kept_too(tmp_path: Path) -> None:
    anna = home(tmp_path, "anna")
    (anna / ".dovecot.sieve").write_text("discard;")
    assert set_aside(anna) == ("former-owner-script",)
    assert not (anna / ".dovecot.sieve").exists()
    assert not deactivate(anna)


def test_scripts_are_out_of_force_before_the_new_owner_is_found(tmp_path: Path) -> None:
    heard: list[tuple[int, int]] = []
    path = tmp_path / "tables" / "directory.sqlite"

    def before(_: Table, rows: object) -> None:
        with closing(sqlite3.connect(path)) as connection:
            there = connection.execute("SELECT count(*) FROM sqlite_master WHERE name = 'users'").fetchone()[0]
            uids = connection.execute("SELECT count(*) FROM users WHERE uid = '2'").fetchone()[0] if there else 0
        heard.append((len(list(rows)), uids))  # type: ignore[call-overload]

    driver = SqliteDriver(path, None, before)
    driver.rebuild({USERS: iter([("anna", "anna@example.test", "1"), ("bert", "bert@example.test", "1")])})
    driver.update({USERS: Delta(changed={"anna": ("anna", "anna@example.test", "2")})})
    driver.update({USERS: Delta(removed={"anna"})})
    assert heard == [(2, 0), (1, 0)], "the rows come first, and only rows that count"


def told(*texts: tuple[str, str], user: str = "anna@mailbox.invalid") -> str:
    return "".join(f"{kind}\t{time.time()}\tlmtp({user})<1920><59tGDv>: \t{text}\n" for kind, text in texts)


def test_deaths_are_told_with_user_and_cause() -> None:
    content = told(("panic", PANIC), ("error", TRACE), ("fatal", KILLED))
    assert list(deaths(lines(content))) == [Death("lmtp", "anna@mailbox.invalid", 6, in_script=True)]
    content = told(("panic", PANIC), ("error", OTHER_TRACE), ("fatal", KILLED))
    assert list(deaths(lines(content))) == [Death("lmtp", "anna@mailbox.invalid", 6, in_script=False)]
    content = "fatal\t1.5\t\tmaster: service(imap): child 7 killed with signal 9\nnonsense\nerror\tx\ty\tz\n"
    assert list(deaths(lines(content))) == [Death("imap", "", 9, in_script=False)]
    said_by_a_user = told(("error", "msgid=<service(lmtp): child 1920>: Raw backtrace: "))
    assert not list(deaths(lines(said_by_a_user)))


class Doveadm(Children):
    """Notes what is given to doveadm."""

    def __init__(self) -> None:
        super().__init__()
        self.given: list[bytes] = []

    def run(self, command: object, *, given: bytes = b"", seconds: float) -> Outcome:  # noqa: ARG002
        self.given.append(given)
        return Outcome(0, "")


def answer(path: Path, *contents: str) -> None:
    listening = socket.socket(socket.AF_UNIX)
    listening.bind(str(path))
    listening.listen()

    def serve() -> None:
        for content in contents:
            connection, _ = listening.accept()
            with connection:
                connection.sendall(content.encode())
        listening.close()

    threading.Thread(target=serve, daemon=True).start()


def test_a_script_that_kills_a_delivery_is_switched_off_once_and_its_user_told(tmp_path: Path) -> None:
    mail, directory = tmp_path / "mail", tmp_path / "directory.sqlite"
    anna = home(mail, "anna", "rules", active="rules")
    SqliteDriver(directory).rebuild({USERS: [("anna", "anna@example.test", "1")]})
    content = told(("panic", PANIC), ("error", TRACE), ("fatal", KILLED))
    answer(tmp_path / "errors", content, content)
    doveadm = Doveadm()
    crashes = Crashes(tmp_path / "errors", mail, directory, doveadm)
    crashes.look()
    assert not (anna / ".dovecot.sieve").is_symlink()
    assert (anna / "sieve" / "rules.sieve").exists(), "it is there to be mended"
    (message,) = doveadm.given
    assert b'"rules"' in message
    assert b"To: <anna@example.test>\n" in message
    crashes.look()
    assert len(doveadm.given) == 1
    assert 'postboat_dovecot_crashes_total{service="lmtp"} 1\n' in crashes.metrics()


@pytest.mark.parametrize(
    ("named", "whose"),
    [
        ("anna", "anna"),
        ("anna@b.example", "anna"),
        ("anna@a.example", "anna@a.example"),
        ("Anna@A.example", "anna@a.example"),
    ],
)
def test_a_script_is_switched_off_for_the_one_who_has_that_name(tmp_path: Path, named: str, whose: str) -> None:
    mail, directory = tmp_path / "mail", tmp_path / "directory.sqlite"
    homes = {user: home(mail, user, "rules", active="rules") for user in ("anna", "anna@a.example")}
    SqliteDriver(directory).rebuild({USERS: [(user, "x@b.example", "1") for user in homes]})
    answer(tmp_path / "errors", told(("panic", PANIC), ("error", TRACE), ("fatal", KILLED), user=named))
    Crashes(tmp_path / "errors", mail, directory, Doveadm()).look()
    assert {user for user, place in homes.items() if not (place / ".dovecot.sieve").is_symlink()} == {whose}


def test_a_death_without_a_script_is_counted_only(tmp_path: Path) -> None:
    anna = home(tmp_path, "anna", "rules", active="rules")
    answer(tmp_path / "errors", told(("panic", PANIC), ("error", OTHER_TRACE), ("fatal", KILLED)))
    crashes = Crashes(tmp_path / "errors", tmp_path, tmp_path / "directory.sqlite", Doveadm())
    crashes.look()
    crashes.look()  # nobody answers any more
    assert (anna / ".dovecot.sieve").is_symlink()
    assert 'postboat_dovecot_crashes_total{service="lmtp"} 1\n' in crashes.metrics()
