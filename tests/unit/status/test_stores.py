"""Stores that came back without their mail: what the MailServer says, remembers, and lets people accept."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from postboat.model.resolve import resolve
from postboat.model.volumes import Missing, StoreVolume
from postboat.status import volumes
from postboat.status.observation import Moment, Observation
from postboat.status.server import report_server
from tests.golden import world

OWN = {content.name: content for content in (world.internal("mail", "mail"), world.self_signed("mail", "mail"))}
GONE = Missing("new", 2, 30, 5 << 20, "2026-11-01T00:00:00Z")
LOST = StoreVolume(1, "old", GONE)
FINE = StoreVolume(0, "first")


def reported(*stores: StoreVolume, status: dict[str, Any] | None = None) -> dict[str, Any] | None:
    """Report a server whose stores have told of these volumes; of nothing where there are none."""
    planned = world.planned(resolve(world.of(world.server(), (), OWN)))
    server = replace(world.server(), status=status or {})
    seen = Observation(volumes=stores or None)
    return report_server(server, planned.verdicts["MailServer", "mail"], planned, seen, Moment(world.NOW))


def told(*stores: StoreVolume) -> dict[str, Any]:
    made = reported(*stores)
    assert made is not None
    return made


def present(status: dict[str, Any]) -> dict[str, str] | None:
    return next((one for one in status["conditions"] if one["type"] == "MailPresent"), None)


def test_while_all_stores_have_their_volumes_mail_is_present() -> None:
    status = told(StoreVolume(1, "second"), FINE)
    condition = present(status)
    assert condition is not None
    assert (condition["status"], condition["reason"]) == ("True", "MailPresent")
    assert status["stores"] == [{"store": 0, "volume": "first"}, {"store": 1, "volume": "second"}]


def test_a_store_on_another_volume_is_told_with_what_it_lacks_and_the_cure() -> None:
    status = told(LOST, FINE)
    condition = present(status)
    assert condition is not None
    assert (condition["status"], condition["reason"]) == ("False", "StoreEmpty")
    assert "store 1 lacks 30 messages (5.0 MiB) of 2 mailboxes since 2026-11-01T00:00:00Z" in condition["message"]
    assert "claim mail-mail-store-1 from a backup" in condition["message"]
    accept = "kubectl -n mail annotate --overwrite msrv mail postboat.dev/accept-volumes=new"
    assert condition["message"].endswith(accept)
    assert "store 0" not in condition["message"]
    missing = {"volume": "new", "mailboxes": 2, "messages": 30, "bytes": 5 << 20, "since": "2026-11-01T00:00:00Z"}
    assert status["stores"] == [{"store": 0, "volume": "first"}, {"store": 1, "volume": "old", "missing": missing}]


@pytest.mark.parametrize(("count", "more"), [(3, ""), (4, "; and 1 more stores"), (5, "; and 2 more stores")])
def test_of_many_such_stores_some_are_named_and_all_can_be_accepted(count: int, more: str) -> None:
    stores = [StoreVolume(store, "", replace(GONE, volume=f"v{store}")) for store in reversed(range(count))]
    status = told(*stores)
    condition = present(status)
    assert condition is not None
    assert [f"store {store} lacks" in condition["message"] for store in range(count)] == [n < 3 for n in range(count)]
    assert ("more stores" in condition["message"]) is bool(more)
    assert more in condition["message"]
    assert condition["message"].endswith("=" + ",".join(f"v{store}" for store in range(count)))
    assert "volume" not in status["stores"][0], "only the loss is known"


def test_what_the_status_says_is_what_the_next_operator_knows() -> None:
    status = told(LOST, FINE, StoreVolume(2, "", GONE))
    assert volumes.read(status) == (FINE, LOST, StoreVolume(2, "", GONE))
    assert reported(status=status) is None, "there is nothing new to say while no store has told"


def test_a_status_that_lacks_words_or_numbers_is_read_as_nothing() -> None:
    spoilt = {"stores": [{"store": 3}, {"store": 4, "volume": None, "missing": {"volume": "v"}}]}
    assert volumes.read(spoilt) == (StoreVolume(3, ""), StoreVolume(4, "", Missing("v", 0, 0, 0, "")))
    assert volumes.read({}) == ()
    assert volumes.read({"stores": None}) == ()


def test_without_a_word_of_volumes_nothing_is_claimed() -> None:
    status = told()
    assert present(status) is None
    assert "stores" not in status


@pytest.mark.parametrize(
    ("written", "accepted"),
    [("a", {"a"}), ("a,b", {"a", "b"}), (" a, b  c ", {"a", "b", "c"}), ("", set()), (",", set())],
)
def test_volumes_are_accepted_by_name(written: str, accepted: set[str]) -> None:
    assert volumes.accepts({"postboat.dev/accept-volumes": written, "other": "x"}) == accepted
    assert volumes.accepts({}) == frozenset()
