"""Names of the Secrets that an object leads to, and of those that the platform makes for itself."""

from collections.abc import Iterable
from re import ASCII
from re import compile as pattern
from typing import Final

from postboat.api.maildomain import MailDomainSpec
from postboat.model import names

_OWN: Final = pattern(r"internal|selfsigned|smtp|smtp-edge|imap|store|filter|valkey|directory-[0-9]{2}", ASCII)
"""What follows the name of the MailServer in the name of a Secret of its own."""
_LONGEST_STEM: Final = 240
"""Letters of a MailDomain in the name of a Secret, which has 253 in all."""


def own(name: str, servers: Iterable[str]) -> bool:
    """Tell whether a Secret is one that the operator makes for a MailServer of these names: keys, files, tables."""
    return any(name.startswith(f"{server}-") and _OWN.fullmatch(name[len(server) + 1 :]) for server in servers)


def internal_secret(server: str) -> str:
    """Name the Secret with the keys and passwords that the platform made for itself."""
    return f"{server}-internal"


def self_signed_secret(server: str) -> str:
    """Name the Secret with the certificate that counts when the user gives none."""
    return f"{server}-selfsigned"


def smtp_secret(server: str) -> str:
    """Name the Secret of the rendered files of Postfix, which holds the last good certificate."""
    return f"{server}-smtp"


def filter_secret(server: str) -> str:
    """Name the Secret of the rendered files of Rspamd, which holds the DKIM keys in force."""
    return f"{server}-filter"


def dkim_secret(name: str, spec: MailDomainSpec) -> str:
    """Name the Secret with the DKIM key of a domain."""
    return (spec.dkim.secret_name if spec.dkim is not None else None) or f"{names.bounded(name, _LONGEST_STEM)}-dkim"


def signs(spec: MailDomainSpec) -> bool:
    """Tell whether mail from the domain is to be signed: always, unless the domain says no."""
    return spec.dkim is None or spec.dkim.enabled is not False
