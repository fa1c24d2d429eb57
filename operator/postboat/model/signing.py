"""DKIM: the key that signs the mail of a domain, and the DNS record that verifies it (RFC 6376).

Every verifier supports RSA of at least 1024 bits; other keys are refused.
"""

from base64 import b64encode
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Final

from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_private_key

from postboat.api.maildomain import MailDomainSpec
from postboat.api.resource import Resource
from postboat.model import names
from postboat.model.platform import Dkim, Wanted, WantedKind
from postboat.model.references import dkim_secret, filter_secret
from postboat.model.snapshot import SecretContent
from postboat.model.verdict import Reason, Verdict

DEFAULT_SELECTOR: Final = "default"
_FEWEST_BITS: Final = 1024
_LONGEST_NAME: Final = 253
_LONGEST_STEM: Final = 200
"""Letters of a domain in the key of a ConfigMap, which has 253 in all; the path needs no bound: it has a folder."""


def selector(spec: MailDomainSpec) -> str:
    """Return the effective selector of a domain."""
    return (spec.dkim.selector if spec.dkim is not None else None) or DEFAULT_SELECTOR


def record_name(selector: str, domain: str) -> str:
    """Return the DNS name of the record of a key (RFC 6376, 3.6.2.1).

    Args:
        selector: One or more DNS labels.
        domain: A domain in A-labels.
    """
    return f"{selector}._domainkey.{domain}"


def unpublishable(domain: str, spec: MailDomainSpec) -> Verdict | None:
    """Return a verdict when the name of the DNS record would be longer than 253 characters; None when it fits.

    Such a domain is not signed, since verifiers would take each signature for a broken one.

    Args:
        domain: A domain in A-labels.
    """
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


@dataclass(frozen=True, slots=True)
class Signing:
    """What is known of the key of a domain."""

    key: Dkim | None = None
    """The key that signs; None when mail is not signed."""
    fault: Verdict | None = None
    """What is wrong; None when nothing is."""
    wanted: tuple[Wanted, ...] = ()
    """The key that has to be generated."""
    sought: tuple[str, ...] = ()
    """Names of Secrets to read once, since the key in force may be in them."""


@dataclass(frozen=True, slots=True)
class _Lack:
    """Why the Secret of a domain gives no key."""

    reason: Reason
    message: str


def settle(domain: str, resource: Resource, secrets: Mapping[str, SecretContent], server: str) -> Signing:
    """Return the key that signs the mail of a domain.

    A key whose record was shown in the status is never replaced by another one, since the DNS has its record: when its
    Secret is missing or broken, the key that Rspamd has stays. A Secret that the user names is never written.

    Args:
        domain: The domain, in A-labels.
        resource: The MailDomain, with its status.
        secrets: Contents of Secrets by name.
        server: Name of the MailServer.
    """
    spec = resource.spec
    if not isinstance(spec, MailDomainSpec):
        return Signing()
    if fault := unpublishable(domain, spec):
        return Signing(fault=fault)
    name, chosen = dkim_secret(resource.name, spec), selector(spec)
    secret = secrets.get(name)
    content = secret.data.get(f"{chosen}.key") if secret is not None and secret.exists else None
    record = _record(content) if content else None
    if content and record is not None:
        return Signing(Dkim(chosen, content.rstrip() + b"\n", record, name))
    shown = _shown(domain, resource, name, chosen)
    if shown:
        return _lost(
            domain,
            _lack(secret, name, chosen),
            Dkim(chosen, b"", shown, name),
            secrets.get(filter_secret(server)),
            server,
        )
    if content or (spec.dkim is not None and spec.dkim.secret_name):
        lack = _lack(secret, name, chosen)
        return Signing(fault=_fault(lack.reason, f"{lack.message}; until then mail is not signed"))
    refused = f" and it could not be created: {secret.refused}" if secret is not None and secret.refused else " yet"
    message = f"there is no {chosen}.key in Secret {name}{refused}; until then mail is not signed"
    wanted = Wanted(WantedKind.DKIM, name, selector=chosen)
    return Signing(fault=_fault(Reason.KEYS_MISSING, message), wanted=(wanted,))


def _lack(secret: SecretContent | None, name: str, chosen: str) -> _Lack:
    if secret is None or not secret.exists:
        cure = f"put it back with {chosen}.key, from a backup"
        return _Lack(Reason.SECRET_NOT_FOUND, f"there is no Secret {name}: {cure}")
    if not secret.data.get(f"{chosen}.key"):
        return _Lack(Reason.SECRET_KEY_NOT_FOUND, f"Secret {name} has no {chosen}.key: add it")
    what = f"{chosen}.key in Secret {name} is no key for DKIM: write RSA of at least 1024 bits, as PEM"
    return _Lack(Reason.INVALID_SECRET, what)


def _lost(domain: str, lack: _Lack, shown: Dkim, held: SecretContent | None, server: str) -> Signing:
    """Return the key that Rspamd has, if its record is the one that was shown."""
    content = held.data.get(f"{rendered_stem(domain)}.key", b"") if held is not None else b""
    if content and _record(content) == shown.record:
        message = f"{lack.message}, or state another selector for a new key; the key in force goes on signing"
        return Signing(replace(shown, key=content), _fault(lack.reason, message))
    message = f"{lack.message}, or state another selector for a new key; until then mail is not signed"
    return Signing(fault=_fault(lack.reason, message), sought=(filter_secret(server),))


def rendered_stem(domain: str) -> str:
    """Return the beginning of the keys of a domain's files in ConfigMap and Secret of Rspamd, at most 205 characters.

    Args:
        domain: A domain in A-labels.
    """
    return f"dkim-{names.bounded(domain, _LONGEST_STEM)}"


def _shown(domain: str, resource: Resource, secret: str, chosen: str) -> str:
    """Return the record that the status shows for this selector, Secret and domain; "" when it shows none."""
    told = resource.status.get("dkim")
    told = told if isinstance(told, Mapping) else {}
    same = (told.get("selector"), told.get("secretName"), told.get("name")) == (
        chosen,
        secret,
        record_name(chosen, domain),
    )
    return str(told.get("record") or "") if same else ""


def _fault(reason: Reason, message: str) -> Verdict:
    return Verdict(reason, message, "spec.dkim", effective=True)


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
