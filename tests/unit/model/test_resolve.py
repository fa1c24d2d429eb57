"""Decisions between objects: age, servers, placement, and what an object means that is not in force."""

from dataclasses import replace
from typing import Any

import pytest

from postboat.api import Resource
from postboat.model.belonging import belonging
from postboat.model.domains import Domains
from postboat.model.kinds import maildomain
from postboat.model.resolve import Resolver, resolve
from postboat.model.snapshot import Gone, SecretContent, Servers, Snapshot
from postboat.model.verdict import Reason, Verdict
from tests.golden import world

OWN = {content.name: content for content in (world.internal("mail", "mail"), world.self_signed("mail", "mail"))}


def _snapshot(*resources: Resource, server: Resource | None = None) -> Snapshot:
    keys = (world.dkim("mail", resource.name) for resource in resources if resource.kind == "MailDomain")
    return world.of(server or world.server(), resources, OWN | {key.name: key for key in keys})


def test_the_oldest_mailbox_has_the_name_and_the_next_one_inherits_it() -> None:
    old = world.resource("Mailbox", "old", {"username": "anna"}, "2026-01-01T00:00:00Z")
    new = world.resource("Mailbox", "anna", {}, "2026-01-02T00:00:00Z")
    resolver = Resolver(_snapshot(new, old))
    loser = resolver.resolution.verdicts["Mailbox", "anna"]
    assert loser.reason is Reason.CONFLICT
    assert "Mailbox old" in loser.message
    resolution = resolver.apply([Gone("Mailbox", "old")])
    assert resolution.verdicts["Mailbox", "anna"].accepted
    assert ("Mailbox", "old") not in resolution.verdicts
    assert ("Mailbox", "anna") in resolution.touched


def test_a_status_that_says_what_was_decided_needs_no_second_decision_and_counts_later() -> None:
    anna = world.resource("Mailbox", "anna", {})
    resolver = Resolver(_snapshot(anna, server=world.server(storage={"shards": 1})))
    resolution = resolver.apply([replace(anna, status={"store": 0})])
    assert resolution.touched == {("MailServer", "mail")}
    grown = resolver.apply([world.server(storage={"shards": 64})])
    assert grown.platform is not None
    account = grown.platform.account("anna")
    assert account is not None
    assert account.store == 0, "it stays where its status says"


def test_a_status_that_says_something_else_is_decided_about() -> None:
    anna = world.resource("Mailbox", "anna", {})
    resolver = Resolver(_snapshot(anna, server=world.server(storage={"shards": 1})))
    resolution = resolver.apply([replace(anna, status={"store": 3})])
    assert ("Mailbox", "anna") in resolution.touched
    assert resolution.platform is not None
    account = resolution.platform.account("anna")
    assert account is not None
    assert account.store == 3


def test_a_placed_mailbox_goes_to_an_older_server() -> None:
    anna = world.resource("Mailbox", "anna", {}, status={"store": 0})
    resolver = Resolver(_snapshot(anna))
    resolution = resolver.apply([Servers(("other", "mail"))])
    assert resolution.platform is not None
    assert resolution.platform.account("anna") is None


def test_another_server_comes_and_goes() -> None:
    anna = world.resource("Mailbox", "anna", {})
    resolver = Resolver(_snapshot(anna))
    resolver.apply([world.server(name="other"), Servers(("mail", "other"))])
    resolution = resolver.apply([Gone("MailServer", "other"), Servers(("mail",))])
    assert resolution.verdicts["Mailbox", "anna"].accepted
    assert ("MailServer", "other") not in resolution.verdicts


def test_of_equal_age_the_smaller_uid_wins() -> None:
    one, two = (
        replace(world.resource("MailDomain", name, {"domain": "example.org"}), uid=uid)
        for name, uid in (("one", "b"), ("two", "a"))
    )
    verdicts = resolve(_snapshot(one, two)).verdicts
    assert verdicts["MailDomain", "two"].accepted
    assert verdicts["MailDomain", "one"].reason is Reason.CONFLICT


@pytest.mark.parametrize(
    ("named", "servers", "expected"),
    [
        (None, ("mail",), "mail"),
        ("mail", ("mail", "other"), "mail"),
        ("other", ("mail",), Reason.SERVER_NOT_FOUND),
        (None, (), Reason.SERVER_NOT_FOUND),
        (None, ("mail", "other"), "mail"),
        (None, ("other", "mail"), "other"),
    ],
)
def test_belonging(named: str | None, servers: tuple[str, ...], expected: object) -> None:
    found = belonging(world.resource("Mailbox", "anna", {"server": named} if named else {}), servers)
    assert (found.reason if isinstance(found, Verdict) else found) == expected


