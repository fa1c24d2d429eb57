"""DKIM: the key that signs the mail of a domain, and the DNS record that verifies it.

Every verifier knows RSA of at least 1024 bits; anything else is refused.
"""

from base64 import b64encode
from functools import lru_cache
from typing import Final

from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_private_key

from postboat.api.maildomain import MailDomainSpec
from postboat.model.platform import Dkim
from postboat.model.references import dkim_secret
from postboat.model.snapshot import SecretContent
from postboat.model.verdict import Reason, Verdict

DEFAULT_SELECTOR: Final = "default"
_FEWEST_BITS: Final = 1024
_LONGEST_NAME: Final = 253


def selector(spec: MailDomainSpec) -> str:
    """Give the effective selector of a domain."""
    return (spec.dkim.selector if spec.dkim is not None else None) or DEFAULT_SELECTOR


def record_name(selector: str, domain: str) -> str:
    """Name the DNS record of a key (RFC 6376, 3.6.2.1)."""
    return f"{selector}._domainkey.{domain}"


def unpublishable(domain: str, spec: MailDomainSpec) -> Verdict | None:
    """Refuse to sign where no DNS can hold the record: verifiers would take each signature for a broken one."""
    length = len(record_name(selector(spec), domain))
    if length <= _LONGEST_NAME:
        return None
    return Verdict(
        Reason.TOO_LARGE,
        f"{selector(spec)}._domainkey.DOMAIN would have {length} characters, and the DNS takes {_LONGEST_NAME}: "
        "mail is delivered, but not signed; write a shorter selector, or dkim.enabled: false",
        "spec.dkim.selector",
        effective=True,
    )


def from_secret(secret: SecretContent | None, name: str, spec: MailDomainSpec) -> Dkim | Verdict | None:
    """Take the key of a domain, or say what is wrong with it; None is a key that has yet to be made."""
    secret_name = dkim_secret(name, spec)
    chosen = selector(spec)
    content = secret.data.get(f"{chosen}.key") if secret is not None and secret.exists else None
    if not content:
        return None
    record = _record(content)
    if record is None:
        return Verdict(
            Reason.INVALID_SECRET,
            f"{chosen}.key in Secret {secret_name} is no key for DKIM: write RSA of at least 1024 bits, as PEM",
            "spec.dkim",
            effective=True,
        )
    return Dkim(chosen, content.rstrip() + b"\n", record, secret_name)


@lru_cache(maxsize=4096)
def _record(pem: bytes) -> str | None:
    try:
        key = load_pem_private_key(pem, None, unsafe_skip_rsa_key_validation=True)
    except (ValueError, TypeError):
        return None
    if not isinstance(key, RSAPrivateKey) or key.key_size < _FEWEST_BITS:
        return None
    public = key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return f"v=DKIM1; k=rsa; p={b64encode(public).decode()}"
