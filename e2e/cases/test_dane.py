"""Relay hosts that prove themselves by TLSA records (DANE, RFC 7672), with a resolver that validates and a signed zone.

Mail waits where the proof is missing, and the status says what is missing; no server learns the password meanwhile.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest
from kubernetes.client import ApiException

from e2e import turns
from e2e.cases.test_relayhosts import ANYWHERE, IMPLICIT, SUBMISSION, Provider, came, delivering, last, send
from e2e.platform import manifest, password_secret
from e2e.post import drained, flush, present
from e2e.world.signed import tlsa, tlsa_of_certificate

if TYPE_CHECKING:
    from collections.abc import Iterator

    from e2e.clients import Account
    from e2e.kube import Object
    from e2e.platform import Platform
    from e2e.world import World
    from e2e.world.peer import Peer

USER = "news"
LOGIN = "dane-login"
UNPROVEN = {
    "other-key": ("TLSFailed", "certificate matches no TLSA record for _587._tcp.other-key."),
    "no-record": ("TLSFailed", "publish TLSA records for _587._tcp.no-record."),
    "unusable": ("TLSFailed", "no TLSA record for _587._tcp.unusable."),
    "stripped": ("TLSFailed", "no STARTTLS"),
    "bogus": ("DeliveryDeferred", "wrong signature"),
    "bogus-record": ("TLSFailed", "gives no answer about _587._tcp.bogus-record."),
    "unvalidated": ("TLSFailed", "does not validate DNSSEC (no AD bit)"),
}
"""Hosts, and the reason and words of the status of their relay hosts."""
PROVEN = ("renewed", "whole", "led-on", "alias", "ALIAS")
"""Hosts whose records are as servers on the internet have them."""


@dataclass(frozen=True)
class Zones:
    """A server that proves itself, one that fails to in several ways by several names, and one without TLS."""

    platform: Platform
    signed: str
    plain: str
    right: Peer
    wrong: Peer
    clear: Peer

    def relay(self, name: str, host: str, **spec: Any) -> Object:  # noqa: ANN401
        asked = {"host": host, "tls": "DANE", "senders": ["@example.org"], "credentialsSecret": {"name": LOGIN}, **spec}
        return manifest("RelayHost", self.platform.namespace, name, asked)


@pytest.fixture(scope="module")
def zones(platform: Platform, world: World) -> Iterator[Zones]:
    signed, plain, login = world.signed.origin, f"dane-{turns.worker()}.test", {USER: secrets.token_urlsafe(9)}
    ports = (SUBMISSION, IMPLICIT)
    right = world.start_peer(f"right.{signed}", ports=ports, tls=True, by_name=True, passwords=login)
    wrong = world.start_peer(f"wrong.{signed}", ports=ports, tls=True, passwords=login)
    clear = world.start_peer(f"stripped.{signed}", ports=(SUBMISSION,), passwords=login)
    of_right, of_wrong = tlsa(right.authority), tlsa(wrong.authority)
    at = f"_{SUBMISSION}._tcp"
    addresses = {
        name: [f"A {wrong.address}"] for name in ("other-key", "no-record", "unusable", "bogus", "bogus-record")
    }
    records = {
        f"{at}.right": [of_right],
        f"_{IMPLICIT}._tcp.right": [of_right],
        f"{at}.other-key": [of_right],
        f"{at}.unusable": [of_wrong.replace("TLSA 3", "TLSA 1")],
        f"{at}.bogus": [of_wrong],
        f"{at}.bogus-record": [of_wrong],
        f"{at}.stripped": [of_right],
        "renewed": [f"A {wrong.address}"],
        f"{at}.renewed": [of_right, of_wrong],  # the key before and the one after a change
        "whole": [f"A {wrong.address}"],
        f"{at}.whole": [tlsa_of_certificate(wrong.authority)],
        "led-on": [f"A {wrong.address}"],
        f"{at}.led-on": [f"CNAME {at}.renewed"],  # one record for many names
        "alias": ["CNAME renewed"],
        "right": [f"A {right.address}"],
        "stripped": [f"A {clear.address}"],
    }
    world.signed.publish(addresses | records, bogus=["bogus", f"{at}.bogus-record"])
    world.zones.publish(plain, {"unvalidated": [f"A {wrong.address}"], f"{at}.unvalidated": [of_wrong]})
    platform.kube.apply(password_secret(platform.namespace, LOGIN, {"username": USER, "password": login[USER]}))
    yield Zones(platform, signed, plain, right, wrong, clear)
    world.zones.withdraw(plain)
    world.signed.stop()


@pytest.fixture(autouse=True)
def nothing_waits(platform: Platform) -> Iterator[None]:
    yield
    drained(platform)


@pytest.mark.row("R7")
@pytest.mark.parametrize("implicit", [False, True], ids=["STARTTLS", "port 465"])
def test_a_relay_host_that_proves_itself_gets_the_mail(
    platform: Platform, zones: Zones, alice: Account, elsewhere: Peer, *, implicit: bool
) -> None:
    """No authority signed its certificate, and it shows it only to those who ask for its name (RFC 7672, 8.1)."""
    name = f"proven-{secrets.token_hex(2)}"
    with present(platform, zones.relay(name, f"right.{zones.signed}", implicitTLS=implicit)):
        one = came(Provider(zones.right, ""), send(alice, "alice@example.org", elsewhere.recipient(ANYWHERE)))
        assert (one.login, bool(one.tls), one.asked) == (USER, True, f"right.{zones.signed}")
        delivering(platform, name, "True", "Delivered")
        (pod,) = platform.kube.pods(platform.namespace, "smtp", platform.name)
        lines = platform.kube.logs(platform.namespace, pod["metadata"]["name"], "postfix").splitlines()
        (told,) = [line for line in lines if f"rh-{name}/" in line and "TLS connection established" in line]
        assert f"Verified TLS connection established to right.{zones.signed}" in told


@pytest.mark.row("R7")
@pytest.mark.parametrize("host", PROVEN)
def test_records_of_every_usual_form_prove_a_relay_host(
    platform: Platform, zones: Zones, alice: Account, elsewhere: Peer, host: str
) -> None:
    name = f"proven-{secrets.token_hex(2)}"
    with present(platform, zones.relay(name, f"{host}.{zones.signed}")):
        one = came(Provider(zones.wrong, ""), send(alice, "alice@example.org", elsewhere.recipient(ANYWHERE)))
        assert (one.login, bool(one.tls)) == (USER, True)
        delivering(platform, name, "True", "Delivered")


@pytest.mark.row("R7")
@pytest.mark.parametrize("host", UNPROVEN)
def test_mail_waits_for_a_relay_host_that_does_not_prove_itself(
    platform: Platform, zones: Zones, alice: Account, elsewhere: Peer, host: str
) -> None:
    reason, says = UNPROVEN[host]
    name = f"unproven-{secrets.token_hex(2)}"
    zone = zones.plain if host == "unvalidated" else zones.signed
    logins = [*zones.wrong.logins(), *zones.clear.logins()]
    with present(platform, zones.relay(name, f"{host}.{zone}")):
        message = send(alice, "alice@example.org", elsewhere.recipient(ANYWHERE))
        assert says in delivering(platform, name, "False", reason)
        assert last(platform, name, "lastDeferred")
        assert [*zones.wrong.logins(), *zones.clear.logins()] == logins, "no password was shown"
        assert not any(Provider(peer, "").got(message) for peer in (zones.wrong, zones.clear))
        # Nothing was lost: whoever asks for less, or for another host, gets the message through.
        platform.kube.apply(zones.relay(name, f"right.{zones.signed}", tls="Required"))
        platform.kube.wait_condition("RelayHost", platform.namespace, name, "Ready")
        flush(platform)
        came(Provider(zones.right, ""), message)


@pytest.mark.row("R7")
@pytest.mark.parametrize("host", ["192.0.2.7", "2001:db8::7"])
def test_an_address_has_no_tlsa_records(platform: Platform, host: str) -> None:
    spec = {"host": host, "tls": "DANE", "default": True}
    with pytest.raises(ApiException) as caught:
        platform.kube.apply(manifest("RelayHost", platform.namespace, "wrong", spec))
    assert "DANE needs a host name" in str(caught.value.body)
