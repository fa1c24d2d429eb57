"""Keys and certificates: made once, added where they are missing, never overwritten."""

from __future__ import annotations

import datetime as dt

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from postboat.controller.reconcile import certificates
from postboat.controller.reconcile.keys import PASSWORDS, Renewal, additions, renewal
from postboat.model.platform import Wanted, WantedKind
from postboat.model.server_config import settle_site
from postboat.model.snapshot import SecretContent
from tests.golden import world

NOW = dt.datetime(2030, 1, 1, tzinfo=dt.UTC)
INTERNAL = Wanted(
    WantedKind.INTERNAL,
    "mail-internal",
    ("*.mail-store.ns.svc.cluster.local",),
    ("mail-smtp-pods.ns.svc.cluster.local",),
)
SELF_SIGNED = Wanted(WantedKind.SELF_SIGNED, "mail-selfsigned", ("mail.example.test",))
DKIM = Wanted(WantedKind.DKIM, "example.test-dkim", selector="default")


def certificate(pem: bytes) -> x509.Certificate:
    return x509.load_pem_x509_certificate(pem)


def test_the_internal_secret_is_complete_and_consistent() -> None:
    made = additions(INTERNAL, {}, NOW)
    pairs = {f"{pair}.{part}" for pair in ("ca", "store", "smtp", "client") for part in ("crt", "key")}
    assert set(made) == pairs | set(PASSWORDS)
    for name in PASSWORDS:
        assert made[name].isalnum()
        assert len(made[name]) == 40
    assert len({made[name] for name in PASSWORDS}) == len(PASSWORDS)
    ca = certificate(made["ca.crt"])
    for pair in ("store", "smtp", "client"):
        certificate(made[f"{pair}.crt"]).verify_directly_issued_by(ca)
    names = certificate(made["store.crt"]).extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.DNSName) == list(INTERNAL.hosts)


def test_what_is_good_stays_and_what_is_missing_comes() -> None:
    held = additions(INTERNAL, {}, NOW)
    assert additions(INTERNAL, held, NOW) == {}
    del held["valkey-password"], held["smtp.key"]
    assert set(additions(INTERNAL, held, NOW)) == {"valkey-password", "smtp.crt", "smtp.key"}


def test_expiring_certificates_are_renewed_and_passwords_are_not() -> None:
    held = additions(INTERNAL, {}, NOW)
    later = additions(INTERNAL, held, NOW + dt.timedelta(days=370))
    assert set(later) == {f"{pair}.{part}" for pair in ("store", "smtp", "client") for part in ("crt", "key")}
    certificate(later["store.crt"]).verify_directly_issued_by(certificate(held["ca.crt"]))


def test_a_new_authority_takes_all_leaves_with_it() -> None:
    held = additions(INTERNAL, {}, NOW)
    later = additions(INTERNAL, held, NOW + dt.timedelta(days=3600))
    assert {"ca.crt", "ca.key", "store.crt", "smtp.crt", "client.crt"} <= set(later)
    assert not set(later) & set(PASSWORDS)


def test_trust_in_an_authority_overlaps_with_trust_in_its_successor() -> None:
    """Pods take files over one by one, so those of yesterday must know who signs tomorrow."""
    held = additions(INTERNAL, {}, NOW)
    end = certificate(held["ca.crt"]).not_valid_after_utc
    held |= additions(INTERNAL, held, end - dt.timedelta(days=200))
    before = dict(held)
    announced = additions(INTERNAL, held, end - dt.timedelta(days=110))
    assert set(announced) == {"ca.crt", "next.crt", "next.key"}, "whoever signs goes on signing"
    held |= announced
    old, new = x509.load_pem_x509_certificates(held["ca.crt"])
    assert old == certificate(before["ca.crt"])
    assert additions(INTERNAL, held, end - dt.timedelta(days=100)) == {}
    switched = additions(INTERNAL, held, end - dt.timedelta(days=80))
    pairs = {f"{pair}.{part}" for pair in ("ca", "store", "smtp", "client") for part in ("crt", "key")}
    assert set(switched) == pairs
    assert x509.load_pem_x509_certificates(switched["ca.crt"]) == [new, old], "pods that lag are trusted too"
    for pair in ("store", "smtp", "client"):
        certificate(switched[f"{pair}.crt"]).verify_directly_issued_by(new)
    held |= switched
    assert additions(INTERNAL, held, end + dt.timedelta(days=1)) == {}
    assert renewal(before, announced) == Renewal(("ca.crt",), abrupt=False)
    assert renewal(before | announced, switched) == Renewal(tuple(sorted(pairs)), abrupt=False)
    assert renewal({}, before) == Renewal((), abrupt=False)


