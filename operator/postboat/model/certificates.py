"""Certificates and keys that come from Secrets, checked before any daemon sees them.

A renewed certificate that is broken never replaces the good one: the last good one stays, and a verdict tells why.
"""

from collections.abc import Mapping
from datetime import datetime, timedelta
from functools import lru_cache
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_private_key

from postboat.model.platform import Certificate, CertificateSource
from postboat.model.snapshot import SecretContent
from postboat.model.verdict import Reason, Verdict

_RENEW_BEFORE: Final = timedelta(days=30)
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
    if start <= 0 or not pem.endswith(_END):
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
        return "it ends soon"
    return "" if set(hosts) <= names(pem) else "it lacks a host name"


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
def _leaf(pem: bytes) -> x509.Certificate | None:
    try:
        return x509.load_pem_x509_certificates(pem)[0]
    except (ValueError, IndexError):
        return None


@lru_cache(maxsize=64)
def _pair_fault(chain: bytes, key: bytes) -> str:
    leaf = _leaf(chain)
    if leaf is None:
        return "tls.crt is no certificate in PEM"
    try:
        private = load_pem_private_key(key, None)
    except (ValueError, TypeError):
        return "tls.key is no unencrypted private key in PEM"
    form = (Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    same = private.public_key().public_bytes(*form) == leaf.public_key().public_bytes(*form)
    return "" if same else "tls.key does not belong to tls.crt"


def _fault(chain: bytes, key: bytes, now: datetime) -> str:
    fault = _pair_fault(chain, key)
    leaf = _leaf(chain)
    if fault or leaf is None:
        return fault
    return f"the certificate ended on {leaf.not_valid_after_utc:%Y-%m-%d}" if leaf.not_valid_after_utc <= now else ""


def _line_end(pem: bytes) -> bytes:
    return pem.rstrip() + b"\n"


@lru_cache(maxsize=64)
def readable(pem: bytes) -> bool:
    """Tell whether there are certificates in PEM, and nothing that could not be read as one."""
    try:
        return bool(x509.load_pem_x509_certificates(pem))
    except ValueError:
        return False
