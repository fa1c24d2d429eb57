"""Mail that a living Mailbox claims is no orphan, and mail that it owns is not erased, in any order of events."""

from __future__ import annotations

import datetime as dt
from dataclasses import replace
from itertools import product
from typing import TYPE_CHECKING, Any

from hypothesis import given, settings
from hypothesis import strategies as st

from postboat.model.retention.claims import MailKind, claim_of, claim_on, ownership
from postboat.model.retention.inventory import Holding, Inventory
from postboat.model.retention.reclaim import FINALIZER, ObservedMailbox, Step, decide
from tests.golden import world

if TYPE_CHECKING:
    from postboat.api import Resource

NOW = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)
NAMES = ("m0", "m1", "m2")
USERS = ("anna", "bert")
KINDS_OF_SPEC: tuple[dict[str, Any], ...] = ({}, {}, {"type": "Public"}, {"type": "Group"}, {"quota": "nonsense"})
SERVERS_OF_SPEC: tuple[dict[str, Any], ...] = ({}, {}, {}, {"server": "no"}, {"server": "other"})
SERVERS = ("mail", "other")
DELETE = {"reclaimPolicy": "Delete"}

specs = st.sampled_from(
    [
        world.resource("Mailbox", "any", {"username": user, **kind, **server, **policy}).spec
        for user, kind, server, policy in product(USERS, KINDS_OF_SPEC, SERVERS_OF_SPEC, (DELETE, DELETE, {}))
    ]
)
ANY = world.resource("Mailbox", "any", {})
mailboxes = st.builds(
    lambda name, spec, day, status, deleting, held: replace(
        ANY,
        name=name,
        uid=name,
        spec=spec,
        created=f"2026-01-0{day}",
        status=status,
        deleting=deleting,
        finalizers=(FINALIZER,) if held else (),
    ),
    st.sampled_from(NAMES),
    specs,
    st.integers(1, 3),
    st.sampled_from(({}, {"store": 0}, {"username": "anna"}, {"username": "bert", "store": 1})),
    st.booleans(),
    st.sampled_from((True, True, False)),
)
kinds = st.sampled_from((MailKind.PERSONAL, MailKind.PUBLIC, MailKind.PERSONAL | MailKind.PUBLIC))
holdings = st.builds(Holding, st.sampled_from(USERS), st.integers(0, 1), st.just(1), st.just(1), kinds)
gone = st.sampled_from(NAMES)
dropped = st.tuples(st.sampled_from(USERS), st.integers(0, 1))
contents = st.tuples(st.integers(0, 1), st.dictionaries(st.sampled_from(USERS), kinds))
events = st.lists(st.one_of(mailboxes, mailboxes, holdings, holdings, gone, dropped, contents), max_size=20)
platforms = st.sampled_from(
    [
        world.server(),
        world.server(),
        world.server(mailboxes={"reclaimPolicy": "Delete"}),
        world.server(paused=True),
        replace(world.server(), deleting=True),
    ]
)


class Platform:
    """The Mailboxes of a namespace and what its stores have told, in the order of the events."""

    def __init__(self, server: Resource) -> None:
        self.server = server
        self.mailboxes: dict[str, Resource] = {}
        self.inventory = Inventory()

    def take(self, event: Any) -> None:  # noqa: ANN401 - one of the events above
        match event:
            case Holding():
                self.inventory.record(event, NOW)
            case str():
                self.mailboxes.pop(event, None)
                self.inventory.set_claim(event, None, NOW)
            case (str(user), store):
                self.inventory.discard(user, store, NOW)
            case (store, dict(found)):
                whole = {user: Holding(user, store, 1, 1, kind) for user, kind in found.items()}
                self.inventory.replace(store, whole, NOW)
            case mailbox:
                self.mailboxes[mailbox.name] = mailbox
                self.inventory.set_claim(mailbox.name, claim_on(mailbox, "mail", SERVERS), NOW)

    def observe(self, mailbox: Resource) -> ObservedMailbox:
        rivals = tuple(self.mailboxes[name] for name in self.inventory.rivals(mailbox))
        return ObservedMailbox(mailbox, ownership(mailbox, "mail", SERVERS), self.server, rivals)


def claims(platform: Platform, user: str, kind: MailKind) -> list[Resource]:
    """The living Mailboxes that claim mail, by a rule that is written anew: all but those of the other MailServer."""
    found = []
    for mailbox in platform.mailboxes.values():
        claim = claim_of(mailbox)
        elsewhere = getattr(mailbox.spec, "server", None) == "other"
        if claim is not None and claim.user == user and claim.kind & kind and not elsewhere and not mailbox.deleting:
            found.append(mailbox)
    return found


@settings(max_examples=400)
@given(events, platforms, st.booleans())
def test_mail_that_a_living_mailbox_claims_is_kept(happened: list[Any], server: Resource, complete: bool) -> None:  # noqa: FBT001
    platform = Platform(server)
    for event in happened:
        platform.take(event)
        for orphan in platform.inventory.first_orphans(10):
            assert not claims(platform, orphan.holding.user, orphan.kind)
        for mailbox in platform.mailboxes.values():
            decision = decide(platform.observe(mailbox), platform.inventory, complete=complete)
            if decision.step is not Step.ERASE:
                continue
            assert mailbox.deleting, "no living Mailbox has its mail erased"
            living = claims(platform, decision.user, decision.kind)
            younger = [one for one in living if (one.created, one.uid) > (mailbox.created, mailbox.uid)]
            assert living == younger, "only who waits for the end of the owner has no right to its mail"


@given(st.lists(holdings, max_size=6), mailboxes, st.permutations(range(8)))
def test_an_unreadable_mailbox_makes_no_orphan(found: list[Holding], mailbox: Resource, order: list[int]) -> None:
    unreadable = replace(mailbox, spec=world.resource("Mailbox", mailbox.name, {"quota": "nonsense"}).spec)
    claim = claim_of(unreadable)
    assert claim is not None
    happened = sorted([*found, unreadable], key=lambda event: order[[*found, unreadable].index(event)])
    platform = Platform(world.server())
    for event in happened:
        platform.take(event)
    assert platform.inventory.orphans_of(claim.user) == ()
