"""What becomes of mail, as a table: state of the Mailbox, reclaim policy, rivals, state of the MailServer, decision."""

from __future__ import annotations

from dataclasses import replace
from itertools import product
from typing import TYPE_CHECKING, Any, Final

import pytest

from postboat.model.retention.claims import Claim, MailKind, Ownership, by_age, claim_of, claim_on, ownership, owns
from postboat.model.retention.inventory import Holding, Inventory, ReportedOrphans, listed_since
from postboat.model.retention.placement import MailLocations, placement, store_in_status
from postboat.model.retention.reclaim import (
    FINALIZER,
    ObservedMailbox,
    Step,
    decide,
    finalizer_is_useless,
    holds_user_name,
)
from postboat.model.verdict import Reason
from tests.golden import world

if TYPE_CHECKING:
    from postboat.api import Resource

RETAIN, DELETE = {"reclaimPolicy": "Retain"}, {"reclaimPolicy": "Delete"}
DEFAULT: Final[dict[str, Any]] = {}
GROUP, UNREADABLE = {"type": "Group", **DELETE}, {"quota": "nonsense", **DELETE}
POLICIES = {"retain": RETAIN, "delete": DELETE, "default": DEFAULT, "group": GROUP, "unreadable": UNREADABLE}

RIVALS = {
    "none": (),
    "younger": (("2026-01-03", False),),
    "older": (("2026-01-01", False),),
    "older, under deletion": (("2026-01-01", True),),
    "older and younger": (("2026-01-03", False), ("2026-01-01", False)),
}
SERVERS: dict[str, Resource | None] = {
    "there": world.server(),
    "deletes by default": world.server(mailboxes=DELETE),
    "paused": world.server(paused=True),
    "deleting": replace(world.server(), deleting=True),
    "gone": None,
}
STATES = {
    "living": (False, False),
    "living, finalizer": (False, True),
    "deleting, finalizer": (True, True),
    "deleting": (True, False),
}


def stored(*holdings: Holding) -> Inventory:
    inventory = Inventory()
    for holding in holdings:
        inventory.record(holding, world.NOW)
    return inventory


HELD = stored(Holding("anna", 1, 10, 1))


def observed(
    state: str, policy: str, rivals: str, server: str, owned: Ownership = Ownership.OURS, **status: object
) -> ObservedMailbox:
    deleting, has_finalizer = STATES[state]
    made = world.resource("Mailbox", "anna", POLICIES[policy], "2026-01-02", status=status)
    mailbox = replace(made, deleting=deleting, finalizers=(FINALIZER,) if has_finalizer else ())
    others = tuple(
        replace(world.resource("Mailbox", f"rival{number}", {"username": "anna"}, created), deleting=gone)
        for number, (created, gone) in enumerate(RIVALS[rivals])
    )
    return ObservedMailbox(mailbox, owned, SERVERS[server], others)


