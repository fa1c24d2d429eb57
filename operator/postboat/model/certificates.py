"""Certificates and keys from Secrets, checked before a daemon gets them.

A broken renewal does not replace a good certificate: the last good one stays, and a verdict says why.
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
"""The reason that `worn` and `ageing` return for a certificate that has to be renewed."""
_END: Final = b"-----END CERTIFICATE-----\n"
_BEGIN: Final = b"-----BEGIN CERTIFICATE-----"


def from_secret(secret: SecretContent | None, name: str, now: datetime) -> Certificate | Verdict:
    """Return the certificate in a Secret of type kubernetes.io/tls, or a verdict that says what is wrong with it.

    Args:
        secret: The Secret; None when it was not read.
        name: Its name, for the message.
        now: In UTC.
    """
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
    """Return the certificate that the daemons have now, or None.

    Args:
        applied: Secret NAME-smtp with the rendered files of Postfix; its `tls.pem` is the key and then the chain.
    """
    pem = applied.data.get("tls.pem", b"") if applied is not None and applied.exists else b""
    start = pem.find(_BEGIN)
    if start <= 0 or not pem.endswith(_END) or _unusable(pem[start:]):
        return None
    return Certificate(CertificateSource.LAST_GOOD, pem[start:], pem[:start])


def self_signed(secret: SecretContent | None) -> Certificate | None:
    """Return the certificate that the platform has made for itself, or None.

    Args:
        secret: Secret NAME-selfsigned; None when there is none.
    """
    if secret is None or not secret.data.get("tls.crt") or not secret.data.get("tls.key"):
        return None
    return Certificate(CertificateSource.SELF_SIGNED, secret.data["tls.crt"], secret.data["tls.key"])


def worn(pem: bytes, hosts: tuple[str, ...], now: datetime) -> str:
    """Return why a certificate of the platform should be renewed; "" while it need not be.

    Args:
        pem: The certificate, PEM; further ones are ignored.
        hosts: DNS names that it must have.
        now: In UTC; less than 30 days before its end it has to be renewed.
    """
    parsed = _leaf(pem)
    if parsed is None:
        return "it cannot be read"
    if parsed.not_valid_after_utc - now < _RENEW_BEFORE:
        return ENDS_SOON
    return "" if set(hosts) <= names(pem) else "it lacks a host name"


def misfit(pem: bytes, key: bytes, authorities: bytes = b"") -> str:
    """Return why a certificate of the platform cannot be used with its key, or is not trusted; "" while it is good.

    Args:
        pem: The certificate, PEM.
        key: Its private key, PEM without a password.
        authorities: CA certificates, PEM, one of which must have signed it; b"" for a CA certificate itself.
    """
    if _pair_fault(pem, key):
        return "its key cannot be read, or belongs to another certificate"
    return "" if not authorities or _issued(pem, authorities) else "no authority in ca.crt has signed it"


def ageing(authority: bytes, successor: bytes, now: datetime) -> str:
    """Return why a CA of the platform needs attention; "" while it can go on signing.

    A successor has to be trusted 120 days before the CA ends, and signs from 90 days before.

    Args:
        authority: The trusted CA certificates, PEM; the first one signs.
        successor: The CA certificate that is to sign next, PEM; b"" when there is none.
        now: In UTC.
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
    """Return the certificates that have not ended, each as PEM; () when they cannot be read.

    Args:
        certificates: Any number of certificates, PEM.
        now: In UTC.
    """
    return tuple(one.public_bytes(Encoding.PEM) for one in _parsed(certificates) if one.not_valid_after_utc > now)


def signs_trusted(authority: bytes, before: bytes) -> bool:
    """Return whether the CA that signs was among those that were trusted before.

    Args:
        authority: CA certificates, PEM; the first one signs.
        before: The CA certificates that were trusted before, PEM.
    """
    return _leaf(authority) in _parsed(before)


def names(pem: bytes) -> frozenset[str]:
    """Return the DNS names (subjectAltName) in the first certificate of a chain, as they are written.

    Args:
        pem: A chain, PEM; what cannot be read has no names.
    """
    parsed = _leaf(pem)
    if parsed is None:
        return frozenset()
    try:
        extension = parsed.extensions.get_extension_for_class(x509.SubjectAlternativeName)
    except x509.ExtensionNotFound:
        return frozenset()
    return frozenset(extension.value.get_values_for_type(x509.DNSName))


def covers(pem: bytes, host: str) -> bool:
    """Return whether the first certificate of a chain is for a host, by its name or a wildcard (RFC 9525, 6.3).

    Args:
        pem: A chain, PEM.
        host: A DNS name in A-labels, any case.
    """
    known = {name.lower() for name in names(pem)}
    return host.lower() in known or f"*.{host.lower().partition('.')[2]}" in known


def not_after(pem: bytes) -> datetime | None:
    """Return when the first certificate of a chain ends, in UTC; None when it cannot be read.

    Args:
        pem: A chain, PEM.
    """
    parsed = _leaf(pem)
    return None if parsed is None else parsed.not_valid_after_utc


def missing(secret: SecretContent | None, keys: tuple[str, ...]) -> tuple[str, ...]:
    """Return the keys that a Secret of the platform lacks or has empty.

    Args:
        secret: None for a Secret that does not exist, which lacks all.
    """
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
    """Return which certificate of a chain has ended or is not valid yet, and when; "" when all are valid.

    Args:
        chain: PEM.
        now: In UTC.
    """
    for number, one in enumerate(_parsed(chain)):
        which = _which(number, one)
        if one.not_valid_after_utc <= now:
            return f"{which} ended on {one.not_valid_after_utc:%Y-%m-%d}: renew it"
        if one.not_valid_before_utc > now:
            return f"{which} is not valid before {one.not_valid_before_utc:%Y-%m-%dT%H:%M:%SZ}"
    return ""


@lru_cache(maxsize=64)
def _unusable(chain: bytes) -> str:
    """Return why no client accepts a chain, whatever the date (OpenSSL's security level 2); "" when clients do.

    Clients do not check the signature of a root at the end, so it may be of any kind.
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
    """Return the certificates in a PEM file without keys and text; b"" when there is none or one cannot be read."""
    try:
        found = x509.load_pem_x509_certificates(pem)
    except ValueError:
        return b""
    return b"".join(certificate.public_bytes(Encoding.PEM) for certificate in found)
