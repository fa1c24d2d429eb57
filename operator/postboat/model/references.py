"""Names of the Secrets that objects reference, and of those that the platform makes for itself.

A `server` is always the name of a MailServer.
"""

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
    """Return whether a Secret is one that the operator makes for one of these MailServers: keys, files, tables.

    Args:
        name: Name of the Secret.
        servers: Names of MailServers.
    """
    return any(name.startswith(f"{server}-") and _OWN.fullmatch(name[len(server) + 1 :]) for server in servers)


def internal_secret(server: str) -> str:
    """Return the name of the Secret with the keys and passwords of the platform itself."""
    return f"{server}-internal"


def self_signed_secret(server: str) -> str:
    """Return the name of the Secret with the certificate that is used when the user gives none."""
    return f"{server}-selfsigned"


def smtp_secret(server: str) -> str:
    """Return the name of the Secret with the rendered files of Postfix, which has the last good certificate."""
    return f"{server}-smtp"


def filter_secret(server: str) -> str:
    """Return the name of the Secret with the rendered files of Rspamd, which has the DKIM keys in force."""
    return f"{server}-filter"


def dkim_secret(name: str, spec: MailDomainSpec) -> str:
    """Return the name of the Secret with the DKIM key of a domain.

    Args:
        name: Name of the MailDomain.
    """
    return (spec.dkim.secret_name if spec.dkim is not None else None) or f"{names.bounded(name, _LONGEST_STEM)}-dkim"


def signs(spec: MailDomainSpec) -> bool:
    """Return whether mail from the domain is signed with DKIM, which is the default."""
    return spec.dkim is None or spec.dkim.enabled is not False
