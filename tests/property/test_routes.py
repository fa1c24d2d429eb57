"""Whatever leads where: a list of recipients is finite, has nobody twice, misses nobody and does not know order.

The graphs are random: addresses, groups, forwards, public mailboxes, mailboxes in one domain, domains with and without
a catch-all, a relayed one. A second, much simpler solver says who gets a message.
"""

from collections.abc import Iterable, Iterator
from random import Random
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from postboat.api import Resource
from postboat.model import names
from postboat.model.platform import Platform, Route
from postboat.model.resolve import resolve
from postboat.model.verdict import Reason
from tests.golden import world

USERS = ("u0", "u1", "u2", "u3")
GROUPS = ("g0", "g1", "g2")
PUBLICS = ("p0",)
MAILBOXES = (*USERS, *GROUPS, *PUBLICS)
BOUND_USERS = ("b0", "b1")
BOUND_GROUPS = ("b2",)
BOUND = (*BOUND_USERS, *BOUND_GROUPS)
ALIASES = ("a0", "a1", "a2")
LOCALS = (*MAILBOXES, *ALIASES, "postmaster", "nobody")
DOMAINS = ("example.org", "example.net")
RELAYED = "relayed.example"
ELSEWHERE = ("one@elsewhere.example", "Two@Elsewhere.example", "two@elsewhere.example", f"u0@{RELAYED}")

addresses = st.builds(
    lambda local, tag, domain: f"{local}{tag}@{domain}",
    st.sampled_from(LOCALS),
    st.sampled_from(("", "", "+tag")),
    st.sampled_from(DOMAINS),
)
outside = st.sampled_from(ELSEWHERE)
anywhere = st.one_of(addresses, addresses, outside)
mailboxes = st.sampled_from((*MAILBOXES, *BOUND, "ghost"))
switches = st.sampled_from((None, None, "Enabled", "Disabled"))


def _written(spec: dict[str, Any]) -> dict[str, Any]:
    return {field: value for field, value in spec.items() if value not in (None, [], {})}


users = st.builds(
    lambda forward, keep_copy, address: _written(
        {"forward": {"to": forward, "keepCopy": keep_copy} if forward else None, "address": address}
    ),
    st.lists(anywhere, max_size=3, unique=True),
    st.booleans(),
    switches,
)
groups = st.builds(
    lambda members, address: _written({"type": "Group", "members": members, "address": address}),
    st.lists(mailboxes, max_size=4, unique=True),
    switches,
)
bound_users = st.builds(
    lambda spec, username, domain: {**spec, "username": username, "domain": domain},
    users,
    st.sampled_from(("u0", "a0", "nobody")),
    st.sampled_from(DOMAINS),
)
bound_groups = st.builds(
    lambda spec, username, domain: {**spec, "username": username, "domain": domain},
    groups,
    st.sampled_from(("u1", "g0", "postmaster")),
    st.sampled_from(DOMAINS),
)
publics = st.builds(lambda address: _written({"type": "Public", "address": address}), switches)
aliases = st.builds(
    lambda destinations, domain, local: _written({"destinations": destinations, "domain": domain, "localPart": local}),
    st.lists(
        st.one_of(mailboxes.map(lambda name: {"mailbox": name}), anywhere.map(lambda to: {"address": to})),
        min_size=1,
        max_size=4,
        unique_by=lambda to: tuple(to.items()),
    ),
    st.sampled_from((None, *DOMAINS, RELAYED)),
    st.sampled_from((None, None, "u0", "nobody")),
)
local_domains = st.builds(
    lambda mailbox, copy_to: _written(
        {"unknownRecipients": {"action": "Deliver", "mailbox": mailbox} if mailbox else None, "copyTo": copy_to}
    ),
    st.one_of(st.none(), mailboxes),
    st.lists(anywhere, max_size=2, unique=True),
)
postmasters = st.one_of(
    st.none(), mailboxes.map(lambda name: {"mailbox": name}), anywhere.map(lambda to: {"address": to})
)
worlds = st.fixed_dictionaries(
    dict.fromkeys(USERS, users)
    | dict.fromkeys(GROUPS, groups)
    | dict.fromkeys(PUBLICS, publics)
    | dict.fromkeys(BOUND_USERS, bound_users)
    | dict.fromkeys(BOUND_GROUPS, bound_groups)
    | dict.fromkeys(ALIASES, aliases)
    | dict.fromkeys(DOMAINS, local_domains)
    | {
        RELAYED: st.just({"delivery": "Relay", "relay": {"host": "mx.relayed.example"}}),
        "postmaster": postmasters,
        "groupAddresses": st.sampled_from(("Enabled", "Disabled")),
    }
)
Specs = dict[str, Any]