@pytest.mark.parametrize(
    ("state", "policy", "rivals", "server", "step"),
    [
        # a living Mailbox has the finalizer while its mail would be erased with it
        ("living", "delete", "none", "there", Step.ADD_FINALIZER),
        ("living", "default", "none", "deletes by default", Step.ADD_FINALIZER),
        ("living", "delete", "younger", "there", Step.ADD_FINALIZER),
        ("living, finalizer", "delete", "none", "there", Step.NOTHING),
        ("living", "retain", "none", "deletes by default", Step.NOTHING),
        ("living", "default", "none", "there", Step.NOTHING),
        ("living", "group", "none", "there", Step.NOTHING),
        ("living", "unreadable", "none", "deletes by default", Step.NOTHING),
        ("living", "delete", "older", "there", Step.NOTHING),
        ("living", "delete", "older, under deletion", "there", Step.NOTHING),
        ("living, finalizer", "retain", "none", "there", Step.REMOVE_FINALIZER),
        ("living, finalizer", "delete", "older", "there", Step.REMOVE_FINALIZER),
        ("living, finalizer", "unreadable", "none", "there", Step.REMOVE_FINALIZER),
        ("living, finalizer", "delete", "none", "deleting", Step.REMOVE_FINALIZER),
        # nothing is written to a living one while the MailServer is paused or gone
        ("living", "delete", "none", "paused", Step.NOTHING),
        ("living, finalizer", "retain", "none", "paused", Step.NOTHING),
        ("living, finalizer", "retain", "none", "gone", Step.NOTHING),
        # one under deletion erases what it owns
        ("deleting, finalizer", "delete", "none", "there", Step.ERASE),
        ("deleting, finalizer", "delete", "younger", "there", Step.ERASE),
        ("deleting, finalizer", "default", "none", "deletes by default", Step.ERASE),
        # and keeps everything else
        ("deleting, finalizer", "retain", "none", "deletes by default", Step.REMOVE_FINALIZER),
        ("deleting, finalizer", "default", "none", "there", Step.REMOVE_FINALIZER),
        ("deleting, finalizer", "group", "none", "there", Step.REMOVE_FINALIZER),
        ("deleting, finalizer", "unreadable", "none", "there", Step.REMOVE_FINALIZER),
        ("deleting, finalizer", "delete", "older", "there", Step.REMOVE_FINALIZER),
        ("deleting, finalizer", "delete", "older, under deletion", "there", Step.REMOVE_FINALIZER),
        ("deleting, finalizer", "delete", "older and younger", "there", Step.REMOVE_FINALIZER),
        ("deleting, finalizer", "delete", "none", "deleting", Step.REMOVE_FINALIZER),
        ("deleting, finalizer", "delete", "none", "gone", Step.REMOVE_FINALIZER),
        # a pause holds up the erasing, not the keeping
        ("deleting, finalizer", "delete", "none", "paused", Step.WAIT),
        ("deleting, finalizer", "retain", "none", "paused", Step.REMOVE_FINALIZER),
        # without the finalizer it is too late to erase
        ("deleting", "delete", "none", "there", Step.NOTHING),
    ],
)
def test_decisions(state: str, policy: str, rivals: str, server: str, step: Step) -> None:
    assert decide(observed(state, policy, rivals, server), HELD, complete=True).step is step


def test_mail_is_erased_in_no_other_case() -> None:
    for case in product(STATES, POLICIES, RIVALS, SERVERS, Ownership, (True, False)):
        state, policy, rivals, server, owned, complete = case
        decision = decide(observed(state, policy, rivals, server, owned, store=1), HELD, complete=complete)
        asked_for = policy == "delete" or (policy, server) == ("default", "deletes by default")
        oldest = rivals in {"none", "younger"}
        there = server in {"there", "deletes by default"}
        erased = state == "deleting, finalizer" and asked_for and oldest and there and owned is Ownership.OURS
        assert (decision.step is Step.ERASE) is erased, case


@pytest.mark.parametrize("state", STATES)
def test_a_mailbox_of_another_mailserver_is_left_alone(state: str) -> None:
    for policy, server in product(POLICIES, SERVERS):
        seen = observed(state, policy, "none", server, Ownership.OTHER)
        assert decide(seen, HELD, complete=True).step is Step.NOTHING


@pytest.mark.parametrize("state", STATES)
def test_where_nobody_knows_the_mailserver_the_mail_is_kept(state: str) -> None:
    step = decide(observed(state, "delete", "none", "there", Ownership.UNKNOWN), HELD, complete=True).step
    assert step is (Step.REMOVE_FINALIZER if "finalizer" in state else Step.NOTHING)


@pytest.mark.parametrize(
    ("placed", "inventory", "complete", "step", "stores"),
    [
        (None, stored(), True, Step.REMOVE_FINALIZER, ()),
        (None, stored(), False, Step.WAIT, ()),
        (None, HELD, False, Step.WAIT, ()),
        (None, HELD, True, Step.ERASE, (1,)),
        (0, stored(), False, Step.ERASE, (0,)),
        (0, HELD, True, Step.ERASE, (0, 1)),
        (64, stored(), True, Step.REMOVE_FINALIZER, ()),
        (-1, stored(), False, Step.WAIT, ()),
        (0, stored(Holding("anna", 2, kind=MailKind.PUBLIC)), True, Step.ERASE, (0,)),
    ],
)
def test_the_stores_that_erase(
    placed: int | None,
    inventory: Inventory,
    complete: bool,  # noqa: FBT001
    step: Step,
    stores: tuple[int, ...],
) -> None:
    status = {} if placed is None else {"store": placed}
    decision = decide(
        observed("deleting, finalizer", "delete", "none", "there", **status), inventory, complete=complete
    )
    assert (decision.step, decision.stores) == (step, stores)


