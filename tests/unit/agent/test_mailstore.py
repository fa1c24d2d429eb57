"""What a store's agent keeps of its mailboxes: numbered changes, folders, erasing, and who may ask."""

from __future__ import annotations

import http.client
import json
import os
import sqlite3
import ssl
import threading
import time
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from postboat.agent.children import Children, Outcome
from postboat.agent.dismissal import Dismissal
from postboat.agent.mailstore import eraser as eraser_module
from postboat.agent.mailstore import folders
from postboat.agent.mailstore.endpoint import Endpoint
from postboat.agent.mailstore.eraser import Answer, Eraser
from postboat.agent.mailstore.folders import Folders, present, public, public_homes, seen
from postboat.agent.mailstore.ledger import Entry, Kind, Ledger
from postboat.model import names

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

KEYS = Path(__file__).parents[2] / "golden" / "keys"


FOUND = {"anna": Kind.PERSONAL, "bert": Kind.PERSONAL | Kind.PUBLIC, "offers": Kind.PUBLIC}


def dovecot_writes(ledger: Ledger, user: str, size: int, count: int) -> None:
    """The very statement of Dovecot's dictionary server."""
    with closing(sqlite3.connect(ledger._path, isolation_level=None)) as connection:
        connection.execute(
            f"INSERT INTO mailbox (bytes,messages,user) VALUES ({size},{count},'{user}')"  # noqa: S608
            f" ON CONFLICT (user) DO UPDATE SET bytes={size},messages={count}"
        )


def wait(look: Any) -> None:  # noqa: ANN401
    deadline = time.monotonic() + 10
    while not look():
        assert time.monotonic() < deadline
        time.sleep(0.01)


@pytest.fixture
def mail(tmp_path: Path) -> Path:
    root = tmp_path / "mail"
    for user in ("anna", "bert"):
        (root / user / "Maildir" / "cur").mkdir(parents=True)
        (root / user / "Maildir" / "cur" / "1").write_text("a letter")
    for folder in (place(root) / name for place in (public, public_homes) for name in ("offers", "bert")):
        folder.mkdir(parents=True)
        (folder / "1").write_text("a letter to many")
    (root / "lost+found").mkdir()
    (root / "file").write_text("")
    return root


def found(mail: Path) -> dict[Kind, frozenset[str]]:
    return {Kind.PERSONAL: present(mail), Kind.PUBLIC: present(public_homes(mail))}


@pytest.fixture
def ledger(mail: Path) -> Ledger:
    made = Ledger(mail / ".postboat" / "usage.sqlite")
    made.open(found(mail))
    return made


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    path = tmp_path / "directory.sqlite"
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("CREATE TABLE users (user TEXT, quota TEXT)")
        connection.execute("INSERT INTO users VALUES ('anna', '0')")
    return path


@pytest.fixture
def eraser(mail: Path, directory: Path, ledger: Ledger, children: Children) -> Eraser:
    return Eraser(mail, directory, ledger, children)


def test_every_real_change_has_a_number_and_nothing_else(ledger: Ledger) -> None:
    first = ledger.changes(0)
    assert {entry.user: entry.folder for entry in first.entries} == FOUND
    dovecot_writes(ledger, "anna", 10, 1)
    dovecot_writes(ledger, "new", 5, 1)
    second = ledger.changes(first.number)
    assert second.entries == (Entry("anna", 10, 1, Kind.PERSONAL), Entry("new", 5, 1, Kind(0)))
    dovecot_writes(ledger, "anna", 10, 1)
    assert ledger.changes(second.number).entries == ()
    ledger.note(Kind.PERSONAL, {"anna": True})
    assert ledger.changes(second.number).entries == ()
    ledger.note(Kind.PUBLIC, {"new": True})
    assert ledger.changes(second.number).entries == (Entry("new", 5, 1, Kind.PUBLIC),)
    ledger.note(Kind.PERSONAL, {"new": True})
    ledger.note(Kind.PUBLIC, {"new": False})
    assert ledger.changes(second.number).entries == (Entry("new", 5, 1, Kind.PERSONAL),)