def _resources(specs: Specs) -> list[Resource]:
    kinds = (
        dict.fromkeys((*MAILBOXES, *BOUND), "Mailbox")
        | dict.fromkeys(ALIASES, "MailAddress")
        | dict.fromkeys((*DOMAINS, RELAYED), "MailDomain")
    )
    found = [world.resource(kind, name, specs[name]) for name, kind in kinds.items() if name in specs]
    return [resource for resource in found if resource.name not in _losers(specs)]


def _losers(specs: Specs) -> set[str]:
    """Name the mailboxes whose address an earlier one has."""
    names_of = [_user(name, specs) for name in BOUND if name in specs]
    return {name for at, name in enumerate(BOUND) if name in specs and _user(name, specs) in names_of[:at]}


def _user(name: str, specs: Specs) -> str:
    """Give the user name of a mailbox."""
    spec = specs[name]
    return f"{spec['username']}@{spec['domain']}" if name in BOUND else name


def _platform(specs: Specs, resources: list[Resource]) -> Platform:
    own = {c.name: c for c in (world.internal("mail", "mail"), world.self_signed("mail", "mail"))}
    postmaster = {"postmaster": specs["postmaster"]} if specs.get("postmaster") else {}
    server = world.server(mailboxes={"groupAddresses": specs.get("groupAddresses", "Enabled")}, **postmaster)
    resolution = resolve(world.of(server, resources, own))
    assert resolution.platform is not None
    return resolution.platform


def _routes(platform: Platform) -> dict[tuple[str, str], Route]:
    return {(route.local, route.domain): route for shard in platform.directory for route in shard.routes}


def _lists(platform: Platform) -> Iterator[tuple[str, ...]]:
    """All finished lists of recipients."""
    yield from (route.targets for route in _routes(platform).values())
    for domain in platform.domains:
        yield domain.catch_all
        yield domain.copies


class Solver:
    """Says who gets a message, straight from what is written: by looking at everything until nothing is new."""

    def __init__(self, specs: Specs) -> None:
        self._specs = specs
        self._aliases = {}
        self._bound = {_user(name, specs): name for name in BOUND if name not in _losers(specs)}
        for name in reversed(ALIASES):  # the first of several for one address has it
            spec = specs[name]
            self._aliases[spec.get("localPart", name), spec.get("domain")] = name

    def at(self, address: str) -> set[str]:
        """Name the places that an address of ours leads to: a mailbox, an alias, or nothing; outside it is itself."""
        local, _, domain = address.partition("@")
        if domain not in DOMAINS:
            return {address.lower()}
        local = local.partition("+")[0]
        alone = self._in_one_domain(local, domain)
        return self._in_all_domains(local, domain) if alone is None else alone

    def _in_one_domain(self, local: str, domain: str) -> set[str] | None:
        bound, alias = self._bound.get(f"{local}@{domain}"), self._aliases.get((local, domain))
        if bound and self._addressed(bound):
            return {bound}
        if alias:
            return {alias}
        return set() if bound else None

    def _in_all_domains(self, local: str, domain: str) -> set[str]:
        on = local in MAILBOXES and self._addressed(local)
        if (local, None) in self._aliases and not on:
            return {self._aliases[local, None]}
        if local in MAILBOXES:
            return {local} if on else set()
        if local == "postmaster" and self._specs["postmaster"]:
            known = self._specs["postmaster"]
            return set() if self._leads_back(known.get("address", "")) else self._to(known)
        return self._to({"mailbox": self._specs[domain].get("unknownRecipients", {}).get("mailbox", "ghost")})

    def _leads_back(self, address: str) -> bool:
        """Whether the postmaster is to be reached as the postmaster, whom nobody is in that domain alone."""
        local, _, domain = address.partition("@")
        named = local.partition("+")[0] == "postmaster" and domain in DOMAINS
        return named and self._in_one_domain("postmaster", domain) is None

    def _addressed(self, name: str) -> bool:
        default = self._specs["groupAddresses"] if name in (*GROUPS, *BOUND_GROUPS) else "Enabled"
        return bool(self._specs[name].get("address", default) == "Enabled")

    def _to(self, destination: dict[str, str]) -> set[str]:
        if "address" in destination:
            return self.at(destination["address"])
        return {destination["mailbox"]} & {*MAILBOXES, *self._bound.values()}

    def _next(self, place: str) -> set[str]:
        spec = self._specs.get(place, {})
        ways = [{"mailbox": name} for name in spec.get("members", ())]
        ways += [{"address": to} for to in spec.get("forward", {}).get("to", ())]
        ways += spec.get("destinations", ())
        return set().union(*(self._to(way) for way in ways)) if "@" not in place else set()

    def _all_from(self, places: Iterable[str]) -> set[str]:
        found = set(places)
        while more := set().union(*map(self._next, found)) - found:
            found |= more
        return found

    def _kept(self, user: str) -> bool:
        forward = self._specs[user].get("forward")
        if forward is None or forward["keepCopy"] or user in self._next(user):
            return True
        beyond = self._all_from(self._next(user))
        return user in beyond or not any("@" in place or place in (*USERS, *BOUND_USERS, *PUBLICS) for place in beyond)

    def gets(self, address: str) -> set[str]:
        """Name everybody who gets a message to an address, as the finished lists write it."""
        final = self._all_from(self.at(address))
        users = {place for place in final if place in (*USERS, *BOUND_USERS) and self._kept(place)}
        boxes = {names.canonical(_user(place, self._specs)) for place in users | (final & set(PUBLICS))}
        return boxes | {place for place in final if "@" in place}