def test_a_pause_has_a_reason_of_its_own() -> None:
    decision = decide(observed("deleting, finalizer", "delete", "none", "paused"), HELD, complete=False)
    assert decision.reason is Reason.PAUSED
    waits = decide(observed("deleting, finalizer", "delete", "none", "there"), HELD, complete=False)
    assert waits.reason is Reason.STORE_UNAVAILABLE


@pytest.mark.parametrize(
    ("spec", "status", "claim"),
    [
        ({}, {}, Claim("anna", MailKind.PERSONAL)),
        ({"username": "bert"}, {}, Claim("bert", MailKind.PERSONAL)),
        ({"type": "Public"}, {}, Claim("anna", MailKind.PUBLIC)),
        ({"type": "Group"}, {}, Claim("anna", MailKind.NONE)),
        ({"domain": "a.example"}, {}, Claim("anna@a.example", MailKind.PERSONAL)),
        ({"quota": "nonsense"}, {}, Claim("anna", MailKind.PERSONAL | MailKind.PUBLIC)),
        ({"quota": "nonsense"}, {"username": "bert"}, Claim("bert", MailKind.PERSONAL | MailKind.PUBLIC)),
        ({"quota": "nonsense"}, {"username": "b@a.example"}, Claim("b@a.example", MailKind.PERSONAL | MailKind.PUBLIC)),
    ],
)
def test_claims(spec: dict[str, Any], status: dict[str, Any], claim: Claim) -> None:
    assert claim_of(world.resource("Mailbox", "anna", spec, status=status)) == claim


def test_a_name_that_is_no_user_name_claims_nothing() -> None:
    assert claim_of(world.resource("Mailbox", "x" * 65, {})) is None


@pytest.mark.parametrize(
    ("spec", "servers", "owned"),
    [
        ({}, ("mail", "other"), Ownership.OURS),
        ({}, ("other", "mail"), Ownership.OTHER),
        ({"server": "mail"}, ("other", "mail"), Ownership.OURS),
        ({"server": "other"}, ("mail", "other"), Ownership.OTHER),
        ({"server": "nowhere"}, ("mail",), Ownership.UNKNOWN),
        ({"quota": "nonsense"}, ("mail", "other"), Ownership.UNKNOWN),
        ({}, (), Ownership.UNKNOWN),
    ],
)
def test_ownership(spec: dict[str, Any], servers: tuple[str, ...], owned: Ownership) -> None:
    mailbox = world.resource("Mailbox", "anna", spec)
    assert ownership(mailbox, "mail", servers) is owned
    assert (claim_on(mailbox, "mail", servers) is None) is (owned is Ownership.OTHER)
    assert claim_on(None, "mail", servers) is None


def test_the_oldest_claimant_is_the_owner() -> None:
    first, second, third = (world.resource("Mailbox", name, {}, f"2026-01-0{day}") for day, name in enumerate("cab", 1))
    assert by_age((third, first, second)) == [first, second, third]
    assert owns(first, (second, third))
    assert owns(first, ())
    assert not owns(third, (second,))


def test_rivals_are_the_other_claimants_of_the_user_name() -> None:
    inventory = stored()
    for name, user in (("anna", "anna"), ("copy", "anna"), ("bert", "bert")):
        inventory.set_claim(name, Claim(user, MailKind.NONE), world.NOW)
    assert inventory.rivals(world.resource("Mailbox", "anna", {})) == {"copy"}
    assert inventory.rivals(world.resource("Mailbox", "new", {"username": "anna"})) == {"anna", "copy"}
    assert inventory.rivals(world.resource("Mailbox", "x" * 65, {})) == frozenset()


@pytest.mark.parametrize(
    ("holdings", "home"),
    [
        ((), None),
        ((Holding("anna", 2), Holding("anna", 1)), 1),
        ((Holding("anna", 0), Holding("anna", 1, 0, 1)), 1),
        ((Holding("anna", 0), Holding("anna", 1, 1, 0)), 1),
        ((Holding("anna", 0, 9, 1), Holding("anna", 1, 1, 2)), 1),
        ((Holding("anna", 0, 9, 1, MailKind.PUBLIC), Holding("anna", 1)), 1),
    ],
)
def test_the_home_is_the_store_with_most_of_the_mail(holdings: tuple[Holding, ...], home: int | None) -> None:
    assert stored(*holdings).home("anna") == home