def test_changes_come_in_pages(ledger: Ledger) -> None:
    ledger.note(Kind.PERSONAL, {f"user{number}": True for number in range(25)})
    seen: list[str] = []
    number, more = 0, True
    while more:
        page = ledger.changes(number, limit=10)
        seen += [entry.user for entry in page.entries]
        number, more = page.number, page.more
    assert len(seen) == len(set(seen)) == 28


def test_usage_survives_a_restart_and_a_gone_folder_does_not(ledger: Ledger, mail: Path) -> None:
    dovecot_writes(ledger, "anna", 10, 1)
    dovecot_writes(ledger, "bert", 20, 2)
    again = Ledger(ledger._path)
    again.open({Kind.PERSONAL: present(mail) - {"bert"}, Kind.PUBLIC: frozenset({"anna"})})
    assert again.epoch != ledger.epoch
    assert again.volume == ledger.volume != ""
    assert again.changes(0).entries == (Entry("anna", 10, 1, Kind.PERSONAL | Kind.PUBLIC),)
    again.open({Kind.PERSONAL: frozenset(), Kind.PUBLIC: frozenset({"anna"})})
    assert again.changes(0).entries == (Entry("anna", 10, 1, Kind.PUBLIC),)


def test_a_damaged_ledger_is_begun_anew(ledger: Ledger, mail: Path) -> None:
    for suffix in ("-wal", "-shm"):
        ledger._path.with_name(ledger._path.name + suffix).unlink(missing_ok=True)
    ledger._path.write_bytes(b"no database" * 1000)
    again = Ledger(ledger._path)
    again.open(found(mail))
    assert again.volume not in {"", ledger.volume}
    assert {entry.user: entry.folder for entry in again.changes(0).entries} == FOUND


def test_folders_are_followed(ledger: Ledger, mail: Path) -> None:
    Folders(mail, Kind.PERSONAL, ledger).start()
    Folders(public_homes(mail), Kind.PUBLIC, ledger).start()
    start = ledger.changes(0).number
    wait(lambda: ledger.folders(Kind.PERSONAL) == {"anna", "bert"})
    (mail / "cleo").mkdir()
    (mail / "Not A User").mkdir()
    (mail / "bert").rename(mail / "dora")
    wait(lambda: ledger.folders(Kind.PERSONAL) == {"anna", "cleo", "dora"})
    assert {entry.user for entry in ledger.changes(start).entries} == {"bert", "cleo", "dora"}
    (public(mail) / "made-by-a-client").mkdir()
    (public_homes(mail) / "orders").mkdir()
    wait(lambda: ledger.folders(Kind.PUBLIC) == {"bert", "offers", "orders"})
    assert ledger.folders(Kind.PERSONAL) == {"anna", "cleo", "dora"}


