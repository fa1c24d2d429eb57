"""Addresses between objects: who wins, what is left out, what is said, and where a path points."""

import pytest

from postboat.api import Resource
from postboat.model import references
from postboat.model.platform import Limit, Platform, Route
from postboat.model.resolve import Resolution, Resolver, resolve
from postboat.model.snapshot import SecretContent
from postboat.model.verdict import Reason
from tests.golden import world

OWN = {content.name: content for content in (world.internal("mail", "mail"), world.self_signed("mail", "mail"))}


def _resolved(*resources: Resource, server: Resource | None = None) -> Resolution:
    domains = [world.resource("MailDomain", name, {}) for name in ("example.org", "example.net")]
    return resolve(world.of(server or world.server(), [*domains, *resources], OWN))


def _platform(resolution: Resolution) -> Platform:
    assert resolution.platform is not None
    return resolution.platform


def _route(resolution: Resolution, local: str, domain: str = "") -> Route | None:
    routes = [route for shard in _platform(resolution).directory for route in shard.routes]
    return next((route for route in routes if (route.local, route.domain) == (local, domain)), None)


def _address(name: str, *mailboxes: str, **spec: object) -> Resource:
    return world.resource("MailAddress", name, {"destinations": [{"mailbox": to} for to in mailboxes], **spec})


_DOMAIN = world.resource("MailDomain", "example.org", {})
ANNA = world.resource("Mailbox", "anna", {})
BERT = world.resource("Mailbox", "bert", {"address": "Disabled"})


def test_a_name_whose_address_is_off_has_no_targets_and_may_be_taken() -> None:
    assert _route(_resolved(BERT), "bert") == Route("bert", "", (), internal=False)
    taken = _resolved(ANNA, BERT, _address("bert", "anna"))
    assert taken.verdicts["MailAddress", "bert"].accepted
    assert _route(taken, "bert") == Route("bert", "", ("anna@mailbox.invalid",), internal=False, owner="anna")


def test_an_address_has_the_limit_of_the_one_mailbox_that_it_leads_to() -> None:
    full = world.resource("Mailbox", "full", {"quota": "1Gi"}, status={"store": 2})
    limit = Limit("full", 2)
    group = world.resource("Mailbox", "crew", {"type": "Group", "members": ["full"], "address": "Enabled"})
    on = world.resource("Mailbox", "on", {"quota": "1Gi", "forward": {"to": ["full@example.org"]}})
    copied = world.resource("Mailbox", "copied", {"quota": "1Gi", "forward": {"to": ["a@b.example"], "keepCopy": True}})
    found = _resolved(ANNA, full, group, on, copied, _address("info", "full"), _address("both", "full", "anna"))
    asked = ("full", "info", "crew", "on", "anna", "both", "copied")
    limits = {name: route.limit for name in asked if (route := _route(found, name))}
    alone = {"full": limit, "info": limit, "crew": limit, "on": limit, "anna": None}
    # Of two, the other one gets his mail all the same; beside a copy that goes out, whose name it is decides.
    assert limits == {**alone, "both": None, "copied": Limit("copied", 0)}


def test_an_address_follows_the_limit_and_the_store_of_its_mailbox() -> None:
    def full(store: int, **spec: object) -> Resource:
        return world.resource("Mailbox", "full", spec, status={"store": store})

    resolver = Resolver(world.of(world.server(), [full(2), _address("info", "full"), _DOMAIN], OWN))
    limits = []
    for change in (full(2, quota="1Gi"), full(3, quota="1Gi"), full(3, quota="0")):
        route = _route(resolver.apply([change]), "info")
        limits.append(route and route.limit)
    assert limits == [Limit("full", 2), Limit("full", 3), None]


def test_an_address_in_one_domain_shadows_the_mailbox_there_even_when_it_leads_nowhere() -> None:
    resolution = _resolved(ANNA, _address("anna-there", "ghost", localPart="anna", domain="example.net"))
    assert resolution.verdicts["MailAddress", "anna-there"].reason is Reason.UNKNOWN_MAILBOX
    assert not resolution.verdicts["MailAddress", "anna-there"].effective
    assert _route(resolution, "anna", "example.net") == Route("anna", "example.net", (), internal=False)
    assert _route(resolution, "anna") == Route("anna", "", ("anna@mailbox.invalid",), internal=False, owner="anna")


def test_the_first_wrong_destination_is_named_and_the_rest_counts() -> None:
    to = [{"mailbox": "anna"}, {"address": "nobody@example.org"}, {"mailbox": "ghost"}]
    resolution = _resolved(ANNA, world.resource("MailAddress", "info", {"destinations": to}))
    verdict = resolution.verdicts["MailAddress", "info"]
    assert (verdict.reason, verdict.path) == (Reason.UNKNOWN_MAILBOX, "spec.destinations[1].address")
    assert verdict.effective
    route = _route(resolution, "info")
    assert route is not None
    assert route.targets == ("anna@mailbox.invalid",)


