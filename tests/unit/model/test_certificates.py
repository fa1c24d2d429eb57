"""A broken certificate never replaces a good one."""

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any, TypeAlias

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import dsa, ec, ed448, ed25519, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from postboat.controller.reconcile.keys import additions
from postboat.model.platform import CertificateSource, WantedKind
from postboat.model.resolve import Resolution, resolve
from postboat.model.snapshot import SecretContent, Snapshot
from postboat.model.verdict import Reason
from postboat.status.observation import Moment, Observation
from postboat.status.server import report_server
from tests.golden import world

Private: TypeAlias = (
    rsa.RSAPrivateKey
    | ec.EllipticCurvePrivateKey
    | dsa.DSAPrivateKey
    | ed25519.Ed25519PrivateKey
    | ed448.Ed448PrivateKey
)
SERVER = ("MailServer", "mail")


def _snapshot(chain: bytes | None, key: bytes | None, applied: bytes | None = None) -> Snapshot:
    secrets = {item.name: item for item in (world.internal("mail", "mail"), world.self_signed("mail", "mail"))}
    data = {name: content for name, content in (("tls.crt", chain), ("tls.key", key)) if content is not None}
    if data:
        secrets["public"] = SecretContent("mail", "public", exists=True, data=data, type="kubernetes.io/tls")
    if applied is not None:
        secrets["mail-smtp"] = SecretContent("mail", "mail-smtp", exists=True, data={"tls.pem": applied})
    return world.of(world.server(tls={"secretName": "public"}), (), secrets)


def _source(resolution: Resolution) -> CertificateSource:
    assert resolution.platform is not None
    return resolution.platform.certificate.source


def test_a_good_certificate_is_taken() -> None:
    resolution = resolve(_snapshot(world.key("renewed.crt"), world.key("renewed.key")))
    assert _source(resolution) is CertificateSource.SECRET
    assert resolution.verdicts[SERVER].accepted


@pytest.mark.parametrize(
    ("chain", "key", "reason"),
    [
        (None, None, Reason.SECRET_NOT_FOUND),
        (world.key("renewed.crt"), None, Reason.SECRET_KEY_NOT_FOUND),
        (b"nothing", world.key("renewed.key"), Reason.INVALID_SECRET),
        (world.key("renewed.crt"), b"nothing", Reason.INVALID_SECRET),
        (world.key("renewed.crt"), world.key("tls.key"), Reason.INVALID_SECRET),
        (world.key("expired.crt"), world.key("expired.key"), Reason.INVALID_SECRET),
    ],
)
def test_a_broken_one_is_refused_and_the_last_good_one_stays(
    chain: bytes | None, key: bytes | None, reason: Reason
) -> None:
    good = world.planned(resolve(_snapshot(world.key("renewed.crt"), world.key("renewed.key"))))
    assert good.files is not None
    applied = next(file.content for file in good.files.units["smtp"] if file.key == "tls.pem")
    resolution = resolve(_snapshot(chain, key, applied))
    assert resolution.verdicts[SERVER].reason is reason
    assert resolution.verdicts[SERVER].effective
    assert _source(resolution) is CertificateSource.LAST_GOOD
    kept = world.planned(resolution)
    assert kept.files is not None
    assert kept.files.units == good.files.units


RSA, EC = rsa.generate_private_key, ec.generate_private_key
GOOD_KEYS: dict[str, Callable[[], Private]] = {
    "rsa 2048": lambda: RSA(65537, 2048),
    "P-256": lambda: EC(ec.SECP256R1()),
    "P-384": lambda: EC(ec.SECP384R1()),
    "P-521": lambda: EC(ec.SECP521R1()),
    "Ed25519": ed25519.Ed25519PrivateKey.generate,
}
BAD_KEYS: dict[str, Callable[[], Private]] = {
    "rsa 1024": lambda: RSA(65537, 1024),
    "rsa 2040": lambda: RSA(65537, 2040),
    "secp256k1": lambda: EC(ec.SECP256K1()),
    "secp224r1": lambda: EC(ec.SECP224R1()),
    "brainpool": lambda: EC(ec.BrainpoolP256R1()),
    "Ed448": ed448.Ed448PrivateKey.generate,
    "DSA": lambda: dsa.generate_private_key(2048),
}


