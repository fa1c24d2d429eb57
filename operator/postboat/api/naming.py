"""Rules between the name of an object and its fields, since the name replaces a field that is left out.

They need the whole object: `self.metadata.name` and `self.spec`.
"""

import re
from dataclasses import dataclass
from typing import Final

from postboat.api.base import Model, Rule
from postboat.api.mailaddress import MailAddressSpec
from postboat.api.mailbox import MailboxSpec
from postboat.api.maildomain import MailDomainSpec


@dataclass(frozen=True, slots=True)
class Named:
    """The name and the spec of an object, for these rules."""

    name: str
    spec: Model


_LONGEST_SERVER: Final = 40
_LONGEST_LOCAL_PART: Final = 64
_LABEL: Final = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?", re.ASCII)


def _is_domain(name: str) -> bool:
    labels = name.split(".")
    return len(labels) > 1 and all(_LABEL.fullmatch(label) for label in labels) and labels[-1][0].isalpha()


def _unchanged(field: str, cure: str) -> Rule:
    new = f"(has(self.spec.{field}) ? self.spec.{field} : self.metadata.name)"
    return Rule(
        cel=f"{new} == {new.replace('self.', 'oldSelf.')}",
        message=f"{field} never changes: {cure}",
        field=f"spec.{field}",
    )


def _domain_is_known(named: Named) -> bool:
    return not isinstance(named.spec, MailDomainSpec) or named.spec.domain is not None or _is_domain(named.name)


def _username_is_short(named: Named) -> bool:
    spec = named.spec
    return not isinstance(spec, MailboxSpec) or spec.username is not None or len(named.name) <= _LONGEST_LOCAL_PART


def _local_part_is_short(named: Named) -> bool:
    spec = named.spec
    return (
        not isinstance(spec, MailAddressSpec) or spec.local_part is not None or len(named.name) <= _LONGEST_LOCAL_PART
    )


SERVER_NAMES: Final = (
    Rule(
        cel="size(self.metadata.name) <= 40 && !self.metadata.name.contains('.')",
        message="write a name of at most 40 characters without a dot: names of pods and Services begin with it",
        holds=lambda named: len(named.name) <= _LONGEST_SERVER and "." not in named.name,
    ),
)

DOMAIN_NAMES: Final = (
    Rule(
        cel=(
            "has(self.spec.domain) || self.metadata.name.matches("
            r"'^([a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?\\.)+[a-z]([a-z0-9-]{0,61}[a-z0-9])?$')"
        ),
        message="write spec.domain (like example.com), since the name of this object is no domain",
        holds=_domain_is_known,
        field="spec.domain",
    ),
    _unchanged("domain", "make a MailDomain for the new domain and delete this one; no mail is lost"),
)

MAILBOX_NAMES: Final = (
    Rule(
        cel="has(self.spec.username) || size(self.metadata.name) <= 64",
        message="write spec.username (at most 64 characters), since the name of this object is longer",
        holds=_username_is_short,
        field="spec.username",
    ),
    _unchanged("username", "make a Mailbox with the new name, and a MailAddress for the old one"),
)

ADDRESS_NAMES: Final = (
    Rule(
        cel="has(self.spec.localPart) || size(self.metadata.name) <= 64",
        message="write spec.localPart (at most 64 characters), since the name of this object is longer",
        holds=_local_part_is_short,
        field="spec.localPart",
    ),
    _unchanged("localPart", "make a MailAddress with the new local part and delete this one"),
)
