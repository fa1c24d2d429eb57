"""Whatever leads where: a list of recipients is finite, has nobody twice, misses nobody and does not know order."""

from random import Random
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from postboat.api import Resource
from postboat.model import names
from postboat.model.platform import Route
from postboat.model.resolve import resolve
from postboat.model.verdict import Reason
from tests.golden import world

USERS = ("u0", "u1", "u2", "u3")
GROUPS = ("g0", "g1", "g2")
ALIASES = ("a0", "a1", "a2")
EVERYTHING = (*USERS, *GROUPS, *ALIASES, "nobody")
DOMAINS = ("example.org", "example.net")
addresses = st.builds(lambda local, domain: f"{local}@{domain}", st.sampled_from(EVERYTHING), st.sampled_from(DOMAINS))
outside = st.sampled_from(("one@elsewhere.example", "Two@Elsewhere.example"))
mailboxes = st.sampled_from((*USERS, *GROUPS, "nobody"))


def _user(forward: list[str], keep_copy: bool) -> dict[str, Any]:  # noqa: FBT001
    return {"forward": {"to": forward, "keepCopy": keep_copy}} if forward else {}


users = st.builds(_user, st.lists(st.one_of(addresses, outside), max_size=3, unique=True), st.booleans())
groups = st.builds(
    lambda members: {"type": "Group", "address": "Enabled", "members": members},
    st.lists(mailboxes, max_size=4, unique=True),
)
aliases = st.builds(
    lambda destinations, domain: {"destinations": destinations} | ({"domain": domain} if domain else {}),
    st.lists(
        st.one_of(
            mailboxes.map(lambda name: {"mailbox": name}), st.one_of(addresses, outside).map(lambda to: {"address": to})
        ),
        min_size=1,
        max_size=4,
    ),
    st.sampled_from((None, *DOMAINS)),
)


def _resources(specs: dict[str, dict[str, Any]]) -> list[Resource]:
    made = [world.resource("MailDomain", domain, {}) for domain in DOMAINS]
    return made + [
        world.resource("MailAddress" if name.startswith("a") else "Mailbox", name, spec) for name, spec in specs.items()
    ]


worlds = st.fixed_dictionaries(
    dict.fromkeys(USERS, users) | dict.fromkeys(GROUPS, groups) | dict.fromkeys(ALIASES, aliases)
)


def _routes(resources: list[Resource]) -> dict[tuple[str, str], Route]:
    own = {c.name: c for c in (world.internal("mail", "mail"), world.self_signed("mail", "mail"))}
    resolution = resolve(world.of(world.server(), resources, own))
    assert resolution.platform is not None
    return {(route.local, route.domain): route for shard in resolution.platform.directory for route in shard.routes}


@settings(max_examples=200, deadline=None)
@given(worlds, st.randoms(use_true_random=False))
def test_lists_are_finished_and_without_duplicates_in_any_order(
    specs: dict[str, dict[str, Any]], random: Random
) -> None:
    resources = _resources(specs)
    routes = _routes(resources)
    for route in routes.values():
        assert list(route.targets) == sorted(
            {target.lower(): target for target in route.targets}.values(), key=str.lower
        )
        for target in route.targets:
            local, _, domain = target.rpartition("@")
            assert (domain == names.MAILBOX_DOMAIN and local in USERS) or domain == "elsewhere.example"
    random.shuffle(resources)
    assert _routes(resources) == routes


@settings(max_examples=200, deadline=None)
@given(worlds)
def test_no_message_to_a_user_vanishes(specs: dict[str, dict[str, Any]]) -> None:
    routes = _routes(_resources(specs))
    for user in USERS:
        assert routes[user, ""].targets
        if specs[user].get("forward", {}).get("keepCopy", True):
            assert names.canonical(user) in routes[user, ""].targets


@settings(max_examples=200, deadline=None)
@given(worlds)
def test_an_address_reaches_all_that_its_destinations_reach(specs: dict[str, dict[str, Any]]) -> None:
    routes = _routes(_resources(specs))
    for group in GROUPS:
        reached = set(routes[group, ""].targets)
        for member in specs[group]["members"]:
            if member != "nobody":
                assert set(routes[member, ""].targets) <= reached


def test_a_forward_in_a_circle_keeps_a_copy_and_says_so() -> None:
    specs = {
        "u0": {"forward": {"to": ["u1@example.org"]}},
        "u1": {"forward": {"to": ["u0@example.net"]}},
        "u2": {"forward": {"to": ["u2@example.org", "one@elsewhere.example"]}},
        "u3": {"forward": {"to": ["u0@example.org"]}},
    }
    snapshot = world.of(world.server(), _resources(specs), {})
    verdicts = resolve(snapshot).verdicts
    for user in ("u0", "u1"):
        assert verdicts["Mailbox", user].reason is Reason.CYCLE
        assert verdicts["Mailbox", user].path == "spec.forward"
        assert verdicts["Mailbox", user].effective
    assert verdicts["Mailbox", "u2"].accepted
    assert verdicts["Mailbox", "u3"].accepted
    routes = _routes(_resources(specs))
    assert routes["u0", ""].targets == ("u0@mailbox.invalid", "u1@mailbox.invalid")
    assert routes["u2", ""].targets == ("one@elsewhere.example", "u2@mailbox.invalid")
    assert routes["u3", ""].targets == ("u0@mailbox.invalid", "u1@mailbox.invalid")
