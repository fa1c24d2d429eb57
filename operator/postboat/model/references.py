"""The Secrets that an object names, and those the platform made for it.

What is read from the cluster follows from here alone.
"""

from collections.abc import Iterable
from re import ASCII
from re import compile as pattern
from typing import Final

from postboat.api.mailbox import MailboxSpec
from postboat.api.maildomain import MailDomainSpec
from postboat.api.mailserver import MailServerSpec
from postboat.api.resource import Resource
from postboat.model import names

_OWN: Final = pattern(r"internal|selfsigned|smtp|smtp-edge|imap|store|filter|valkey|directory-[0-9]{2}", ASCII)
"""What follows the name of the MailServer in the name of a Secret of its own."""
_LONGEST_STEM: Final = 240
"""Letters of a MailDomain in the name of a Secret, which has 253 in all."""


def secret_names(resource: Resource) -> frozenset[str]:
    """Name every Secret that the decision about an object may look at."""
    spec = resource.spec
    match spec:
        case MailServerSpec():
            own = {internal_secret(resource.name), self_signed_secret(resource.name), smtp_secret(resource.name)}
            if spec.tls is not None and spec.tls.secret_name is not None:
                own.add(spec.tls.secret_name)
            if spec.master_user is not None:
                own.add(spec.master_user.password_secret.name)
            return frozenset(own)
        case MailDomainSpec():
            used = {dkim_secret(resource.name, spec)} if signs(spec) else set()
            if spec.relay is not None and spec.relay.ca_secret is not None:
                used.add(spec.relay.ca_secret.name)
            return frozenset(used)
        case MailboxSpec():
            return frozenset({spec.password_secret.name}) if spec.password_secret is not None else frozenset()
        case _:
            return frozenset()


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