@settings(max_examples=200, deadline=None)
@given(worlds, st.randoms(use_true_random=False))
def test_lists_are_finished_and_without_duplicates_in_any_order(specs: Specs, random: Random) -> None:
    resources = _resources(specs)
    platform = _platform(specs, resources)
    for targets in _lists(platform):
        assert list(targets) == sorted({target.lower(): target for target in targets}.values(), key=str.lower)
        for target in targets:
            kept_here = names.mailbox_user(target) in {_user(name, specs) for name in (*USERS, *PUBLICS, *BOUND_USERS)}
            assert kept_here or target.rpartition("@")[2] in ("elsewhere.example", RELAYED)
    random.shuffle(resources)
    other = _platform(specs, resources)
    assert (other.directory, other.domains) == (platform.directory, platform.domains)


@settings(max_examples=400, deadline=None)
@given(worlds)
def test_everybody_gets_it_whom_an_address_leads_to_and_nobody_else(specs: Specs) -> None:
    platform, solver = _platform(specs, _resources(specs)), Solver(specs)
    routes = _routes(platform)
    domains = {domain.name: domain for domain in platform.domains}
    for local in LOCALS:
        for domain in DOMAINS:
            route = routes.get((local, domain)) or routes.get((local, ""))
            targets = route.targets if route is not None else domains[domain].catch_all
            assert {target.lower() for target in targets} == solver.gets(f"{local}@{domain}"), f"{local}@{domain}"
    for domain in DOMAINS:
        copies = set().union(*(solver.gets(to) for to in specs[domain].get("copyTo", ())))
        assert {target.lower() for target in domains[domain].copies} == copies


@settings(max_examples=200, deadline=None)
@given(worlds)
def test_no_message_to_a_user_vanishes(specs: Specs) -> None:
    routes = _routes(_platform(specs, _resources(specs)))
    for user in USERS:
        if specs[user].get("address") != "Disabled":
            assert routes[user, ""].targets
            if specs[user].get("forward", {}).get("keepCopy", True):
                assert names.canonical(user) in routes[user, ""].targets
    for name in set(BOUND_USERS) - _losers(specs):
        if specs[name].get("address") != "Disabled":
            route = routes[specs[name]["username"], specs[name]["domain"]]
            assert route.targets
            if specs[name].get("forward", {}).get("keepCopy", True):
                assert names.canonical(_user(name, specs)) in route.targets


def test_a_forward_in_a_circle_keeps_a_copy_and_says_so() -> None:
    specs: Specs = {
        "example.org": {},
        "example.net": {},
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
    routes = _routes(_platform(specs, _resources(specs)))
    assert routes["u0", ""].targets == ("u0@mailbox.invalid", "u1@mailbox.invalid")
    assert routes["u2", ""].targets == ("one@elsewhere.example", "u2@mailbox.invalid")
    assert routes["u3", ""].targets == ("u0@mailbox.invalid", "u1@mailbox.invalid")


def test_a_postmaster_who_is_reached_as_the_postmaster_is_nobody() -> None:
    server = world.server(postmaster={"address": "postmaster@example.org"})
    domain = world.resource("MailDomain", "example.org", {})
    verdict = resolve(world.of(server, (domain,), {})).verdicts["MailServer", "mail"]
    assert (verdict.reason, verdict.path) == (Reason.UNKNOWN_MAILBOX, "spec.postmaster.address")
    assert "leads back to itself" in verdict.message