@pytest.mark.parametrize(
    ("local", "what"),
    [("x+y", "without a +tag"), ("100%", "without ! and %"), ("a!b", "without !"), ("#1", "no # first")],
)
def test_a_local_part_that_mail_cannot_reach_is_refused(local: str, what: str) -> None:
    spec = {"localPart": local, "destinations": [{"mailbox": "anna"}]}
    resolution = _resolved(world.resource("Mailbox", "anna", {}), world.resource("MailAddress", "odd", spec))
    verdict = resolution.verdicts["MailAddress", "odd"]
    assert (verdict.reason, verdict.path, verdict.effective) == (Reason.INVALID, "spec.localPart", False)
    assert what in verdict.message


@pytest.mark.parametrize("address", ["bob@mailbox.invalid", "all@copy.invalid", "x@anything.invalid"])
def test_nobody_leads_mail_to_addresses_that_only_the_platform_uses(address: str) -> None:
    mailbox = world.resource("Mailbox", "anna", {"forward": {"to": [address]}})
    resolution = _resolved(mailbox)
    assert resolution.verdicts["Mailbox", "anna"].path == "spec.forward.to[0]"
    assert _route(resolution, "anna") == Route("anna", "", ("anna@mailbox.invalid",), internal=False, owner="anna")
    domain = resolve(world.of(world.server(), [world.resource("MailDomain", "mailbox.invalid", {})], OWN))
    assert domain.verdicts["MailDomain", "mailbox.invalid"].reason is Reason.INVALID


def test_what_would_reach_too_many_is_refused() -> None:
    parts = [
        world.resource(
            "MailAddress",
            f"part{part}",
            {"destinations": [{"address": f"r{part}x{n}@far.example"} for n in range(500)]},
        )
        for part in range(11)
    ]
    to = [{"address": f"part{part}@example.org"} for part in range(11)]
    resolution = _resolved(*parts, world.resource("MailAddress", "all", {"destinations": to}))
    assert resolution.verdicts["MailAddress", "part0"].accepted
    assert resolution.verdicts["MailAddress", "all"].reason is Reason.TOO_LARGE
    assert _route(resolution, "all") == Route("all", "", (), internal=False)


def _led_on(name: str, *addresses: str) -> Resource:
    return world.resource("MailAddress", name, {"destinations": [{"address": address} for address in addresses]})


def test_addresses_that_only_lead_to_each_other_are_a_cycle_and_reach_nobody() -> None:
    resolution = _resolved(
        ANNA,
        _led_on("round", "turn@example.org"),
        _led_on("turn", "round@example.net"),
        _led_on("self", "self@example.org"),
        _led_on("into", "round@example.org"),
        _led_on("wrong", "wrong@example.org", "ghost@example.org"),
        _led_on("half", "half@example.org", "anna@example.net"),
    )
    for name in ("round", "turn", "self"):
        verdict = resolution.verdicts["MailAddress", name]
        assert (verdict.reason, verdict.path, verdict.effective) == (Reason.CYCLE, "spec.destinations", False)
        assert _route(resolution, name) == Route(name, "", (), internal=False)
    assert resolution.verdicts["MailAddress", "into"].reason is Reason.UNKNOWN_MAILBOX
    assert resolution.verdicts["MailAddress", "wrong"].path == "spec.destinations[1].address"
    half = resolution.verdicts["MailAddress", "half"]
    assert (half.reason, half.path, half.effective) == (Reason.CYCLE, "spec.destinations", True)
    assert _route(resolution, "half") == Route("half", "", ("anna@mailbox.invalid",), internal=False)


def test_an_address_of_a_relayed_domain_is_outside() -> None:
    relayed = world.resource("MailDomain", "far.test", {"delivery": "Relay", "relay": {"host": "mx.example.com"}})
    to = {"destinations": [{"address": "anna@far.test"}]}
    resolution = _resolved(
        ANNA, relayed, world.resource("MailAddress", "info", to), _address("x", "anna", domain="far.test")
    )
    route = _route(resolution, "info")
    assert route is not None
    assert route.targets == ("anna@far.test",)
    assert resolution.verdicts["MailAddress", "x"].reason is Reason.DOMAIN_NOT_FOUND