def issued(  # noqa: PLR0913 - what a certificate says
    key: Private,
    *,
    begin: timedelta = timedelta(days=-1),
    end: timedelta = timedelta(days=60),
    host: str = "mail.example.org",
    purpose: x509.ObjectIdentifier | None = None,
    signer: tuple[str, Private] | None = None,
) -> bytes:
    issuer, by = signer or (host, key)
    builder = (
        x509.CertificateBuilder()
        .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, host)]))
        .issuer_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, issuer)]))
        .public_key(key.public_key())
        .serial_number(7)
        .not_valid_before(world.NOW + begin)
        .not_valid_after(world.NOW + end)
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(host)]), critical=False)
    )
    if purpose is not None:
        builder = builder.add_extension(x509.ExtendedKeyUsage([purpose]), critical=False)
    plain = isinstance(by, ed25519.Ed25519PrivateKey | ed448.Ed448PrivateKey)
    made = builder.sign(by, None if plain else hashes.SHA256())
    return made.public_bytes(serialization.Encoding.PEM)


def pem(key: Private) -> bytes:
    form = (serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    return key.private_bytes(*form)


def _status(resolution: Resolution) -> dict[str, Any]:
    planned = world.planned(resolution)
    made = report_server(resolution.server, planned.verdicts[SERVER], planned, Observation(), Moment(world.NOW))
    assert made is not None
    return next(one for one in made["conditions"] if one["type"] == "CertificateTrusted")


@pytest.mark.parametrize("kind", GOOD_KEYS)
def test_every_kind_of_key_that_clients_know_is_taken(kind: str) -> None:
    key = GOOD_KEYS[kind]()
    resolution = resolve(_snapshot(issued(key), pem(key)))
    assert _source(resolution) is CertificateSource.SECRET
    assert resolution.verdicts[SERVER].accepted
    assert (_status(resolution)["status"], _status(resolution)["reason"]) == ("True", "Trusted")


def _refused(chain: bytes, key: bytes, *words: str) -> None:
    applied = world.key("renewed.key") + world.key("renewed.crt")
    resolution = resolve(_snapshot(chain, key, applied))
    verdict = resolution.verdicts[SERVER]
    assert (verdict.reason, verdict.effective) == (Reason.INVALID_SECRET, True)
    assert all(word in verdict.message for word in words)
    assert _source(resolution) is CertificateSource.LAST_GOOD
    alone = resolve(_snapshot(chain, key))
    assert _source(alone) is CertificateSource.SELF_SIGNED
    assert (_status(alone)["status"], _status(alone)["reason"]) == ("False", "InvalidSecret")


@pytest.mark.parametrize("kind", BAD_KEYS)
def test_a_key_that_no_client_takes_is_refused(kind: str) -> None:
    key = BAD_KEYS[kind]()
    _refused(issued(key), pem(key), "RSA of 2048 bits or more")


@pytest.mark.parametrize("kind", BAD_KEYS)
def test_an_authority_that_no_client_takes_is_refused(kind: str) -> None:
    key, between = EC(ec.SECP256R1()), BAD_KEYS[kind]()
    chain = issued(key, signer=("between", between)) + issued(between, host="between", signer=("root", key))
    _refused(chain, pem(key), "certificate 2 of the chain (CN=between)")


@pytest.mark.parametrize(
    ("begin", "end", "word"),
    [(-9, -1, "ended on"), (-9, 0, "ended on"), (1, 60, "is not valid before"), (0.0001, 60, "is not valid before")],
)
def test_a_certificate_out_of_its_time_is_refused(begin: float, end: float, word: str) -> None:
    key, root = EC(ec.SECP256R1()), EC(ec.SECP256R1())
    days = {"begin": timedelta(days=begin), "end": timedelta(days=end)}
    _refused(issued(key, **days), pem(key), word)
    _refused(issued(key, signer=("between", root)) + issued(root, host="between", **days), pem(key), word)


def test_a_certificate_for_clients_is_refused() -> None:
    key = EC(ec.SECP256R1())
    _refused(issued(key, purpose=ExtendedKeyUsageOID.CLIENT_AUTH), pem(key), "serverAuth")
    fits = resolve(_snapshot(issued(key, purpose=ExtendedKeyUsageOID.SERVER_AUTH), pem(key)))
    assert fits.verdicts[SERVER].accepted


def test_another_host_is_a_warning() -> None:
    key = EC(ec.SECP256R1())
    resolution = resolve(_snapshot(issued(key, host="other.example"), pem(key)))
    assert _source(resolution) is CertificateSource.SECRET
    assert (_status(resolution)["status"], _status(resolution)["reason"]) == ("False", "HostNotCovered")


def test_a_secret_that_is_not_there_is_never_trusted() -> None:
    applied = world.key("renewed.key") + world.key("renewed.crt")
    resolution = resolve(_snapshot(None, None, applied))
    assert _source(resolution) is CertificateSource.LAST_GOOD
    assert (_status(resolution)["status"], _status(resolution)["reason"]) == ("False", "SecretNotFound")
    assert "the last good certificate stays" in _status(resolution)["message"]
    broken = resolve(_snapshot(b"nothing", b"nothing", applied))
    assert (_status(broken)["status"], _status(broken)["reason"]) == ("True", "LastGood")


def test_a_last_good_one_that_ended_is_not_trusted_and_a_weak_one_is_not_kept() -> None:
    old, weak = EC(ec.SECP256R1()), RSA(65537, 1024)
    ended = pem(old) + issued(old, begin=timedelta(days=-9), end=timedelta(days=-1))
    resolution = resolve(_snapshot(b"nothing", b"nothing", ended))
    assert _source(resolution) is CertificateSource.LAST_GOOD
    assert (_status(resolution)["status"], _status(resolution)["reason"]) == ("False", "InvalidSecret")
    resolution = resolve(_snapshot(b"nothing", b"nothing", pem(weak) + issued(weak)))
    assert _source(resolution) is CertificateSource.SELF_SIGNED


def test_without_any_good_one_a_self_signed_one_stands_in() -> None:
    resolution = resolve(_snapshot(b"nothing", b"nothing"))
    assert _source(resolution) is CertificateSource.SELF_SIGNED
    assert not resolution.verdicts[SERVER].accepted


def test_keys_of_our_own_are_wanted_before_they_end() -> None:
    snapshot = _snapshot(world.key("renewed.crt"), world.key("renewed.key"))
    assert resolve(snapshot).wanted == ()
    late = replace(snapshot, now=world.NOW + timedelta(days=36465))
    wanted = resolve(late).wanted
    assert [item.kind for item in wanted] == [WantedKind.INTERNAL]
    assert "ends soon" in wanted[0].why


_PAIRS = ("ca", "client", "smtp", "store")


@pytest.mark.parametrize(
    ("entry", "content"),
    [
        *((f"{name}.key", b"spoilt") for name in _PAIRS),
        *((f"{name}.key", world.key("tls.key")) for name in _PAIRS),
        *((f"{name}.crt", b"spoilt") for name in _PAIRS),
        *((f"{name}.crt", world.key("renewed.crt")) for name in _PAIRS),
    ],
)
def test_keys_of_our_own_that_were_spoilt_are_wanted(entry: str, content: bytes) -> None:
    held = world.internal("mail", "mail")
    spoilt = replace(held, data={**held.data, entry: content})
    secrets = {item.name: item for item in (spoilt, world.self_signed("mail", "mail"))}
    (wanted,) = resolve(world.of(world.server(), (), secrets)).wanted
    assert wanted.kind is WantedKind.INTERNAL
    assert entry.partition(".")[0] in wanted.why
    made = additions(wanted, spoilt.data, world.NOW)
    whole = replace(held, data={**spoilt.data, **made})
    secrets |= {whole.name: whole}
    assert resolve(world.of(world.server(), (), secrets)).wanted == (), "it is mended by what is made"


@pytest.mark.parametrize("content", [b"spoilt", world.key("client.key")])
def test_a_self_signed_certificate_whose_key_was_spoilt_is_wanted_anew(content: bytes) -> None:
    held = world.self_signed("mail", "mail")
    spoilt = replace(held, data={**held.data, "tls.key": content})
    secrets = {item.name: item for item in (world.internal("mail", "mail"), spoilt)}
    (wanted,) = resolve(world.of(world.server(), (), secrets)).wanted
    assert (wanted.kind, wanted.why) == (
        WantedKind.SELF_SIGNED,
        "its key cannot be read, or belongs to another certificate",
    )


def test_another_host_name_wants_another_self_signed_certificate() -> None:
    secrets = {item.name: item for item in (world.internal("mail", "mail"), world.self_signed("mail", "mail"))}
    resolution = resolve(world.of(world.server("other.example.org"), (), secrets))
    assert [(item.kind, item.hosts) for item in resolution.wanted] == [(WantedKind.SELF_SIGNED, ("other.example.org",))]
    assert resolution.platform is not None


def test_without_keys_there_is_no_platform_and_nothing_to_prune() -> None:
    planned = world.planned(resolve(world.of(world.server(), (), {})))
    assert not planned.complete
    assert planned.objects == ()
    assert {item.kind for item in planned.wanted} == {WantedKind.INTERNAL, WantedKind.SELF_SIGNED}
