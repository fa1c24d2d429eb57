"""When a Mailbox under deletion may go, and whom its mail belongs to."""

from __future__ import annotations

import datetime as dt
from dataclasses import replace
from typing import Any

import pytest

from postboat.api import Resource
from postboat.model.retention.claims import Claim, MailKind, Ownership
from postboat.model.retention.inventory import Holding, Inventory
from postboat.model.retention.reclaim import FINALIZER, Decision, ObservedMailbox, Step, decide, erases
from postboat.model.verdict import Reason
from postboat.status.conditions import Condition
from postboat.status.observation import Moment
from postboat.status.usage import condition_patch, usage, usage_patch
from tests.golden import world

NOW = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)


def mailbox(name: str = "anna", status: dict[str, Any] | None = None, **spec: Any) -> Resource:  # noqa: ANN401
    made = world.resource("Mailbox", name, spec, status=status or {})
    return replace(made, deleting=True, finalizers=(FINALIZER,))


def taken(*holdings: Holding, **claims: str) -> Inventory:
    found = Inventory()
    for holding in holdings:
        found.record(holding, NOW)
    for name, user in claims.items():
        found.set_claim(name, Claim(user, MailKind.PERSONAL), NOW)
    return found


def decision_about(
    mailbox: Resource, server: Resource | None, inventory: Inventory, rivals: tuple[Resource, ...], *, complete: bool
) -> Decision:
    return decide(ObservedMailbox(mailbox, Ownership.OURS, server, rivals), inventory, complete=complete)


SERVER = world.server()
DELETING = world.server(mailboxes={"reclaimPolicy": "Delete"})


@pytest.mark.parametrize(
    ("server", "spec", "erased"),
    [
        (SERVER, {}, False),
        (SERVER, {"reclaimPolicy": "Delete"}, True),
        (DELETING, {}, True),
        (DELETING, {"reclaimPolicy": "Retain"}, False),
        (DELETING, {"type": "Group"}, False),
        (DELETING, {"type": "Public"}, True),
        (DELETING, {"type": "Public", "reclaimPolicy": "Retain"}, False),
        (SERVER, {"type": "Public"}, False),
        (DELETING, {"quota": "nonsense"}, False),
    ],
)
def test_mail_is_erased_only_with_reclaim_policy_delete(server: Resource, spec: dict[str, Any], erased: bool) -> None:  # noqa: FBT001
    assert erases(world.resource("Mailbox", "anna", spec), server) is erased


def test_mail_is_erased_on_every_store_that_holds_it() -> None:
    inventory = taken(Holding("anna", 2), anna="anna")
    decision = decision_about(mailbox(status={"store": 0}), DELETING, inventory, (), complete=True)
    assert (decision.step, decision.user, decision.stores) == (Step.ERASE, "anna", (0, 2))


@pytest.mark.parametrize("kind", list(MailKind))
def test_only_mail_of_the_same_kind_goes(kind: MailKind) -> None:
    inventory = taken(
        Holding("anna", 1, kind=kind), Holding("anna", 2, kind=MailKind.PERSONAL | MailKind.PUBLIC), anna="anna"
    )
    for spec, mine in (({}, MailKind.PERSONAL), ({"type": "Public"}, MailKind.PUBLIC)):
        decision = decision_about(mailbox(**spec), DELETING, inventory, (), complete=True)
        assert (decision.stores, decision.kind) == ((1, 2) if kind & mine else (2,), mine)


@pytest.mark.parametrize("server", [None, replace(DELETING, deleting=True), SERVER])
def test_the_finalizer_is_removed_when_the_mail_is_kept(server: Resource | None) -> None:
    inventory = taken(Holding("anna", 0), anna="anna")
    assert decision_about(mailbox(), server, inventory, (), complete=True).step is Step.REMOVE_FINALIZER


def test_mail_of_another_mailbox_is_not_erased() -> None:
    inventory = taken(Holding("anna", 0), anna="anna", other="anna")
    assert decision_about(mailbox(), DELETING, inventory, (), complete=True).step is Step.ERASE
    mine, older, younger = (replace(mailbox(), created=f"2026-01-0{day}") for day in (2, 1, 3))
    for deleting in (True, False):
        rival = replace(older, deleting=deleting)
        assert decision_about(mine, DELETING, inventory, (rival,), complete=True).step is Step.REMOVE_FINALIZER, (
            "the older one had the mail"
        )
        rival = replace(younger, deleting=deleting)
        assert decision_about(mine, DELETING, inventory, (rival,), complete=True).step is Step.ERASE, (
            "it waits for its turn"
        )


def test_erasing_waits_for_a_complete_inventory() -> None:
    inventory = taken(anna="anna")
    assert decision_about(mailbox(), DELETING, inventory, (), complete=False).step is Step.WAIT
    assert decision_about(mailbox(), DELETING, inventory, (), complete=True).step is Step.REMOVE_FINALIZER
    placed = decision_about(mailbox(status={"store": 1}), DELETING, inventory, (), complete=False)
    assert (placed.step, placed.stores) == (Step.ERASE, (1,))


def test_usage_tells_only_what_differs() -> None:
    told = usage(Holding("anna", 0, 512, 3), 1024)
    assert told == {"bytes": 512, "messages": 3, "limit": 1024, "percent": 50}
    assert usage(Holding("anna", 0), 1024) is None
    there = world.resource("Mailbox", "anna", {}, status={"usage": told})
    assert usage_patch(there, told) is None
    unlimited = usage(Holding("anna", 0, 512, 3), 0)
    assert usage_patch(there, unlimited) == {"usage": {"percent": None, "bytes": 512, "messages": 3, "limit": 0}}


def test_one_condition_stands_beside_the_others() -> None:
    ready = {"type": "Ready", "status": "True"}
    there = world.resource("Mailbox", "anna", {}, status={"conditions": [ready]})
    waits = Condition("Erased", holds=False, reason=Reason.STORE_UNAVAILABLE, message="It waits.")
    patch = condition_patch(there, waits, Moment(NOW))
    assert patch is not None
    assert [one["type"] for one in patch["conditions"]] == ["Erased", "Ready"]
    assert patch["conditions"][1] == ready
    again = replace(there, status=patch)
    assert condition_patch(again, waits, Moment(NOW + dt.timedelta(hours=1))) is None