def test_a_changed_password_is_no_news_to_those_who_lead_there() -> None:
    group = world.resource("Mailbox", "crew", {"type": "Group", "address": "Enabled", "members": ["anna"]})
    reference = {"passwordSecret": {"name": "s", "key": "password"}}
    resolver = Resolver(world.of(world.server(), [ANNA, group, _address("info", "crew")], OWN))
    resolver.apply([world.resource("Mailbox", "anna", reference)])
    resolution = resolver.apply([SecretContent("mail", "s", exists=True, data={"password": b"secret"})])
    assert resolution.touched == {("Mailbox", "anna"), ("MailServer", "mail")}


@pytest.mark.parametrize("to", ["postmaster@example.org", "Postmaster+x@example.org", "nobody@example.org"])
def test_a_postmaster_that_leads_to_nobody_is_named_and_stops_nothing(to: str) -> None:
    found = _resolved(ANNA, server=world.server(postmaster={"address": to}))
    verdict = found.verdicts["MailServer", "mail"]
    assert (verdict.reason, verdict.path) == (Reason.UNKNOWN_MAILBOX, "spec.postmaster.address")
    assert found.verdicts["Mailbox", "anna"].accepted


def test_an_address_at_the_host_of_the_server_leads_nowhere() -> None:
    forward = {"forward": {"to": ["anna@mail.example.org"]}}
    found = _resolved(
        ANNA, world.resource("Mailbox", "carl", forward), server=world.server(hostname="mail.example.org")
    )
    verdict = found.verdicts["Mailbox", "carl"]
    assert (verdict.reason, verdict.path) == (Reason.UNKNOWN_MAILBOX, "spec.forward.to[0]")
    assert _route(found, "carl") == Route("carl", "", ("carl@mailbox.invalid",), internal=False, owner="carl"), (
        "the mail stays"
    )


def test_another_host_name_changes_what_is_said_of_addresses_at_it() -> None:
    forward = {"forward": {"to": ["anna@other.example.net"]}}
    resolver = Resolver(world.of(world.server(), [_DOMAIN, ANNA, world.resource("Mailbox", "carl", forward)], OWN))
    assert resolver.resolution.verdicts["Mailbox", "carl"].accepted
    moved = resolver.apply([world.server(hostname="other.example.net")])
    assert moved.verdicts["Mailbox", "carl"].reason is Reason.UNKNOWN_MAILBOX
    back = resolver.apply([world.server()])
    assert back.verdicts["Mailbox", "carl"].accepted


def _bound(name: str, **spec: object) -> Resource:
    return world.resource("Mailbox", f"{name}-net", {"username": name, "domain": "example.net", **spec})


def test_mail_to_a_mailbox_in_one_domain_does_not_go_to_its_namesake_in_all() -> None:
    leading = _address("info", localPart="info", destinations=[{"address": "anna@example.net"}])
    found = _resolved(ANNA, _bound("anna"), leading)
    there = Route("anna", "example.net", ("anna=example.net@mailbox.invalid",), internal=False, owner="anna-net")
    route = _route(found, "anna", "example.net")
    assert route is not None
    assert route.targets == there.targets
    assert _route(found, "anna") == Route("anna", "", ("anna@mailbox.invalid",), internal=False, owner="anna")
    info = _route(found, "info")
    assert info is not None
    assert info.targets == there.targets
    assert "anna@example.net (Mailbox anna-net)" in found.verdicts["Mailbox", "anna"].message


def test_a_mailbox_in_one_domain_without_an_address_leaves_it_to_nobody() -> None:
    leading = _address("info", localPart="info", destinations=[{"address": "anna@example.net"}])
    found = _resolved(ANNA, _bound("anna", address="Disabled"), leading)
    assert found.verdicts["MailAddress", "info"].reason is Reason.UNKNOWN_MAILBOX
    assert _route(found, "anna", "example.net") == Route("anna", "example.net", (), internal=False)
    assert "Mailbox anna-net" not in found.verdicts["Mailbox", "anna"].message


def test_an_address_that_leads_to_nobody_says_why() -> None:
    found = _resolved(_address("info", "ghost"))
    verdict = found.verdicts["MailAddress", "info"]
    assert (verdict.reason, verdict.path) == (Reason.UNKNOWN_MAILBOX, "spec.destinations[0].mailbox")
    assert (
        verdict.message
        == "there is no Mailbox ghost in force, and there is no other destination: mail to it is refused"
    )


def test_a_group_names_the_first_member_that_is_not_there_and_keeps_the_rest() -> None:
    crew = world.resource("Mailbox", "crew", {"type": "Group", "members": ["anna", "ghost", "gone"]})
    verdict = _resolved(ANNA, crew).verdicts["Mailbox", "crew"]
    assert (verdict.reason, verdict.path, verdict.effective) == (Reason.UNKNOWN_MAILBOX, "spec.members[1]", True)
    assert "Mailbox ghost" in verdict.message