def test_lost_events_mean_a_look_at_everything(ledger: Ledger, mail: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (mail / "cleo").mkdir()
    lost = threading.Event()

    def names_(_self: object, _seconds: float) -> None:
        lost.set()
        time.sleep(0.05)

    monkeypatch.setattr(folders.Watch, "names", names_)
    Folders(mail, Kind.PERSONAL, ledger).start()
    assert lost.wait(5)
    wait(lambda: "cleo" in ledger.folders(Kind.PERSONAL))


NAMES = ("anna", "a.b", "a-b_c", "x" * 64, "", ".", "..", ".a", "a..b", "a/b", "x" * 65, "A")
DOMAINS = ("a.example", "xn--kln-sna.test", f"{'y' * 63}.{'z' * 63}.test", "A.example", "example", "", "a..b", "../b.c")
LONG = f"{'x' * 64}@{'y' * 63}.{'z' * 63}.test"


@pytest.mark.parametrize("name", [*NAMES, *(f"{name}@{domain}" for name in NAMES for domain in DOMAINS), "a@b.c@d.e"])
def test_agent_and_operator_agree_on_what_a_user_is_called(name: str) -> None:
    local, at, domain = name.partition("@")
    assert folders.valid(name) is (names.mailbox(local, domain if at else None) == name)


def test_the_longest_name_has_a_folder_in_the_trash_too(
    mail: Path, ledger: Ledger, children: Children, directory: Path
) -> None:
    longest = LONG[: -len("test")].ljust(names.LONGEST_USER, "t")
    assert len(longest) == names.LONGEST_USER
    assert folders.valid(longest)
    assert not folders.valid(f"{longest}t")
    (mail / longest).mkdir()
    (public_homes(mail) / longest).mkdir()
    eraser = Eraser(mail, directory, ledger, children)
    eraser.start()
    for kind in (Kind.PERSONAL, Kind.PUBLIC):
        assert eraser.erase(longest, kind) is Answer.ERASING
        wait(lambda kind=kind: eraser.erase(longest, kind) is Answer.DONE)  # type: ignore[misc]


def test_only_the_one_of_that_whole_name_is_erased(eraser: Eraser, mail: Path) -> None:
    others = ("bert@a.example", "bert@b.example")
    for user in others:
        (mail / user / "Maildir").mkdir(parents=True)
        (seen(mail) / user).mkdir(parents=True)
    given = rights(mail / "anna" / "Maildir" / ".Work", *(f"user={user} lr" for user in ("bert", *others)))
    keys = [f"shared/shared-boxes/user/{user}/anna\n1\n" for user in ("bert", *others)]
    (mail / ".shares").write_text("".join(keys))
    eraser.start()
    assert eraser.erase("bert@a.example", Kind.PERSONAL) is Answer.ERASING
    wait(lambda: eraser.erase("bert@a.example", Kind.PERSONAL) is Answer.DONE)
    assert present(mail) >= {"bert", "bert@b.example"}
    assert "bert@a.example" not in present(mail)
    assert [path.name for path in seen(mail).iterdir()] == ["bert@b.example"]
    assert given.read_text().splitlines() == ["user=bert lr", "user=bert@b.example lr"]
    assert eraser.erase("bert", Kind.PERSONAL) is Answer.ERASING
    wait(lambda: eraser.erase("bert", Kind.PERSONAL) is Answer.DONE)
    assert "bert@b.example" in present(mail)
    assert given.read_text().splitlines() == ["user=bert@b.example lr"]


def test_erasing_ends_with_nothing(eraser: Eraser, mail: Path, ledger: Ledger) -> None:
    dovecot_writes(ledger, "bert", 20, 2)
    eraser.start()
    assert eraser.erase("bert", Kind.PERSONAL) is Answer.ERASING
    assert not (mail / "bert").exists()
    wait(lambda: eraser.erase("bert", Kind.PERSONAL) is Answer.DONE)
    assert list((mail / ".postboat" / "trash").iterdir()) == []
    assert Entry("bert", None, None, Kind.PUBLIC) in ledger.changes(0).entries
    assert eraser.erase("bert", Kind.PERSONAL) is Answer.DONE
    assert (public(mail) / "bert" / "1").exists(), "a public mailbox of that name is somebody else's"


def test_what_clients_made_is_no_object_s_mail_to_be_erased(eraser: Eraser, mail: Path) -> None:
    (public(mail) / "theirs").mkdir()
    eraser.start()
    assert eraser.erase("theirs", Kind.PUBLIC) is Answer.DONE
    assert (public(mail) / "theirs").exists()


def test_a_public_mailbox_is_erased_with_all_that_is_kept_for_it(eraser: Eraser, mail: Path, ledger: Ledger) -> None:
    eraser.start()
    assert eraser.erase("offers", Kind.PUBLIC) is Answer.ERASING
    wait(lambda: eraser.erase("offers", Kind.PUBLIC) is Answer.DONE)
    assert not (public(mail) / "offers").exists()
    assert not (public_homes(mail) / "offers").exists()
    assert list((mail / ".postboat" / "trash").iterdir()) == []
    assert Entry("offers", None, None, Kind(0)) in ledger.changes(0).entries
    assert eraser.erase("bert", Kind.PUBLIC) is Answer.ERASING
    wait(lambda: eraser.erase("bert", Kind.PUBLIC) is Answer.DONE)
    assert (mail / "bert" / "Maildir" / "cur" / "1").exists(), "a person of that name is somebody else"
    assert eraser.erase("anna", Kind.PUBLIC) is Answer.LIVING


def test_the_living_and_strange_names_are_refused(eraser: Eraser, mail: Path) -> None:
    eraser.start()
    assert eraser.erase("anna", Kind.PERSONAL) is Answer.LIVING
    for name in ("", "..", "../anna", ".postboat", "anna/", "lost+found", "ANNA"):
        for kind in (Kind.PERSONAL, Kind.PUBLIC):
            assert eraser.erase(name, kind) is Answer.INVALID
    assert (mail / "anna" / "Maildir" / "cur" / "1").exists()


def test_without_a_directory_nobody_is_erased(mail: Path, ledger: Ledger, children: Children, tmp_path: Path) -> None:
    eraser = Eraser(mail, tmp_path / "none.sqlite", ledger, children)
    eraser.start()
    with pytest.raises(OSError, match="directory"):
        eraser.erase("bert", Kind.PERSONAL)
    assert (mail / "bert").exists()


class Hands(Children):
    """Takes down whose sessions are ended, and lets something happen meanwhile."""

    def __init__(self, meanwhile: Callable[[], None] = lambda: None, status: int = 0) -> None:
        self.kicked: list[str] = []
        self.meanwhile, self.status = meanwhile, status

    def run(self, command: Sequence[str], *, given: bytes = b"", seconds: float = 60) -> Outcome:
        assert given == b""
        assert seconds <= 10
        assert command[:2] == ("doveadm", "kick")
        self.kicked.append(command[2])
        self.meanwhile()
        return Outcome(self.status, "")


def enlist(directory: Path, user: str) -> None:
    with closing(sqlite3.connect(directory, isolation_level=None)) as connection:
        connection.execute("INSERT INTO users VALUES (?, '0')", (user,))


def test_a_name_that_is_given_anew_at_the_last_moment_keeps_its_mail(
    mail: Path, directory: Path, ledger: Ledger
) -> None:
    hands = Hands(lambda: enlist(directory, "bert"))
    eraser = Eraser(mail, directory, ledger, hands)
    eraser.start()
    assert eraser.erase("bert", Kind.PERSONAL) is Answer.LIVING
    assert hands.kicked == ["bert"]
    assert (mail / "bert" / "Maildir" / "cur" / "1").exists()


def test_what_cannot_be_deleted_holds_up_nobody_else(
    eraser: Eraser, mail: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, broken = eraser_module._delete, threading.Event()
    broken.set()

    def delete(path: Path) -> None:
        if path.name.startswith("anna") and broken.is_set():
            raise OSError("input/output error")
        real(path)

    monkeypatch.setattr(eraser_module, "_delete", delete)
    monkeypatch.setattr(eraser_module, "_AGAIN", 0.01)
    left = mail / ".postboat" / "trash" / "anna@1"
    left.mkdir(parents=True)
    eraser.start()
    assert eraser.erase("bert", Kind.PERSONAL) is Answer.ERASING
    wait(lambda: eraser.erase("bert", Kind.PERSONAL) is Answer.DONE)
    assert left.exists()
    broken.clear()
    wait(lambda: not left.exists())


def test_sessions_of_removed_users_are_ended_twice(directory: Path) -> None:
    hands = Hands()
    dismissal = Dismissal(directory, hands)
    dismissal.dismiss(["bert", "anna"])
    assert dismissal.look(), "a session that was just being opened shows only now"
    assert not dismissal.look()
    assert not dismissal.look()
    assert hands.kicked == ["bert", "bert"], "anna is in the directory"


def test_who_comes_back_keeps_his_sessions(directory: Path) -> None:
    hands = Hands()
    dismissal = Dismissal(directory, hands)
    dismissal.dismiss(["bert"])
    assert dismissal.look()
    enlist(directory, "bert")
    assert not dismissal.look()
    assert hands.kicked == ["bert"]


def test_sessions_are_looked_for_until_dovecot_has_answered(directory: Path) -> None:
    hands = Hands(status=75)
    dismissal = Dismissal(directory, hands)
    dismissal.dismiss(["bert"])
    assert all(dismissal.look() for _ in range(5))
    hands.status = 68
    assert dismissal.look()
    assert not dismissal.look()
    directory.unlink()
    dismissal.dismiss(["cleo"])
    assert dismissal.look(), "nobody knows whether she is there"
    assert "cleo" not in hands.kicked


def rights(folder: Path, *lines: str) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "dovecot-acl"
    path.write_text("".join(f"{line}\n" for line in lines))
    path.chmod(0o660)
    return path


def test_rights_end_with_the_mail_of_those_who_had_them(eraser: Eraser, mail: Path) -> None:
    shares = ("bert", "anna", "group/staff", "../etc")
    keys = [f"shared/shared-boxes/user/{to}/anna\n1\n" for to in ("bert", "bertha")]
    keys += [f"shared/shared-boxes/user/bert/{owner}\n1\n" for owner in shares]
    (mail / ".shares").write_text("".join(keys))
    mine = ("owner lr", "user=bertha lr", "group=bert lr", "user=anna lrs :named")
    of_anna = rights(mail / "anna" / "Maildir" / ".Work", *mine, "user=bert lrs", "-user=bert w")
    untouched = rights(mail / "anna" / "Maildir" / ".Other", *mine)
    before = untouched.stat()
    below = rights(public(mail) / "offers" / "north" / "far", "user=bert lrswi", "user=anna lr")
    (seen(mail) / "bert" / "offers").mkdir(parents=True)
    (seen(mail) / "anna").mkdir()
    eraser.start()
    assert eraser.erase("bert", Kind.PERSONAL) is Answer.ERASING
    wait(lambda: eraser.erase("bert", Kind.PERSONAL) is Answer.DONE)
    assert of_anna.read_text().splitlines() == list(mine)
    assert of_anna.stat().st_mode & 0o777 == 0o660
    assert (untouched.stat().st_ino, untouched.stat().st_mtime_ns) == (before.st_ino, before.st_mtime_ns)
    assert below.read_text() == "user=anna lr\n"
    assert sorted(path.name for path in seen(mail).iterdir()) == ["anna"]
    assert not list(mail.rglob("*.lock"))


def test_who_only_read_public_mailboxes_here_leaves_nothing_either(eraser: Eraser, mail: Path) -> None:
    (seen(mail) / "cleo").mkdir(parents=True)
    eraser.start()
    assert eraser.erase("cleo", Kind.PERSONAL) is Answer.ERASING
    wait(lambda: eraser.erase("cleo", Kind.PERSONAL) is Answer.DONE)
    assert not (seen(mail) / "cleo").exists()


def test_rights_that_dovecot_is_changing_are_waited_for(
    eraser: Eraser, mail: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(eraser_module, "_AGAIN", 0.01)
    path = rights(public(mail) / "offers", "user=bert lr")
    lock = path.with_name("dovecot-acl.lock")
    lock.touch()
    eraser.start()
    assert eraser.erase("bert", Kind.PERSONAL) is Answer.ERASING
    time.sleep(0.1)
    assert eraser.erase("bert", Kind.PERSONAL) is Answer.ERASING
    assert path.read_text() == "user=bert lr\n"
    os.utime(lock, (0, 0))
    wait(lambda: eraser.erase("bert", Kind.PERSONAL) is Answer.DONE)
    assert path.read_text() == ""


def test_rights_of_whoever_is_there_again_stay(mail: Path, directory: Path, ledger: Ledger) -> None:
    path = rights(public(mail) / "offers", "user=anna lr", "user=bert lr")
    for entry in ("anna@1", "bert@public@1"):
        (mail / ".postboat" / "trash" / entry).mkdir(parents=True)
    Eraser(mail, directory, ledger, Hands()).start()
    wait(lambda: not list((mail / ".postboat" / "trash").iterdir()))
    assert path.read_text() == "user=anna lr\nuser=bert lr\n"


def test_a_link_is_not_followed(eraser: Eraser, mail: Path, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "keep").write_text("")
    (mail / "link").symlink_to(outside)
    eraser.start()
    assert eraser.erase("link", Kind.PERSONAL) is Answer.ERASING
    wait(lambda: eraser.erase("link", Kind.PERSONAL) is Answer.DONE)
    assert (outside / "keep").exists()


def test_what_a_killed_agent_left_is_deleted_by_the_next(eraser: Eraser, mail: Path) -> None:
    left = mail / ".postboat" / "trash" / "bert@1"
    (left / "Maildir").mkdir(parents=True)
    assert eraser._waiting("bert", Kind.PERSONAL)
    assert not eraser._waiting("bert", Kind.PUBLIC)
    shared = left.with_name("anna@public@1")
    shared.mkdir()
    assert eraser._waiting("anna", Kind.PUBLIC)
    assert not eraser._waiting("anna", Kind.PERSONAL)
    eraser.start()
    wait(lambda: not left.exists() and not shared.exists())


@pytest.fixture
def endpoint(tmp_path: Path, ledger: Ledger, eraser: Eraser) -> Endpoint:
    active = tmp_path / "active"
    active.mkdir()
    for name in ("store.crt", "store.key"):
        (active / name).write_bytes((KEYS / name).read_bytes())
    (active / "operator.token").write_text("right\n")
    eraser.start()
    made = Endpoint(0, active, ledger, eraser)
    made.start()
    return made


def ask(endpoint: Endpoint, token: str | None, method: str, target: str, body: str = "") -> tuple[int, Any]:
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    connection = http.client.HTTPSConnection("127.0.0.1", endpoint.port, context=context, timeout=10)
    with closing(connection):
        headers = {} if token is None else {"Authorization": f"Bearer {token}"}
        connection.request(method, target, body or None, headers)
        response = connection.getresponse()
        return response.status, json.loads(response.read())


def test_requests_without_the_secret_are_refused(endpoint: Endpoint, mail: Path) -> None:
    for token in (None, "", "wrong", "righ", "rightt", "r\xefght"):
        assert ask(endpoint, token, "GET", "/v1/mailboxes") == (401, {"error": "unauthorized"})
        assert ask(endpoint, token, "POST", "/v1/erase", '{"user": "bert"}')[0] == 401
    assert (mail / "bert").exists()


def test_a_store_without_a_secret_admits_nobody(endpoint: Endpoint, tmp_path: Path) -> None:
    (tmp_path / "active" / "operator.token").write_text("\n")
    assert ask(endpoint, "", "GET", "/v1/mailboxes")[0] == 401
    (tmp_path / "active" / "operator.token").unlink()
    assert ask(endpoint, "right", "GET", "/v1/mailboxes")[0] == 401


def test_the_operator_reads_changes_and_orders(endpoint: Endpoint, ledger: Ledger, mail: Path) -> None:
    code, page = ask(endpoint, "right", "GET", "/v1/mailboxes")
    assert (code, sorted(page["mailboxes"])) == (
        200,
        [["anna", None, None, 1], ["bert", None, None, 3], ["offers", None, None, 2]],
    )
    target = f"/v1/mailboxes?epoch={page['epoch']}&since={page['number']}"
    assert ask(endpoint, "right", "GET", target)[1]["mailboxes"] == []
    dovecot_writes(ledger, "anna", 10, 1)
    assert ask(endpoint, "right", "GET", target)[1]["mailboxes"] == [["anna", 10, 1, 1]]
    other_run = f"/v1/mailboxes?epoch=other&since={page['number'] + 100}"
    assert len(ask(endpoint, "right", "GET", other_run)[1]["mailboxes"]) == 3
    assert ask(endpoint, "right", "POST", "/v1/erase", '{"user": "anna"}') == (409, {"state": "living"})
    assert ask(endpoint, "right", "POST", "/v1/erase", '{"user": "../x"}') == (400, {"state": "invalid"})
    assert ask(endpoint, "right", "POST", "/v1/erase", '{"user": "bert"}')[0] == 200
    wait(lambda: ask(endpoint, "right", "POST", "/v1/erase", '{"user": "bert"}')[1] == {"state": "done"})
    assert not (mail / "bert").exists()
    wait(lambda: ask(endpoint, "right", "POST", "/v1/erase-public", '{"user": "bert"}')[1] == {"state": "done"})
    assert not (public(mail) / "bert").exists()


def test_strange_requests_get_an_error_and_no_more(endpoint: Endpoint) -> None:
    assert ask(endpoint, "right", "GET", "/v1/mailboxes?since=x&epoch=")[0] in {200, 400}
    assert ask(endpoint, "right", "GET", "/v1/erase")[0] == 405
    assert ask(endpoint, "right", "GET", "/nothing")[0] == 404
    for body in ("", "no json", "[]", "{}", '{"user": 1}'):
        assert ask(endpoint, "right", "POST", "/v1/erase", body)[0] == 400