def test_a_server_belongs_to_itself_whichever_is_older() -> None:
    assert belonging(world.server(name="other"), ("mail", "other")) == "other"


def test_objects_of_another_server_are_not_judged() -> None:
    theirs = world.resource("Mailbox", "anna", {"server": "other"})
    verdicts = resolve(replace(_snapshot(theirs), servers=("mail", "other"))).verdicts
    assert ("Mailbox", "anna") not in verdicts


def test_a_mailbox_stays_on_its_store_when_stores_go_or_come() -> None:
    placed = world.resource("Mailbox", "anna", {}, status={"store": 2})
    for count in (1, 3, 5):
        platform = resolve(_snapshot(placed, server=world.server(storage={"shards": count}))).platform
        assert platform is not None
        account = platform.account("anna")
        assert account is not None
        assert account.store == 2
        assert platform.stores.replicas == max(count, 3)


@pytest.mark.parametrize("store", ["2", -1, 64, 10**9, None, [], {}])
def test_a_store_that_we_never_wrote_is_not_believed(store: object) -> None:
    platform = resolve(_snapshot(world.resource("Mailbox", "anna", {}, status={"store": store}))).platform
    assert platform is not None
    assert platform.stores.replicas == 1


def test_fields_without_effect_are_named() -> None:
    spec = {"dkim": {"enabled": False}, "disclaimer": {"markdown": "*Legal*"}, "filterPolicy": "strict"}
    domain = world.resource("MailDomain", "example.org", spec)
    verdict = resolve(_snapshot(domain)).verdicts["MailDomain", "example.org"]
    assert verdict.accepted
    assert verdict.reason is Reason.FIELD_NOT_IN_FORCE
    assert "spec.disclaimer" in verdict.message
    assert "spec.filterPolicy" in verdict.message
    assert "dkim" not in verdict.message


NEWER = ("spec.newerThanThis",)


@pytest.mark.parametrize(
    ("kind", "name", "spec"),
    [
        ("Mailbox", "anna", {"displayName": "Anna"}),
        ("MailDomain", "example.org", {"copyTo": ["anna@example.org"]}),
        ("MailAddress", "info", {"destinations": [{"mailbox": "anna"}]}),
        ("MailServer", "mail", {"hostname": "mail.example.org"}),
    ],
)
def test_a_field_that_only_newer_definitions_know_is_named_and_the_rest_counts(
    kind: str, name: str, spec: dict[str, object]
) -> None:
    rest = [world.resource("Mailbox", "anna", {}), world.resource("MailDomain", "example.org", {}), world.server()]
    objects = {(one.kind, one.name): one for one in (*rest, world.resource(kind, name, spec))}
    without = resolve(_snapshot(*objects.values(), server=objects["MailServer", "mail"]))
    resolver = Resolver(_snapshot(*objects.values(), server=objects["MailServer", "mail"]))
    newer = replace(objects[kind, name], unknown=NEWER)
    resolution = resolver.apply([newer])
    verdict = resolution.verdicts[kind, name]
    assert verdict == Verdict(
        Reason.FIELD_NOT_IN_FORCE, f"Without effect in this version: {NEWER[0]}.", NEWER[0], effective=True
    )
    assert verdict.accepted
    assert (kind, name) in resolution.touched
    assert resolution.platform == without.platform
    assert resolution.counts == without.counts
    resolver.apply([replace(newer, unknown=("spec.other",))])
    assert "spec.other" in resolver.resolution.verdicts[kind, name].message
    assert resolver.apply([objects[kind, name]]).verdicts[kind, name].reason is Reason.ACCEPTED


def test_a_mailbox_with_a_newer_field_keeps_its_name() -> None:
    old = replace(world.resource("Mailbox", "old", {"username": "anna"}, "2026-01-01T00:00:00Z"), unknown=NEWER)
    young = world.resource("Mailbox", "anna", {}, "2026-01-02T00:00:00Z")
    resolution = resolve(_snapshot(old, young, world.resource("MailDomain", "example.org", {})))
    assert resolution.platform is not None
    account = resolution.platform.account("anna")
    assert account is not None
    assert account.resource == "old"
    assert resolution.verdicts["Mailbox", "anna"].reason is Reason.CONFLICT


