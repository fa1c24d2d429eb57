"""What is missing when a store comes back on another volume, and what is not."""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING

import pytest

from postboat.model.retention.inventory import Holding, Inventory
from postboat.model.volumes import Missing, StoreVolume, accepted, judged, missing
from tests.golden import world

if TYPE_CHECKING:
    from postboat.api import Resource

NOW = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)
NEW = StoreVolume(0, "new")
SINCE = "2026-01-01T00:00:00Z"


def mailbox(name: str, messages: int = 3, store: int = 0, username: str = "", **spec: object) -> Resource:
    status = {"store": store, "username": username or name, "usage": {"bytes": 10 * messages, "messages": messages}}
    return world.resource("Mailbox", name, spec, status=status)


def inventory(*holdings: Holding) -> Inventory:
    made = Inventory()
    for holding in holdings:
        made.record(holding, NOW)
    return made


@pytest.mark.parametrize("known", [True, False])
def test_what_is_gone_as_a_whole_is_missing(*, known: bool) -> None:
    mailboxes = [mailbox("anna"), mailbox("bert", 2), mailbox("cleo", 0)]
    found = missing(mailboxes, inventory(), NEW, SINCE, known=known)
    assert found == Missing("new", 2, 5, 50, SINCE)


def test_what_came_since_does_not_hide_the_rest() -> None:
    held = inventory(Holding("anna", 0, 10, 1), Holding("bert", 0, 90, 9))
    mailboxes = [mailbox("anna"), mailbox("bert")]
    assert missing(mailboxes, held, NEW, SINCE, known=True) == Missing("new", 1, 2, 20, SINCE)
    assert missing(mailboxes, held, NEW, SINCE, known=False) is None, "users delete mail"


@pytest.mark.parametrize(
    "one",
    [
        mailbox("anna", store=1),
        mailbox("anna", username="former"),
        world.resource("Mailbox", "anna", {}, status={"store": 0, "username": "anna"}),
    ],
)
def test_what_is_elsewhere_or_was_never_there_is_not_missing(one: Resource) -> None:
    assert missing([one], inventory(), NEW, SINCE, known=True) is None


def test_a_folder_that_nobody_has_counted_is_there() -> None:
    """A backup of the files brings them back without the ledger."""
    assert missing([mailbox("anna")], inventory(Holding("anna", 0)), NEW, SINCE, known=True) is None


def test_a_volume_counts_until_another_one_lacks_mail() -> None:
    lost = Missing("new", 2, 5, 50, SINCE)
    old = StoreVolume(0, "old")
    assert judged(None, NEW, 0, lambda _: None) == NEW
    assert judged(None, NEW, 0, lambda _: lost) == StoreVolume(0, "", lost), "statuses remember more than the server"
    assert judged(old, NEW, 0, lambda _: None) == NEW, "nothing was on it"
    waits = judged(old, NEW, 0, lambda _: lost)
    assert waits == StoreVolume(0, "old", lost)
    assert judged(waits, NEW, 0, lambda _: None) == waits, "the pod was made anew"
    assert judged(waits, old, 9, lambda _: None) == old
    third = StoreVolume(0, "third")
    assert judged(waits, third, 2, lambda _: None) == third, "the files came back from a backup"
    again = judged(waits, third, 1, lambda _: None)
    assert again == StoreVolume(0, "old", Missing("third", 2, 5, 50, SINCE)), "that one is empty too"
    assert accepted(waits, {"new"}) == NEW
    assert accepted(waits, {"old"}) == waits
    assert accepted(old, {"new"}) == old
