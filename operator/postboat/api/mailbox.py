"""A mailbox: a user's, a group's (which has no storage and passes mail to its members) or a public one.

The user name is `spec.username`, or the name of the object where that is absent; with `spec.domain` it is the address.
"""

from enum import StrEnum
from typing import Annotated, Final

from pydantic import Field

from postboat.api.base import Model, Rule
from postboat.api.conditions import Status, Word
from postboat.api.listing import AS_SET, keyed_by
from postboat.api.values import (
    Count,
    DomainName,
    EmailAddress,
    Flag,
    Junk,
    Line,
    ObjectName,
    Quantity,
    ReclaimPolicy,
    SecretKeyRef,
    ServerName,
    Switch,
    Username,
)


class MailboxType(StrEnum):
    """The three kinds of mailboxes."""

    USER = "User"
    GROUP = "Group"
    PUBLIC = "Public"


class Rights(StrEnum):
    """What the members of an owning group may do in a public mailbox."""

    READ = "Read"
    READ_WRITE = "ReadWrite"
    FULL = "Full"


class Access(Model):
    """The services that a user may use; each is open when absent. Mail is delivered in any case."""

    imap: Flag | None = None
    """Read mail over IMAP."""
    pop3: Flag | None = None
    """Read mail over POP3."""
    smtp: Flag | None = None
    """Send mail by SMTP with authentication."""
    sieve: Flag | None = None
    """Keep Sieve scripts over ManageSieve."""


class Forward(Model):
    """Where mail to a user goes besides or instead of the mailbox."""

    to: Annotated[tuple[EmailAddress, ...], Field(min_length=1, max_length=64), AS_SET]
    """Addresses that get every message."""
    keep_copy: Flag | None = None
    """Deliver to the mailbox too; false when absent."""


class Owner(Model):
    """A group that owns a public mailbox, and what its members may do there."""

    name: ObjectName
    """Name of a Mailbox of type Group, or of type User for a single person."""
    rights: Rights | None = None
    """Read, ReadWrite, or Full (which includes giving rights to others); Full when absent."""


_LISTS: Final = frozenset({"members", "owners"})


def _only_for(name: str, python_name: str, types: frozenset[MailboxType]) -> Rule:
    wanted = " or ".join(sorted(types))
    listed = ", ".join(f"'{kind}'" for kind in sorted(types))
    absent = f"!has(self.{name}) || size(self.{name}) == 0" if name in _LISTS else f"!has(self.{name})"
    return Rule(
        cel=f"{absent} || (has(self.type) ? self.type : 'User') in [{listed}]",
        message=f"{name} has a meaning only with type {wanted}: leave it out here",
        holds=lambda spec: getattr(spec, python_name) in {None, ()} or spec.effective_type in types,
        field=name,
    )


_USER: Final = frozenset({MailboxType.USER})
_GROUP: Final = frozenset({MailboxType.GROUP})
_PUBLIC: Final = frozenset({MailboxType.PUBLIC})


class MailboxSpec(Model):
    """What a mailbox should be."""

    server: ServerName | None = None
    """Name of the MailServer in this namespace; the oldest one when absent. Once written it stays."""
    username: Username | None = None
    """Login and local part of the address, like jane.doe; the name of the object when absent. It never changes."""
    domain: DomainName | None = None
    """The one domain that the mailbox is in: USERNAME@DOMAIN is its only address and its login. When absent, the
    mailbox is in all local domains, except where another one of its name is in one of them. It never changes."""
    type: MailboxType | None = None
    """User, Group (no storage: mail goes to members) or Public (of groups or people); User when absent. It stays."""
    display_name: Line | None = None
    """Name for people."""
    password_secret: SecretKeyRef | None = None
    """Secret with the password, plain or hashed ({BLF-CRYPT}, {ARGON2ID}, {SHA512-CRYPT} ...); no login without."""
    access: Access | None = None
    """Services that are open to the user; all of them when absent. For type User."""
    forward: Forward | None = None
    """Addresses that mail is forwarded to. For type User."""
    quota: Quantity | None = None
    """Space for mail, like 2Gi; "0" is no limit; that of the MailServer when absent. For type User and Public."""
    junk: Junk | None = None
    """What happens to spam; the settings of the MailServer when absent. For type User and Public."""
    members: Annotated[tuple[ObjectName, ...], Field(max_length=2000), AS_SET] = ()
    """Names of the Mailboxes that get mail to the group. For type Group."""
    owners: Annotated[tuple[Owner, ...], Field(max_length=256), keyed_by("name")] = ()
    """Groups and people that own the mailbox. For type Public."""
    address: Switch | None = None
    """Enabled makes USERNAME@DOMAIN an address in every local domain, or in the one of `domain`; Disabled does not.
    When absent, on for User and Public, and for Group what the MailServer says."""
    internal: Flag | None = None
    """Refuse mail from outside to USERNAME@DOMAIN; accounts of the system still reach it. False when absent."""
    reclaim_policy: ReclaimPolicy | None = None
    """Retain keeps the mail when the object is deleted, Delete erases it; that of the MailServer when absent."""

    constraints = (
        _only_for("passwordSecret", "password_secret", _USER),
        _only_for("access", "access", _USER),
        _only_for("forward", "forward", _USER),
        _only_for("quota", "quota", _USER | _PUBLIC),
        _only_for("junk", "junk", _USER | _PUBLIC),
        _only_for("members", "members", _GROUP),
        _only_for("owners", "owners", _PUBLIC),
        Rule(
            cel="(has(self.type) ? self.type : 'User') == (has(oldSelf.type) ? oldSelf.type : 'User')",
            message="the type of a mailbox never changes: make a Mailbox of another name with the new type",
            field="type",
        ),
        Rule(
            cel="(has(self.domain) ? self.domain : '') == (has(oldSelf.domain) ? oldSelf.domain : '')",
            message="the domain of a mailbox never changes, since mail belongs to its address: make another Mailbox",
            field="domain",
        ),
        Rule(
            cel="!has(oldSelf.server) || (has(self.server) && self.server == oldSelf.server)",
            message="a mailbox never moves to another server: make a Mailbox there, and migrate with a Connector",
            field="server",
        ),
    )

    @property
    def effective_type(self) -> MailboxType:
        """The type, with the one that counts when none is written."""
        return self.type or MailboxType.USER


class Usage(Model):
    """How much of its space a mailbox uses."""

    bytes: Count | None = None
    """Bytes of mail."""
    messages: Count | None = None
    """Number of messages."""
    limit: Count | None = None
    """Bytes that the quota allows; 0 is no limit."""
    percent: Count | None = None
    """Part of the quota in use."""


class MailboxStatus(Status):
    """What is known about a mailbox."""

    username: Word | None = None
    """The user name in force: the address of a mailbox in one domain; else, with `@` and a local domain, an address."""
    type: Word | None = None
    """The type in force."""
    store: Count | None = None
    """Number of the store pod that keeps the mail; it stays the same."""
    quota: Word | None = None
    """The quota in force, like 2Gi: that of the mailbox, or else of the MailServer; "0" is no limit."""
    usage: Usage | None = None
    """How much of its space the mailbox uses."""