def test_known_and_newer_fields_without_effect_are_named_together() -> None:
    domain = world.resource("MailDomain", "example.org", {"filterPolicy": "strict"})
    newer = replace(domain, unknown=("spec.archive", "spec.zone"))
    verdict = resolve(_snapshot(newer)).verdicts["MailDomain", "example.org"]
    assert verdict.message == "Without effect in this version: spec.archive, spec.filterPolicy, spec.zone."


def test_a_list_of_fields_without_effect_fits_into_a_condition() -> None:
    unknown = tuple(f"spec.pods.antivirus.affinity.{'x' * 120}.{number:02d}" for number in range(35))
    verdict = resolve(_snapshot(server=replace(world.server(), unknown=unknown))).verdicts["MailServer", "mail"]
    assert verdict.message.endswith(f"{unknown[19]} and 15 more.")
    assert len(verdict.message) < 4096


def test_a_refused_server_leaves_the_rest_alone() -> None:
    resolution = resolve(_snapshot(world.resource("Mailbox", "anna", {}), server=world.server("not a name")))
    assert resolution.platform is None
    assert resolution.verdicts["MailServer", "mail"].reason is Reason.INVALID
    assert resolution.verdicts["Mailbox", "anna"].accepted


def test_so_many_keys_fit_and_no_more() -> None:
    domains = [
        world.resource("MailDomain", f"d{number}.example", {"dkim": {"enabled": True, "secretName": "keys"}})
        for number in range(402)
    ]
    secrets = OWN | {"keys": replace(world.dkim("mail", "keys"), name="keys")}
    resolution = resolve(world.of(world.server(), domains, secrets))
    assert resolution.platform is not None
    assert len(resolution.platform.domains) == 402
    assert sum(verdict.reason is Reason.TOO_LARGE for verdict in resolution.verdicts.values()) == 2
    assert resolution.wanted == ()


def test_a_server_that_comes_or_goes_touches_what_names_it_and_nothing_else() -> None:
    mine = [world.resource("Mailbox", f"m{number}", {}) for number in range(20)]
    theirs = [
        world.resource("Mailbox", "theirs", {"server": "other"}),
        world.resource("MailDomain", "theirs.example", {"server": "other", "dkim": {"enabled": False}}),
        world.resource("MailAddress", "theirs", {"server": "other", "destinations": [{"mailbox": "m0"}]}),
        world.resource("RelayHost", "theirs", {"server": "other", "host": "relay.example", "default": True}),
        world.resource("Mailbox", "curious", {"passwordSecret": {"name": "other-internal", "key": "hash-key"}}),
    ]
    keys = {(one.kind, one.name) for one in theirs} | {("MailServer", "mail")}
    resolver = Resolver(_snapshot(*mine, *theirs))
    assert resolver.resolution.verdicts["Mailbox", "theirs"].reason is Reason.SERVER_NOT_FOUND
    assert resolver.apply([Servers(("mail", "other"))]).touched == keys
    assert ("Mailbox", "theirs") not in resolver.resolution.verdicts
    assert resolver.apply([Servers(("mail",))]).touched == keys
    assert resolver.resolution.verdicts["Mailbox", "theirs"].reason is Reason.SERVER_NOT_FOUND
    assert resolver.resolution.counts.mailboxes == 21


def test_a_secret_that_no_domain_names_lets_no_domain_be_decided(monkeypatch: pytest.MonkeyPatch) -> None:
    domains = [world.resource("MailDomain", f"d{number}.example", {}) for number in range(3)]
    mailbox = world.resource("Mailbox", "anna", {"passwordSecret": {"name": "pw", "key": "password"}})
    resolver = Resolver(_snapshot(*domains, mailbox))
    decided: list[int] = []
    whole = maildomain.resolve_domains

    def counted(*arguments: Any) -> Domains:  # noqa: ANN401
        decided.append(1)
        return whole(*arguments)

    monkeypatch.setattr(maildomain, "resolve_domains", counted)
    resolver.apply([SecretContent("mail", "pw", exists=True, data={"password": b"secret"})])
    assert decided == []
    resolver.apply([world.dkim("mail", "d1.example")])
    assert decided == [1]
    resolver.apply([Gone("MailDomain", "d1.example"), world.dkim("mail", "d1.example")])
    resolver.apply([world.dkim("mail", "d1.example")])
    assert decided == [1, 1], "nobody names it any more"
