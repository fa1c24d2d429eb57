"""Certificates and keys as PEM: a small internal authority, its leaves, and RSA keys for DKIM.

Nothing here knows Kubernetes; the clock comes in as a value.
"""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from postboat.model.certificates import ENDS_SOON, ageing, trusted, worn

AUTHORITY_LIFE = dt.timedelta(days=3650)
LEAF_LIFE = dt.timedelta(days=365)
BACKDATED = dt.timedelta(hours=1)
LONGEST_COMMON_NAME = 64


@dataclass(frozen=True, slots=True)
class Pair:
    """A certificate and its key, both PEM."""

    certificate: bytes
    key: bytes


def authority(name: str, now: dt.datetime) -> Pair:
    """Make a self-signed authority that can sign leaves and nothing else."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = _name(name)
    usage = x509.KeyUsage(
        digital_signature=True,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=True,
        crl_sign=True,
        encipher_only=False,
        decipher_only=False,
    )
    certificate = (
        _builder(subject, subject, key.public_key(), now, AUTHORITY_LIFE)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(usage, critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .sign(key, hashes.SHA256())
    )
    return Pair(certificate.public_bytes(serialization.Encoding.PEM), _pem(key))


def leaf(signer: Pair, hosts: tuple[str, ...], now: dt.datetime, *, client: bool = False, name: str = "") -> Pair:
    """Make a certificate for these DNS names, or for a client that has none."""
    ca = x509.load_pem_x509_certificate(signer.certificate)
    ca_key = serialization.load_pem_private_key(signer.key, None)
    if not isinstance(ca_key, ec.EllipticCurvePrivateKey):
        raise TypeError("the key of the internal authority is not one of ours")
    key = ec.generate_private_key(ec.SECP256R1())
    purpose = ExtendedKeyUsageOID.CLIENT_AUTH if client else ExtendedKeyUsageOID.SERVER_AUTH
    life = min(LEAF_LIFE, ca.not_valid_after_utc - now)
    builder = (
        _builder(_name(name or hosts[0]), ca.subject, key.public_key(), now, life)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(x509.ExtendedKeyUsage([purpose]), critical=False)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(ca_key.public_key()), critical=False)
    )
    if hosts:
        names = x509.SubjectAlternativeName([x509.DNSName(host) for host in hosts])
        builder = builder.add_extension(names, critical=False)
    return Pair(builder.sign(ca_key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM), _pem(key))


def rsa_key() -> bytes:
    """Make an RSA key of 2048 bits, as DKIM verifiers know it."""
    return _pem(rsa.generate_private_key(public_exponent=65537, key_size=2048))


def still_good(pair: Pair, signer: bytes, hosts: tuple[str, ...], now: dt.datetime) -> bool:
    """Whether a pair fits together, comes from the signer, names these hosts, and does not end soon."""
    if not belongs_together(pair):
        return False
    try:
        certificate = x509.load_pem_x509_certificate(pair.certificate)
        certificate.verify_directly_issued_by(x509.load_pem_x509_certificate(signer))
    except (ValueError, TypeError, InvalidSignature, UnsupportedAlgorithm):
        return False  # anything else is a fault of this program, and no reason to make anything anew
    return not worn(pair.certificate, hosts, now)


def belongs_together(pair: Pair) -> bool:
    """Whether a certificate, the first of several, and a key can be read and belong to each other."""
    try:
        certificate = x509.load_pem_x509_certificate(pair.certificate)
        key = serialization.load_pem_private_key(pair.key, None)
        return key.public_key() == certificate.public_key()
    except (ValueError, TypeError, UnsupportedAlgorithm):
        return False  # as above


def succession(name: str, held: Pair, successor: Pair, now: dt.datetime) -> dict[str, Pair]:
    """Give what must be written of an authority: `ca`, which signs, and `next`, which is to; nothing while it is good.

    The certificate of `ca` has all that are trusted, the signer first. Whoever signs next is trusted a month before,
    and who signed before until he ends; only an authority that nobody can use is followed at once by a new one.
    """
    known = trusted(held.certificate, now)
    if not belongs_together(held) or not known:
        return {"ca": _with(authority(name, now), known)}
    due = ageing(held.certificate, successor.certificate, now)
    if not due:
        return {}
    announced = belongs_together(successor) and successor.key != held.key
    following = successor if announced else authority(name, now)
    if due == ENDS_SOON:
        return {"ca": _with(following, known)}
    return {"ca": Pair(b"".join(dict.fromkeys((*known, following.certificate))), held.key), "next": following}


def _with(signer: Pair, others: tuple[bytes, ...]) -> Pair:
    """Have other authorities trusted beside the one that signs."""
    return Pair(b"".join(dict.fromkeys((signer.certificate, *others))), signer.key)


def _builder(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePublicKey, now: dt.datetime, life: dt.timedelta
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - BACKDATED)
        .not_valid_after(now + life)
    )


def _name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text[:LONGEST_COMMON_NAME])])


def _pem(key: ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
