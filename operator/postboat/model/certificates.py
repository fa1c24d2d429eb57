"""Certificates and keys that come from Secrets, checked before any daemon sees them.

A renewed certificate that is broken never replaces the good one: the last good one stays, and a verdict tells why.
"""

from collections.abc import Mapping
from datetime import datetime, timedelta
from functools import lru_cache
from typing import Final

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_private_key
from cryptography.x509.oid import ExtendedKeyUsageOID

from postboat.model.platform import Certificate, CertificateSource
from postboat.model.snapshot import SecretContent
from postboat.model.verdict import Reason, Verdict

_FEWEST_BITS: Final = 2048
_CURVES: Final = frozenset({"secp256r1", "secp384r1", "secp521r1"})
_KEYS: Final = "use RSA of 2048 bits or more, ECDSA on P-256, P-384 or P-521, or Ed25519"
_RENEW_BEFORE: Final = timedelta(days=30)
_SUCCEED_BEFORE: Final = timedelta(days=90)
_ANNOUNCE_BEFORE: Final = timedelta(days=120)
"""An authority is trusted for so long before another one ends: longer than any pod goes without its newest files."""
ENDS_SOON: Final = "it ends soon"
_END: Final = b"-----END CERTIFICATE-----\n"
_BEGIN: Final = b"-----BEGIN CERTIFICATE-----"


def from_secret(secret: SecretContent | None, name: str, now: datetime) -> Certificate | Verdict:
    """Take the certificate of a Secret of type kubernetes.io/tls, or say what is wrong with it."""
    path = "spec.tls.secretName"
    if secret is None or not secret.exists:
        return Verdict(Reason.SECRET_NOT_FOUND, f"there is no Secret {name}", path)
    for key in ("tls.crt", "tls.key"):
        if not secret.data.get(key):
            return Verdict(Reason.SECRET_KEY_NOT_FOUND, f"Secret {name} has no key {key}", path)
    fault = _fault(secret.data["tls.crt"], secret.data["tls.key"], now)
    if fault:
        return Verdict(Reason.INVALID_SECRET, f"Secret {name}: {fault}", path)
    return Certificate(CertificateSource.SECRET, _line_end(secret.data["tls.crt"]), _line_end(secret.data["tls.key"]))


def last_good(applied: SecretContent | None) -> Certificate | None:
    """Take the certificate that the daemons have, from the Secret of the rendered files of Postfix: key, then chain."""
    pem = applied.data.get("tls.pem", b"") if applied is not None and applied.exists else b""
    start = pem.find(_BEGIN)
    if start <= 0 or not pem.endswith(_END) or _unusable(pem[start:]):
        return None
    return Certificate(CertificateSource.LAST_GOOD, pem[start:], pem[:start])


def self_signed(secret: SecretContent | None) -> Certificate | None:
    """Take the certificate that the platform made for itself."""
    if secret is None or not secret.data.get("tls.crt") or not secret.data.get("tls.key"):
        return None
    return Certificate(CertificateSource.SELF_SIGNED, secret.data["tls.crt"], secret.data["tls.key"])


def worn(pem: bytes, hosts: tuple[str, ...], now: datetime) -> str:
    """Say why a certificate of our own should be made anew; empty while it is good."""
    parsed = _leaf(pem)
    if parsed is None:
        return "it cannot be read"
    if parsed.not_valid_after_utc - now < _RENEW_BEFORE:
        return ENDS_SOON
    return "" if set(hosts) <= names(pem) else "it lacks a host name"


def misfit(pem: bytes, key: bytes, authorities: bytes = b"") -> str:
    """Say why nobody can use a certificate of our own with its key, or trusts it; empty while it is good.

    Without `authorities` the certificate is one itself.
    """
    if _pair_fault(pem, key):
        return "its key cannot be read, or belongs to another certificate"
    return "" if not authorities or _issued(pem, authorities) else "no authority in ca.crt has signed it"


def ageing(authority: bytes, successor: bytes, now: datetime) -> str:
    """Say why something must be done about an authority of our own; empty while it goes on signing as it is.

    `authority` are the certificates that are trusted, the one that signs first; `successor` is the one that is to sign
    next, which is none when it signs already.
    """
    signer = _leaf(authority)
    if signer is None:
        return "it cannot be read"
    if signer.not_valid_after_utc - now < _SUCCEED_BEFORE:
        return ENDS_SOON
    if signer.not_valid_after_utc - now < _ANNOUNCE_BEFORE and _leaf(successor) not in _parsed(authority)[1:]:
        return "it ends, and its successor has to be trusted before"
    return ""


def trusted(certificates: bytes, now: datetime) -> tuple[bytes, ...]:
    """Give those of several certificates that have not ended, each as PEM; nothing of what cannot be read."""
    return tuple(one.public_bytes(Encoding.PEM) for one in _parsed(certificates) if one.not_valid_after_utc > now)


def signs_trusted(authority: bytes, before: bytes) -> bool:
    """Tell whether the one that signs, the first of several, was among those that were trusted before."""
    return _leaf(authority) in _parsed(before)


def names(pem: bytes) -> frozenset[str]:
    """List the DNS names in the first certificate of a chain."""
    parsed = _leaf(pem)
    if parsed is None:
        return frozenset()
    try:
        extension = parsed.extensions.get_extension_for_class(x509.SubjectAlternativeName)
    except x509.ExtensionNotFound:
        return frozenset()
    return frozenset(extension.value.get_values_for_type(x509.DNSName))