def test_what_is_wanted_is_made_and_then_no_more_for_twenty_years() -> None:
    """One rule says what is due, for the one who asks and for the one who makes."""
    server, held = world.server(), additions(INTERNAL, {}, NOW)
    trusted: set[bytes] = set()
    for days in range(0, 7300, 9):
        now = NOW + dt.timedelta(days=days)
        secret = SecretContent("mail", "mail-internal", exists=True, data=held)
        wanted = settle_site(server, world.ENVIRONMENT, {"mail-internal": secret}, now).wanted
        internal = [one for one in wanted if one.kind is WantedKind.INTERNAL]
        made = additions(internal[0], held, now) if internal else {}
        assert bool(internal) == bool(made), internal
        known = set(x509.load_pem_x509_certificates(held["ca.crt"]))
        held = held | made
        signer = x509.load_pem_x509_certificates(held["ca.crt"])[0]
        assert signer in known, "nobody signs whom the pods have not known before"
        trusted.add(held["ca.key"])
        for pair in ("store", "smtp", "client"):
            certificate(held[f"{pair}.crt"]).verify_directly_issued_by(signer)
            assert certificate(held[f"{pair}.crt"]).not_valid_after_utc > now + dt.timedelta(days=20)
    assert len(trusted) == 3


@pytest.mark.parametrize("part", ["ca.crt", "ca.key"])
def test_an_authority_that_is_broken_is_replaced_and_what_is_readable_stays_trusted(part: str) -> None:
    held = additions(INTERNAL, {}, NOW)
    other = additions(INTERNAL, {}, NOW)
    broken = {**held, part: b"nothing" if part == "ca.crt" else other["ca.key"]}
    later = additions(INTERNAL, broken, NOW)
    assert not set(later) & set(PASSWORDS)
    found = x509.load_pem_x509_certificates(later["ca.crt"])
    assert (certificate(held["ca.crt"]) in found) is (part == "ca.key")
    assert renewal(broken, later).abrupt
    certificate(later["store.crt"]).verify_directly_issued_by(found[0])


def test_the_self_signed_certificate_follows_the_host_name() -> None:
    made = additions(SELF_SIGNED, {}, NOW)
    assert set(made) == {"ca.crt", "tls.crt", "tls.key"}
    certificate(made["tls.crt"]).verify_directly_issued_by(certificate(made["ca.crt"]))
    assert additions(SELF_SIGNED, made, NOW) == {}
    renamed = Wanted(WantedKind.SELF_SIGNED, "mail-selfsigned", ("other.example.test",))
    assert set(additions(renamed, made, NOW)) == {"ca.crt", "tls.crt", "tls.key"}


def test_a_fault_of_this_program_replaces_no_authority(monkeypatch: pytest.MonkeyPatch) -> None:
    held = additions(INTERNAL, {}, NOW)

    def broken(*_: object) -> None:
        raise AttributeError("as in another version of the library")

    monkeypatch.setattr(certificates.serialization, "load_pem_private_key", broken)
    with pytest.raises(AttributeError):
        additions(INTERNAL, held, NOW)


def test_a_dkim_key_is_made_once() -> None:
    made = additions(DKIM, {}, NOW)
    key = load_pem_private_key(made["default.key"], None)
    assert isinstance(key, RSAPrivateKey)
    assert key.key_size == 2048
    assert made["default.key"].startswith(b"-----BEGIN PRIVATE KEY-----")
    assert additions(DKIM, made, NOW) == {}
