"""Relay hosts: who leaves by which one, what is wrong with one, and what the pods tell of it."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from postboat.agent.deliveries import UNVALIDATED, Deliveries, Delivery
from postboat.api import Resource
from postboat.model.kinds.relayhost import MOST, MOST_BYTES, RELAY_HOST
from postboat.model.platform import RelayHost
from postboat.model.resolve import Resolution, Resolver, resolve
from postboat.model.snapshot import Gone, SecretContent
from postboat.model.verdict import Reason, Verdict
from postboat.render.units import render
from tests.golden import world
from tests.golden.rows import table_rows

OWN = {content.name: content for content in (world.internal("mail", "mail"), world.self_signed("mail", "mail"))}
CA = world.key("ca.crt")


def relay(name: str = "out", day: int = 1, **spec: object) -> Resource:
    asked = {"host": "relay.example.net", **({"default": True} if "senders" not in spec else {}), **spec}
    return world.resource("RelayHost", name, asked, f"2026-01-{day:02d}T00:00:00Z")


def login(**data: bytes) -> SecretContent:
    return SecretContent("mail", "login", exists=True, data=data or {"username": b"u", "password": b"p"})


def resolved(*resources: Resource, secrets: Mapping[str, SecretContent] | None = None) -> Resolution:
    return resolve(world.of(world.server(), resources, OWN | dict(secrets or {})))


def host_of(resolution: Resolution, name: str = "out") -> RelayHost | None:
    assert resolution.platform is not None
    return next((host for host in resolution.platform.relay_hosts if host.resource == name), None)


def verdict_of(resolution: Resolution, name: str = "out") -> Verdict:
    return resolution.verdicts["RelayHost", name]


def rows(resolution: Resolution, table: str) -> dict[str, str]:
    assert resolution.platform is not None
    files = render(resolution.platform)
    return {row[0]: row[1] for _, name, row in table_rows(files.shards) if name == table}


def file(resolution: Resolution, name: str) -> str:
    assert resolution.platform is not None
    return next(one.content.decode() for one in render(resolution.platform).units["smtp"] if one.key == name)


@pytest.mark.parametrize(
    ("spec", "port", "level"),
    [
        ({}, 587, "Opportunistic"),
        ({"tls": "None", "port": 25}, 25, "None"),
        ({"implicitTLS": True}, 465, "Required"),
        ({"implicitTLS": True, "tls": "Verified", "port": 4465}, 4465, "Verified"),
        ({"credentialsSecret": {"name": "login"}}, 587, "Verified"),
        ({"credentialsSecret": {"name": "login"}, "tls": "Required"}, 587, "Required"),
        ({"credentialsSecret": {"name": "login"}, "tls": "DANE"}, 587, "DANE"),
        ({"implicitTLS": True, "tls": "DANE"}, 465, "DANE"),
    ],
)
def test_port_and_level(spec: dict[str, Any], port: int, level: str) -> None:
    found = host_of(resolved(relay(**spec), secrets={"login": login()}))
    assert found is not None
    assert (found.port, found.tls, found.waits) == (port, level, "")


def test_every_form_of_a_sender_leads_to_the_transport_of_its_relay_host() -> None:
    senders = ["News@Example.COM", "@Bücher.example", "jane+tag@example.org"]
    found = resolved(relay("news", senders=senders), relay("rest", host="192.0.2.7", port=25))
    way = "rh-news:[relay.example.net]:587"
    assert rows(found, "senders") == {
        "news@example.com": way,
        "@bücher.example": way,
        "@xn--bcher-kva.example": way,
        "jane+tag@example.org": way,
    }
    assert "\ndefault_transport = rh-rest:[192.0.2.7]:25\n" in file(found, "main.cf")
    assert "\ndefault_transport = smtp\n" in file(resolved(relay("news", senders=senders)), "main.cf")
    assert RELAY_HOST.facts(relay("news"), verdict_of(found, "news"), found.platform)["senderCount"] == 4  # type: ignore[arg-type]


def test_logins_and_policies_are_told_apart_by_the_name_and_the_next_hop() -> None:
    login_of = {"credentialsSecret": {"name": "login"}, "senders": ["a@example.com"]}
    other = SecretContent("mail", "second", exists=True, data={"u": b"two\n", "p": b"p:w\r\n"})
    second = {"credentialsSecret": {"name": "second", "usernameKey": "u", "passwordKey": "p"}, "tls": "Required"}
    resources = (relay("one", **login_of), relay("two", **second), relay("three", senders=["b@example.com"]))
    found = resolved(*resources, secrets={"login": login(), "second": other})
    assert rows(found, "credentials") == {
        "rh-one/[relay.example.net]:587": "u:p",
        "rh-two/[relay.example.net]:587": "two:p:w",
    }
    assert rows(found, "relaypolicies") == {
        "rh-one/[relay.example.net]:587": "secure match=nexthop",
        "rh-two/[relay.example.net]:587": "encrypt",
        "rh-three/[relay.example.net]:587": "may",
    }
    master = file(found, "master.cf")
    assert master.count("smtp_sasl_auth_enable = yes") == 2
    assert "smtp_tls_wrappermode" not in master.partition("rh-one")[2]


@pytest.mark.parametrize(
    ("data", "reason", "says"),
    [
        (None, Reason.SECRET_NOT_FOUND, "no Secret login"),
        ({"username": b"u"}, Reason.SECRET_KEY_NOT_FOUND, "no key password"),
        ({"username": b"", "password": b"p"}, Reason.INVALID_SECRET, "empty"),
        ({"username": b"u", "password": b"\n"}, Reason.INVALID_SECRET, "empty"),
        ({"username": b"a:b", "password": b"p"}, Reason.INVALID_SECRET, "colon"),
        ({"username": b"u", "password": b"one\ntwo"}, Reason.INVALID_SECRET, "more than one line"),
        ({"username": b"u", "password": b"a\tb"}, Reason.INVALID_SECRET, "control character"),
        ({"username": b"u", "password": b"ends "}, Reason.INVALID_SECRET, "white space"),
        ({"username": b" u", "password": b"p"}, Reason.INVALID_SECRET, "white space"),
        ({"username": b"u", "password": b"\xff\xfe"}, Reason.INVALID_SECRET, "UTF-8"),
        ({"username": b"u", "password": b"x" * 513}, Reason.INVALID_SECRET, "longer than 512"),
    ],
)
def test_mail_waits_without_a_login(data: dict[str, bytes] | None, reason: Reason, says: str) -> None:
    secret = {"login": login(**data)} if data else {}
    found = resolved(relay(senders=["@example.com"], credentialsSecret={"name": "login"}), secrets=secret)
    verdict = verdict_of(found)
    assert (verdict.reason, verdict.path, verdict.effective) == (reason, "spec.credentialsSecret", True)
    assert says in verdict.message
    assert "one" not in verdict.message.split("Secret login")[1].replace("more than one line", "")
    assert rows(found, "senders")["@example.com"] == "waits:unix:no-relay-host"
    assert not rows(found, "credentials")
    assert not rows(found, "relaypolicies")


def test_a_secret_of_the_platform_is_not_handed_out() -> None:
    asked = {"name": "mail-internal", "usernameKey": "hash-key", "passwordKey": "master-password"}
    found = resolved(relay(credentialsSecret=asked))
    assert verdict_of(found).reason is Reason.INVALID
    assert not rows(found, "credentials")
    assert "default_transport = waits:" in file(found, "main.cf")


def test_a_secret_that_comes_lets_mail_go() -> None:
    resolver = Resolver(world.of(world.server(), [relay(credentialsSecret={"name": "login"})], OWN))
    services = file(resolver.resolution, "master.cf")
    assert "smtp_sasl_auth_enable = yes" in services
    after = resolver.apply([login()])
    assert file(after, "master.cf") == services, "tables change before a reload: no message may go without a login"
    assert verdict_of(after).accepted
    assert rows(after, "credentials")
    resolver.apply([login(username=b"u", password=b"new")])
    assert rows(resolver.resolution, "credentials") == {"rh-out/[relay.example.net]:587": "u:new"}
    gone = resolver.apply([Gone("RelayHost", "out")])
    assert gone.platform is not None
    assert gone.platform.relay_hosts == ()
    assert ("RelayHost", "out") not in gone.verdicts


@pytest.mark.parametrize(
    ("data", "tls", "reason", "waits"),
    [
        (None, "Verified", Reason.SECRET_NOT_FOUND, True),
        (b"", "Verified", Reason.SECRET_KEY_NOT_FOUND, True),
        (b"no pem", "Verified", Reason.INVALID_SECRET, True),
        (None, "Required", Reason.SECRET_NOT_FOUND, False),
        (CA, "Verified", Reason.ACCEPTED, False),
        (CA, "Required", Reason.ACCEPTED, False),
    ],
)
def test_the_authority(data: bytes | None, tls: str, reason: Reason, waits: bool) -> None:  # noqa: FBT001
    secret = (
        {} if data is None else {"ca": SecretContent("mail", "ca", exists=True, data={"ca.crt": data} if data else {})}
    )
    found = resolved(relay(tls=tls, caSecret={"name": "ca", "key": "ca.crt"}), secrets=secret)
    host = host_of(found)
    assert host is not None
    assert verdict_of(found).effective, "mail that waits for a certificate does not leave another way"
    assert (verdict_of(found).reason, bool(host.waits), bool(host.authority)) == (
        reason,
        waits,
        (data, tls) == (CA, "Verified"),
    )


def test_of_two_for_one_sender_the_older_counts() -> None:
    first = relay("z-first", 1, senders=["A@example.com", "@bücher.example"])
    second = relay("a-second", 2, senders=["b@example.com", "a@EXAMPLE.com"])
    third = relay("third", 3, senders=["@xn--bcher-kva.example"])
    found = resolved(third, second, first)
    assert verdict_of(found, "z-first").accepted
    verdict = verdict_of(found, "a-second")
    assert (verdict.reason, verdict.path, verdict.effective) == (Reason.CONFLICT, "spec.senders[1]", True)
    assert "z-first" in verdict.message
    assert (verdict_of(found, "third").reason, verdict_of(found, "third").effective) == (Reason.CONFLICT, False)
    assert host_of(found, "third") is None
    assert rows(found, "senders")["b@example.com"].startswith("rh-a-second:")
    resolver = Resolver(world.of(world.server(), [first, second, third], OWN))
    after = resolver.apply([Gone("RelayHost", "z-first")])
    assert verdict_of(after, "third").accepted
    assert after.platform == resolved(second, third).platform


def test_of_two_defaults_the_older_counts() -> None:
    found = resolved(relay("old", 1), relay("new", 2), relay("both", 3, default=True, senders=["@example.com"]))
    assert verdict_of(found, "new") == Verdict(
        Reason.CONFLICT, "RelayHost old is older, and it is the default for all other mail", "spec.default"
    )
    assert (verdict_of(found, "both").path, verdict_of(found, "both").effective) == ("spec.default", True)
    assert [host.resource for host in (found.platform.relay_hosts if found.platform else ())] == ["both", "old"]


def test_a_sender_that_nobody_can_be() -> None:
    found = resolved(relay(senders=["@mailbox.invalid", "a@example.com"]))
    assert (verdict_of(found).reason, verdict_of(found).path) == (Reason.INVALID, "spec.senders[0]")
    assert list(rows(found, "senders")) == ["a@example.com"]
    alone = resolved(relay(senders=["@mailbox.invalid"]))
    assert not verdict_of(alone).effective
    assert host_of(alone) is None


def test_no_more_than_postfix_can_start_and_a_secret_can_hold() -> None:
    many = [relay(f"r{number:03}", 1, senders=[f"u{number}@example.com"]) for number in range(MOST + 1)]
    found = resolved(*many)
    assert verdict_of(found, f"r{MOST:03}").reason is Reason.TOO_LARGE
    assert len(found.platform.relay_hosts if found.platform else ()) == MOST
    large = CA * (MOST_BYTES // len(CA) + 1)
    secret = {"ca": SecretContent("mail", "ca", exists=True, data={"ca.crt": large})}
    host = host_of(too := resolved(relay(tls="Verified", caSecret={"name": "ca", "key": "ca.crt"}), secrets=secret))
    assert verdict_of(too).reason is Reason.TOO_LARGE
    assert host is not None
    assert (host.authority, bool(host.waits)) == (b"", True)


def test_long_names_fit_into_sockets_and_keys() -> None:
    label = "x" * 63
    host = ".".join([label] * 3) + ".example"
    found = resolved(*(relay(f"{'x' * 200}{end}", senders=[f"{end}@example.com"], host=host) for end in "ab"))
    assert len(rows(found, "relaypolicies")) == 2
    assert all(len(key) < 300 for key in rows(found, "relaypolicies"))
    assert all(len(one.transport) < 80 for one in (found.platform.relay_hosts if found.platform else ()))


@pytest.mark.parametrize(
    ("host", "named"), [("relay.example.net", True), ("relay-1.x2", True), ("192.0.2.7", False), ("2001:db8::a", False)]
)
def test_a_name_is_told_to_the_server_and_an_address_is_not(host: str, named: bool) -> None:  # noqa: FBT001
    """Of several servers at one address, each has its own certificate (SNI, RFC 6066)."""
    master = file(resolved(relay(host=host, tls="Verified")), "master.cf")
    assert ("smtp_tls_servername = nexthop" in master) == named


def test_tlsa_records_are_asked_for_where_they_are_demanded() -> None:
    found = resolved(relay("proven", tls="DANE", senders=["a@example.com"]), relay("other", tls="Verified"))
    policies = rows(found, "relaypolicies")
    assert policies["rh-proven/[relay.example.net]:587"] == "dane-only"
    before, proven = file(found, "master.cf").split("\nrh-proven ")
    assert "smtp_dns_support_level = dnssec" in proven
    assert "dnssec" not in before


def test_an_authority_is_not_waited_for_where_tlsa_records_count() -> None:
    found = resolved(relay(tls="DANE", caSecret={"name": "ca", "key": "ca.crt"}))
    host = host_of(found)
    assert host is not None
    assert (host.authority, host.waits) == (b"", "")
    assert verdict_of(found).reason is Reason.SECRET_NOT_FOUND


@pytest.mark.parametrize("host", ["192.0.2.7", "2001:db8::a"])
def test_an_address_has_no_tlsa_records(host: str) -> None:
    verdict = verdict_of(resolved(relay(host=host, tls="DANE")))
    assert (verdict.reason, verdict.path) == (Reason.INVALID, "spec.host")


@pytest.mark.parametrize(
    ("code", "text", "reason", "says"),
    [
        ("4.7.5", "no TLSA records found", Reason.TLS_FAILED, "publish TLSA records for _465._tcp.relay.example.net"),
        ("4.7.5", f"no TLSA records found; {UNVALIDATED}", Reason.TLS_FAILED, "does not validate DNSSEC (no AD bit)"),
        ("4.7.5", "TLSA lookup error for relay.example.net:465", Reason.TLS_FAILED, "wrong signature"),
        ("4.7.5", "TLSA records unusable", Reason.TLS_FAILED, "3 1 1"),
        ("4.7.5", "Server certificate not verified", Reason.TLS_FAILED, "matches no TLSA record for _465._tcp."),
        ("4.7.4", "TLS is required, but was not offered by host", Reason.TLS_FAILED, "offers no STARTTLS"),
        ("4.4.3", "Host or domain name not found", Reason.DELIVERY_DEFERRED, "wrong signature"),
        ("4.4.4", "Host or domain name not found", Reason.DELIVERY_DEFERRED, "not found"),
        ("4.7.5", "client TLS configuration problem", Reason.TLS_FAILED, "spec.tls"),
        ("4.4.1", "connect to relay: Connection refused", Reason.DELIVERY_DEFERRED, "refused"),
    ],
)
def test_why_mail_waits_for_a_host_that_does_not_prove_itself(code: str, text: str, reason: Reason, says: str) -> None:
    proven = replace(relay(tls="DANE", implicitTLS=True), created="")
    found = RELAY_HOST.observed(proven, Deliveries(deferred=Delivery(100, code, text)), world.NOW)
    assert (found.reason, found.holds) == (reason, False)
    assert says in found.message
    assert f"{code} {text}" in found.message
    fine = RELAY_HOST.observed(proven, Deliveries(accepted=accepted(100)), world.NOW)
    assert (fine.reason, fine.holds) == (Reason.DELIVERED, True)


def test_mail_waits_for_a_host_that_dns_does_not_know() -> None:
    """The name may be misspelt, or not be there yet: nothing goes back to its sender for that."""
    master = file(resolved(relay()), "master.cf")
    assert master.count("{ /^5(\\.4\\.4 Host or domain name not found.*)/ 4$$1 }") == 2, (
        "relay hosts and relayed domains"
    )


def accepted(at: int) -> Delivery:
    return Delivery(at, "2.0.0", "250 ok")


def told(status: dict[str, Any] | None, now: int = 0, **seen: Delivery) -> tuple[dict[str, Any], str, bool]:
    moment = datetime.fromtimestamp(now or max(one.at for one in seen.values()), UTC)
    found = RELAY_HOST.observed(replace(relay(), status=status or {}, created=""), Deliveries(**seen), moment)
    return dict(found.fields), str(found.reason) if found.condition else "", found.holds


@pytest.mark.parametrize(
    ("outcome", "code", "text", "reason"),
    [
        ("deferred", "4.7.8", "SASL authentication failed; server said: 535", Reason.AUTHENTICATION_FAILED),
        ("deferred", "4.7.4", "TLS is required, but was not offered by host", Reason.TLS_FAILED),
        ("deferred", "4.7.5", "Server certificate not trusted", Reason.TLS_FAILED),
        ("deferred", "4.4.1", "connect to relay: Connection refused", Reason.DELIVERY_DEFERRED),
        ("refused", "5.7.1", "host said: 550 no", Reason.DELIVERY_REFUSED),
    ],
)
def test_the_last_outcome_counts(outcome: str, code: str, text: str, reason: Reason) -> None:
    fields, found, holds = told(None, accepted=accepted(100), **{outcome: Delivery(100, code, text)})
    assert (found, holds) == (reason, False)
    assert {key: value["code"] for key, value in fields.items()} == {
        "lastAccepted": "2.0.0",
        f"last{outcome.capitalize()}": code,
    }
    fields, found, holds = told(fields, accepted=accepted(101), **{outcome: Delivery(100, code, text)})
    assert (found, holds) == (Reason.DELIVERED, True)


def test_no_message_costs_a_write() -> None:
    first, _, _ = told(None, accepted=accepted(1000))
    assert told(first, accepted=accepted(1599))[0] == first
    assert told(first, accepted=replace(accepted(1300), text="250 queued as another"))[0] == first
    assert told(first, accepted=accepted(1600))[0] != first
    put_off, _, _ = told(None, deferred=Delivery(1000, "4.7.1", "one"))
    two = Delivery(1001, "4.7.1", "two")
    assert told(put_off, 1059, deferred=two)[0] == put_off
    assert told(put_off, 1060, deferred=two)[0]["lastDeferred"]["message"] == "two", "what came too soon is told later"


def test_what_is_known_stays_while_pods_have_told_nothing() -> None:
    status = {"lastAccepted": {"time": "2026-01-01T00:00:00Z", "code": "2.0.0", "message": "250 ok"}, "endpoint": "x"}
    found = RELAY_HOST.observed(replace(relay(), status=status), None, world.NOW)
    assert (dict(found.fields), found.condition) == ({"lastAccepted": status["lastAccepted"]}, "")
    nothing = RELAY_HOST.observed(replace(relay(), status=status), Deliveries(), world.NOW)
    assert (dict(nothing.fields), nothing.condition) == (dict(found.fields), "")


def test_deliveries_of_a_namesake_are_not_told() -> None:
    made = datetime(2026, 1, 1, tzinfo=UTC)
    before, after = (accepted(int(made.timestamp()) + second) for second in (-1, 0))
    assert not RELAY_HOST.observed(relay(), Deliveries(accepted=before), made).condition
    assert RELAY_HOST.observed(relay(), Deliveries(accepted=after), made).condition == "Delivering"