def covers(pem: bytes, host: str) -> bool:
    """Tell whether a certificate is for a host, by its name or by a wildcard."""
    known = {name.lower() for name in names(pem)}
    return host.lower() in known or f"*.{host.lower().partition('.')[2]}" in known


def not_after(pem: bytes) -> datetime | None:
    """Tell when the first certificate of a chain ends."""
    parsed = _leaf(pem)
    return None if parsed is None else parsed.not_valid_after_utc


def missing(secret: SecretContent | None, keys: tuple[str, ...]) -> tuple[str, ...]:
    """List the keys that a Secret of our own lacks."""
    held: Mapping[str, bytes] = secret.data if secret is not None and secret.exists else {}
    return tuple(key for key in keys if not held.get(key))


@lru_cache(maxsize=64)
def _parsed(pem: bytes) -> tuple[x509.Certificate, ...]:
    try:
        return tuple(x509.load_pem_x509_certificates(pem))
    except ValueError:
        return ()


def _leaf(pem: bytes) -> x509.Certificate | None:
    return next(iter(_parsed(pem)), None)


@lru_cache(maxsize=64)
def _issued(pem: bytes, authorities: bytes) -> bool:
    for leaf, one in ((leaf, one) for leaf in _parsed(pem)[:1] for one in _parsed(authorities)):
        try:
            leaf.verify_directly_issued_by(one)
        except (ValueError, TypeError, InvalidSignature, UnsupportedAlgorithm):
            continue
        return True
    return False


@lru_cache(maxsize=64)
def _pair_fault(chain: bytes, key: bytes) -> str:
    leaf = _leaf(chain)
    if leaf is None:
        return "tls.crt is no certificate in PEM"
    try:
        private = load_pem_private_key(key, None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        return "tls.key is no unencrypted private key in PEM"
    form = (Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    try:
        same = private.public_key().public_bytes(*form) == leaf.public_key().public_bytes(*form)
    except (ValueError, UnsupportedAlgorithm):
        return f"the certificate has a key of a kind that clients do not know: {_KEYS}"
    return "" if same else "tls.key does not belong to tls.crt"


def _fault(chain: bytes, key: bytes, now: datetime) -> str:
    return _pair_fault(chain, key) or _unusable(chain) or out_of_date(chain, now)


def out_of_date(chain: bytes, now: datetime) -> str:
    """Say which certificate of a chain has ended or not begun yet, or nothing."""
    for number, one in enumerate(_parsed(chain)):
        which = _which(number, one)
        if one.not_valid_after_utc <= now:
            return f"{which} ended on {one.not_valid_after_utc:%Y-%m-%d}: renew it"
        if one.not_valid_before_utc > now:
            return f"{which} is not valid before {one.not_valid_before_utc:%Y-%m-%dT%H:%M:%SZ}"
    return ""


@lru_cache(maxsize=64)
def _unusable(chain: bytes) -> str:
    """Say why no client would finish a handshake, whatever the date: OpenSSL's level 2, or what clients know at all.

    A root at the end is not looked at by clients, so its signature may be of any kind.
    """
    for number, one in enumerate(_parsed(chain)):
        which = _which(number, one)
        if fault := _weak_key(one):
            return f"{which} {fault}"
        if _own_signature(one) and number:
            continue
        try:
            digest = one.signature_hash_algorithm
        except UnsupportedAlgorithm:
            return f"{which} is signed in a way that clients do not know"
        if digest is not None and digest.name in {"md5", "sha1"}:
            return f"{which} is signed with {digest.name.upper()}, which clients refuse: issue it with SHA-256"
    return _wrong_purpose(_parsed(chain)[0]) if _parsed(chain) else ""


def _weak_key(one: x509.Certificate) -> str:
    try:
        public = one.public_key()
    except (ValueError, UnsupportedAlgorithm):
        return f"has a key of a kind that clients do not know: {_KEYS}"
    match public:
        case RSAPublicKey():
            few = public.key_size < _FEWEST_BITS
            return f"has an RSA key of {public.key_size} bits, which clients refuse: {_KEYS}" if few else ""
        case EllipticCurvePublicKey():
            known = public.curve.name in _CURVES
            return "" if known else f"has a key on the curve {public.curve.name}, which clients do not know: {_KEYS}"
        case Ed25519PublicKey():
            return ""
        case _:
            return f"has a key of a kind that clients do not know: {_KEYS}"


def _wrong_purpose(leaf: x509.Certificate) -> str:
    try:
        usage = leaf.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    except (x509.ExtensionNotFound, ValueError):
        return ""
    fits = {ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE} & set(usage)
    return "" if fits else "the certificate is not for servers (extendedKeyUsage without serverAuth)"


def _own_signature(one: x509.Certificate) -> bool:
    return one.issuer == one.subject


def _which(number: int, one: x509.Certificate) -> str:
    return (
        "the certificate" if not number else f"certificate {number + 1} of the chain ({one.subject.rfc4514_string()})"
    )


def _line_end(pem: bytes) -> bytes:
    return pem.rstrip() + b"\n"


@lru_cache(maxsize=64)
def only_certificates(pem: bytes) -> bytes:
    """Give the certificates of a PEM file, without keys and texts beside them; empty where one is broken."""
    try:
        found = x509.load_pem_x509_certificates(pem)
    except ValueError:
        return b""
    return b"".join(certificate.public_bytes(Encoding.PEM) for certificate in found)