@pytest.mark.timeout(60)
def test_forwards_that_all_lead_into_one_another_are_decided_in_time() -> None:
    """A chain and a knot of some hundreds: with every one asking all others anew this takes minutes."""
    chain = [world.resource("Mailbox", f"c{n}", {"forward": {"to": [f"c{n + 1}@example.org"]}}) for n in range(200)]
    people = [f"k{n}" for n in range(200)]
    spec = {"forward": {"to": ["knot@example.org"], "keepCopy": True}}
    knot = [world.resource("Mailbox", name, spec) for name in people]
    group = world.resource("Mailbox", "knot", {"type": "Group", "members": people, "address": "Enabled"})
    found = _resolved(*chain, world.resource("Mailbox", "c200", {}), *knot, group)
    assert _route(found, "c0") == Route("c0", "", ("c200@mailbox.invalid",), internal=False, owner="c0")
    route = _route(found, "knot")
    assert route is not None
    assert len(route.targets) == 200
    assert found.verdicts["Mailbox", "k7"].reason is Reason.CYCLE


def test_a_mailbox_says_which_of_its_addresses_lead_elsewhere() -> None:
    away = _address("sales", "bert", localPart="anna", domain="example.net")
    found = _resolved(ANNA, BERT, away)
    said = found.verdicts["Mailbox", "anna"]
    assert said.accepted, "it may be what the administrator wants"
    assert said.message.endswith("Mail to anna@example.net (MailAddress sales) is not delivered to this Mailbox.")
    assert found.verdicts["MailAddress", "sales"].accepted
    both = _address("sales", "bert", "anna", localPart="anna", domain="example.net")
    forwarding = world.resource("Mailbox", "anna", {"forward": {"to": ["a@b.example"]}})
    for others in ((ANNA, both), (forwarding, both), (ANNA,)):
        assert "elsewhere" not in _resolved(*others, BERT).verdicts["Mailbox", "anna"].message


@pytest.mark.parametrize("first", ["Mailbox", "MailAddress"])
@pytest.mark.parametrize("domain", ["", "example.net"])
def test_between_a_mailbox_and_an_address_of_its_name_age_counts_nothing_and_both_tell(first: str, domain: str) -> None:
    """A restore and a GitOps tool make objects by kind, so age would say who wins by chance."""
    created = {"Mailbox": "2026-01-02T00:00:00Z", "MailAddress": "2026-01-02T00:00:00Z", first: "2026-01-01T00:00:00Z"}
    to = {"destinations": [{"mailbox": "bert"}], "localPart": "anna"} | ({"domain": domain} if domain else {})
    mailbox = world.resource("Mailbox", "anna", {}, created["Mailbox"])
    address = world.resource("MailAddress", "sales", to, created["MailAddress"])
    found = _resolved(mailbox, BERT, address)
    said, told = found.verdicts["Mailbox", "anna"], found.verdicts["MailAddress", "sales"]
    assert said.accepted
    assert "MailAddress sales" in said.message
    route = _route(found, "anna", domain)
    assert route is not None
    if domain:
        assert told.accepted
        assert route.targets == ("bert@mailbox.invalid",), "who writes a domain means it"
    else:
        assert (told.reason, told.path) == (Reason.CONFLICT, "spec.localPart")
        assert "Mailbox anna" in told.message
        assert route.targets == ("anna@mailbox.invalid",)


def test_a_mailbox_with_many_addresses_that_lead_elsewhere_names_some() -> None:
    domains = [world.resource("MailDomain", f"d{number}.example", {}) for number in range(6)]
    away = [_address(f"a{n}", "bert", localPart="anna", domain=f"d{n}.example") for n in range(6)]
    message = _resolved(ANNA, BERT, *domains, *away).verdicts["Mailbox", "anna"].message
    assert message.count("anna@") == 3
    assert "and 3 more is not delivered" in message


@pytest.mark.parametrize("name", ["internal", "selfsigned", "smtp", "smtp-edge", "imap", "store", "directory-07"])
def test_a_secret_of_the_platform_is_nobodys_password(name: str) -> None:
    reference = {"name": f"mail-{name}", "key": "hash-key"}
    anna = world.resource("Mailbox", "anna", {"passwordSecret": reference})
    found = _resolved(anna)
    said = found.verdicts["Mailbox", "anna"]
    assert (said.reason, said.path) == (Reason.INVALID, "spec.passwordSecret.name")
    account = _platform(found).account("anna")
    assert account is not None
    assert not account.password
    server = world.server(masterUser={"passwordSecret": reference})
    assert found.verdicts["MailServer", "mail"].accepted
    assert _resolved(server=server).verdicts["MailServer", "mail"].reason is Reason.INVALID
    assert references.own(f"mail-{name}", ("mail",))
    assert not references.own(f"mail-{name}-of-anna", ("mail",))
