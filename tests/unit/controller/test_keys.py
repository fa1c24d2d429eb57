"""Keys and certificates: made once, added where they are missing, never overwritten."""

from __future__ import annotations

import datetime as dt

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from postboat.controller import certificates
from postboat.controller.keys import PASSWORDS, additions
from postboat.model.platform import Wanted, WantedKind

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


def test_worn_leaves_are_made_anew_and_passwords_are_not() -> None:
    held = additions(INTERNAL, {}, NOW)
    later = additions(INTERNAL, held, NOW + dt.timedelta(days=370))
    assert set(later) == {f"{pair}.{part}" for pair in ("store", "smtp", "client") for part in ("crt", "key")}
    certificate(later["store.crt"]).verify_directly_issued_by(certificate(held["ca.crt"]))


def test_a_new_authority_takes_all_leaves_with_it() -> None:
    held = additions(INTERNAL, {}, NOW)
    later = additions(INTERNAL, held, NOW + dt.timedelta(days=3600))
    assert {"ca.crt", "ca.key", "store.crt", "smtp.crt", "client.crt"} <= set(later)
    assert not set(later) & set(PASSWORDS)


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