def test_the_inventory_gives_the_users_that_a_change_concerns() -> None:
    inventory = stored(Holding("anna", 0, 1, 1), Holding("bert", 2))
    assert inventory.highest_store == 2
    assert inventory.replace(0, {"cleo": Holding("cleo", 0)}, world.NOW) == {"anna", "cleo"}
    assert inventory.replace(2, {"bert": Holding("bert", 2)}, world.NOW) == set()
    assert inventory.set_claim("m", Claim("bert", MailKind.PERSONAL), world.NOW) == {"bert"}
    assert inventory.set_claim("m", Claim("cleo", MailKind.PERSONAL), world.NOW) == {"bert", "cleo"}
    assert inventory.mailboxes == {"m"}
    inventory.discard("bert", 2, world.NOW)
    inventory.discard("cleo", 0, world.NOW)
    assert inventory.highest_store == -1


def test_a_mailbox_under_deletion_holds_its_user_name_while_it_has_the_finalizer() -> None:
    holds = {state: holds_user_name(observed(state, "delete", "none", "there").mailbox) for state in STATES}
    assert holds == {"living": True, "living, finalizer": True, "deleting, finalizer": True, "deleting": False}


@pytest.mark.parametrize(
    ("spec", "servers", "useless"),
    [({}, (), True), ({}, ("mail",), False), ({"server": "gone"}, ("mail",), True), (UNREADABLE, ("mail",), False)],
)
def test_without_a_mailserver_nothing_holds_a_mailbox(
    spec: dict[str, Any],
    servers: tuple[str, ...],
    useless: bool,  # noqa: FBT001
) -> None:
    mailbox = world.resource("Mailbox", "anna", spec)
    assert finalizer_is_useless(replace(mailbox, finalizers=(FINALIZER,)), servers) is useless
    assert not finalizer_is_useless(mailbox, servers)


@pytest.mark.parametrize(
    ("status", "homes", "complete", "existing", "store"),
    [
        ({"store": 2}, {"anna": 1}, True, 1, 2),
        ({"store": 64}, {"anna": 1}, True, 1, 1),
        ({"store": "2"}, {}, True, 1, 0),
        ({}, {"anna": 3}, False, 4, 3),
        ({}, {"bert": 3}, False, 1, 0),
        ({}, {"bert": 3}, False, 2, -1),
        ({}, {}, True, 2, 0),
    ],
)
def test_placement(status: dict[str, Any], homes: dict[str, int], complete: bool, existing: int, store: int) -> None:  # noqa: FBT001
    mailbox = world.resource("Mailbox", "anna", {}, status=status)
    assert placement("anna", mailbox, 1, MailLocations(homes, complete, existing)) == store


def test_a_status_names_a_store_that_there_can_be() -> None:
    found = [store_in_status(world.resource("Mailbox", "anna", {}, status={"store": one})) for one in (-1, 0, 63, 64)]
    assert found == [None, 0, 63, None]


def test_an_orphan_is_reported_once_and_its_date_stays() -> None:
    inventory = stored(Holding("anna", 1, 10, 1, MailKind.PERSONAL | MailKind.PUBLIC))
    reported = ReportedOrphans([{"username": "anna", "type": "Public", "store": 1}])
    orphans, inherited = reported.update(inventory, "anna")
    assert [orphan.kind for orphan in orphans] == [MailKind.PERSONAL]
    assert not inherited
    assert reported.update(inventory, "anna") == ((), False)
    inventory.set_claim("anna", Claim("anna", MailKind.PERSONAL), world.NOW)
    assert reported.update(inventory, "anna") == ((), True), "a Mailbox has the mail now"
    inventory.set_claim("anna", None, world.NOW)
    inventory.discard("anna", 1, world.NOW)
    assert reported.update(inventory, "anna") == ((), False), "it was erased"
    listed = [{"username": "anna", "type": "User", "store": 1, "since": "2026-01-01T00:00:00Z"}, {"username": "bert"}]
    assert [orphan.bytes for orphan in orphans] == [None], "the store has mail of both kinds"
    assert listed_since(listed) == {orphans[0].key: "2026-01-01T00:00:00Z"}
