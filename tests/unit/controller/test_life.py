"""When a Mailbox under deletion may go, and whom its mail belongs to."""

from __future__ import annotations

import datetime as dt
from dataclasses import replace
from typing import Any

import pytest

from postboat.api import Resource
from postboat.controller.mailstore.erasure import Step, decide
from postboat.model.census import Census, Claim, Holding, Kept
from postboat.model.reclaim import erases
from postboat.model.verdict import Reason
from postboat.status.conditions import Condition
from postboat.status.observation import Moment
from postboat.status.usage import condition_patch, usage, usage_patch
from tests.golden import world

NOW = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)


def mailbox(name: str = "anna", status: dict[str, Any] | None = None, **spec: Any) -> Resource:  # noqa: ANN401
    made = world.resource("Mailbox", name, spec, status=status or {})
    return replace(made, deleting=True)


def taken(*holdings: Holding, **claims: str) -> Census:
    found = Census()
    for holding in holdings:
        found.hold(holding, NOW)
    for name, user in claims.items():
        found.claim(name, Claim(user, Kept.PERSONAL), NOW)
    return found


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
def test_mail_goes_only_where_somebody_said_so(server: Resource, spec: dict[str, Any], erased: bool) -> None:  # noqa: FBT001
    assert erases(world.resource("Mailbox", "anna", spec), server) is erased


def test_mail_is_erased_wherever_it_lies() -> None:
    census = taken(Holding("anna", 2), anna="anna")
    decision = decide(mailbox(status={"store": 0}), DELETING, census, (), surveyed=True)
    assert (decision.step, decision.user, decision.stores) == (Step.ERASE, "anna", (0, 2))


@pytest.mark.parametrize("kept", list(Kept))
def test_only_mail_of_the_same_kind_goes(kept: Kept) -> None:
    census = taken(Holding("anna", 1, kept=kept), Holding("anna", 2, kept=Kept.PERSONAL | Kept.PUBLIC), anna="anna")
    for spec, mine in (({}, Kept.PERSONAL), ({"type": "Public"}, Kept.PUBLIC)):
        decision = decide(mailbox(**spec), DELETING, census, (), surveyed=True)
        assert (decision.stores, decision.kept) == ((1, 2) if kept & mine else (2,), mine)


@pytest.mark.parametrize("server", [None, replace(DELETING, deleting=True), SERVER])
def test_without_a_reason_it_is_let_go(server: Resource | None) -> None:
    census = taken(Holding("anna", 0), anna="anna")
    assert decide(mailbox(), server, census, (), surveyed=True).step is Step.LET_GO


def test_mail_of_another_mailbox_is_not_erased() -> None:
    census = taken(Holding("anna", 0), anna="anna", other="anna")
    assert decide(mailbox(), DELETING, census, (), surveyed=True).step is Step.ERASE
    mine, older, younger = (replace(mailbox(), created=f"2026-01-0{day}") for day in (2, 1, 3))
    for deleting in (True, False):
        rival = replace(older, deleting=deleting)
        assert decide(mine, DELETING, census, (rival,), surveyed=True).step is Step.LET_GO, "the older one had the mail"
        rival = replace(younger, deleting=deleting)
        assert decide(mine, DELETING, census, (rival,), surveyed=True).step is Step.ERASE, "it waits for its turn"


def test_it_waits_while_nobody_knows_where_the_mail_is() -> None:
    census = taken(anna="anna")
    assert decide(mailbox(), DELETING, census, (), surveyed=False).step is Step.WAIT
    assert decide(mailbox(), DELETING, census, (), surveyed=True).step is Step.LET_GO
    placed = decide(mailbox(status={"store": 1}), DELETING, census, (), surveyed=False)
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
