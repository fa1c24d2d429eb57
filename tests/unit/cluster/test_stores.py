"""The operator side of the channel against the store side of it: what is told, ordered, refused and disbelieved."""

from __future__ import annotations

import sqlite3
import threading
import time
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from postboat.agent.children import Children
from postboat.agent.mailstore.endpoint import Endpoint
from postboat.agent.mailstore.eraser import Eraser
from postboat.agent.mailstore.folders import present
from postboat.agent.mailstore.ledger import PAGE, Kind, Ledger
from postboat.cluster import stores
from postboat.cluster.observe import Pod
from postboat.cluster.stores import ERASED, LIVING, Access, Cursor, StoreChanges, StoredMailbox, StoreError, Stores
from postboat.model.retention.claims import MailKind

if TYPE_CHECKING:
    from collections.abc import Iterator

KEYS = Path(__file__).parents[2] / "golden" / "keys"
POD = Pod("mail", "mail-store-0", "uid", "mail", "store", "127.0.0.1", "Running", True, False, 0, ("dovecot",), {})  # noqa: FBT003


@pytest.fixture
def ledger(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Ledger:
    """A store with the mail of anna and bert, of whom anna is alive."""
    mail, active = tmp_path / "mail", tmp_path / "active"
    for user in ("anna", "bert"):
        (mail / user).mkdir(parents=True)
    active.mkdir()
    for name in ("store.crt", "store.key"):
        (active / name).write_bytes((KEYS / name).read_bytes())
    (active / "operator.token").write_text("right\n")
    directory = tmp_path / "directory.sqlite"
    with closing(sqlite3.connect(directory, isolation_level=None)) as connection:
        connection.execute("CREATE TABLE users (user TEXT)")
        connection.execute("INSERT INTO users VALUES ('anna')")
    made = Ledger(mail / ".postboat" / "usage.sqlite")
    made.open({Kind.PERSONAL: present(mail), Kind.PUBLIC: frozenset()})
    eraser = Eraser(mail, directory, made, Children())
    monkeypatch.setattr(eraser, "_put_away", lambda user, _: (mail / user).rename(eraser._trash / f"{user}@1"))
    eraser.start()
    endpoint = Endpoint(0, active, made, eraser)
    endpoint.start()
    monkeypatch.setattr(stores, "INVENTORY_PORT", endpoint.port)
    return made


@pytest.fixture
def client() -> Iterator[Stores]:
    made = Stores()
    yield made
    made.stop()


def access(token: str = "right", host: str = "mail-store-0.mail-store.mail.svc.cluster.local") -> Access:  # noqa: S107 - the secret of the test
    return Access((KEYS / "ca.crt").read_bytes(), token, lambda _: host)


def changes(client: Stores, cursor: Cursor, given: Access | None = None) -> StoreChanges:
    answer = client.poll(given or access(), {0: (POD, cursor)})[0]
    assert isinstance(answer, StoreChanges), answer
    return answer


@pytest.mark.usefixtures("ledger")
def test_everything_comes_first_and_then_only_what_is_new(client: Stores, ledger: Ledger) -> None:
    first = changes(client, Cursor())
    assert first.whole
    assert sorted(told.user for told in first.mailboxes) == ["anna", "bert"]
    assert first.volume == ledger.volume
    assert first.volume
    second = changes(client, first.cursor)
    assert (second.mailboxes, second.whole, second.cursor) == ((), False, first.cursor)
    ledger.note(Kind.PERSONAL, {"bert": False})
    ledger.note(Kind.PUBLIC, {"offers": True})
    told = changes(client, first.cursor).mailboxes
    assert told == (
        StoredMailbox("bert", None, None, MailKind.NONE),
        StoredMailbox("offers", None, None, MailKind.PUBLIC),
    )


@pytest.mark.usefixtures("ledger")
@pytest.mark.parametrize("address", ["127.0.0.1", "::1"])
def test_stores_are_asked_by_either_family(client: Stores, address: str) -> None:
    answer = client.poll(access(), {0: (replace(POD, ip=address), Cursor())})[0]
    assert isinstance(answer, StoreChanges), answer
    assert len(answer.mailboxes) == 2


def test_many_mailboxes_come_in_pages(client: Stores, ledger: Ledger) -> None:
    ledger.note(Kind.PERSONAL, {f"user{number}": True for number in range(PAGE + 5)})
    whole = changes(client, Cursor())
    assert whole.whole
    assert len({told.user for told in whole.mailboxes}) == PAGE + 7


@pytest.mark.usefixtures("ledger")
def test_another_run_of_the_agent_tells_everything(client: Stores) -> None:
    first = changes(client, Cursor())
    again = changes(client, Cursor("another", first.cursor.number))
    assert again.whole
    assert len(again.mailboxes) == 2


def test_stores_that_hang_delay_no_other_platform_and_are_asked_last(
    client: Stores, monkeypatch: pytest.MonkeyPatch
) -> None:
    hang = threading.Event()

    def played(_self: Stores, given: Access, store: int, _pod: Pod, cursor: Cursor) -> StoreChanges:
        if given.token == "hangs" and store < 20:
            hang.wait(0.2)
            raise StoreError("it does not answer")
        return StoreChanges(cursor, (), whole=True)

    monkeypatch.setattr(Stores, "_changes", played)
    monkeypatch.setattr(stores, "POLL_TIMEOUT", 0.3)
    asked = {store: (POD, Cursor()) for store in range(24)}
    hanging = threading.Thread(target=client.poll, args=(access("hangs"), asked))
    hanging.start()
    other = Stores()
    begun = time.monotonic()
    assert isinstance(other.poll(access(), {0: (POD, Cursor())})[0], StoreChanges)
    assert time.monotonic() - begun < 0.2, "they share nothing"
    other.stop()
    hanging.join(10)
    begun = time.monotonic()
    answers = client.poll(access("hangs"), asked)
    assert time.monotonic() - begun < 2, "20 stores that hang, eight at a time, are not all waited for"
    assert all(isinstance(answers[store], StoreChanges) for store in range(20, 24)), "those that answer come first"
    assert any("no time" in str(answers[store]) for store in range(20))


@pytest.mark.usefixtures("ledger")
def test_an_order_is_repeated_until_it_is_done(client: Stores) -> None:
    assert client.erase(access(), 0, POD, ("anna", MailKind.PERSONAL)) == LIVING
    deadline = time.monotonic() + 10
    while client.erase(access(), 0, POD, ("bert", MailKind.PERSONAL)) != ERASED:
        assert time.monotonic() < deadline
    with pytest.raises(StoreError, match="400"):
        client.erase(access(), 0, POD, ("../anna", MailKind.PERSONAL))


@pytest.mark.usefixtures("ledger")
@pytest.mark.parametrize(
    "given", [access(token="wrong"), access(token=""), access(host="mail-store-0.other.svc.cluster.local")]
)
def test_who_cannot_prove_himself_is_not_spoken_to(client: Stores, given: Access) -> None:
    answer = client.poll(given, {0: (POD, Cursor())})[0]
    assert isinstance(answer, StoreError)
    assert "anna" not in str(answer)


def test_a_store_that_is_away_is_an_answer(client: Stores, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stores, "INVENTORY_PORT", 9)
    assert isinstance(client.poll(access(), {0: (POD, Cursor())})[0], StoreError)
