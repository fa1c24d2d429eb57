"""Claims of Mailboxes to mail, and the owner among several claimants of one user name."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import Enum, Flag, auto
from typing import Final

from postboat.api.mailbox import MailboxSpec, MailboxType
from postboat.api.resource import Resource
from postboat.model import names
from postboat.model.belonging import belonging
from postboat.model.domains import age
from postboat.model.verdict import Verdict


class MailKind(Flag):
    """Which mail there is, or is claimed, under a user name; the stores report these numbers."""

    NONE = 0
    PERSONAL = 1
    PUBLIC = 2


_CLAIMED_BY: Final = {
    MailboxType.USER: MailKind.PERSONAL,
    MailboxType.GROUP: MailKind.NONE,
    MailboxType.PUBLIC: MailKind.PUBLIC,
}


@dataclass(frozen=True, slots=True)
class Claim:
    """A user name, and which mail under it."""

    user: str
    kind: MailKind


class Ownership(Enum):
    """Whether a Mailbox belongs to one MailServer."""

    OURS = auto()
    UNKNOWN = auto()
    """Its spec cannot be read, or names no MailServer that exists: it may belong to any of them."""
    OTHER = auto()


def mailbox_type(kind: MailKind) -> MailboxType:
    """Give the type of the Mailbox that claims mail of one kind."""
    return MailboxType.PUBLIC if kind is MailKind.PUBLIC else MailboxType.USER


def ownership(mailbox: Resource, server: str, servers: Sequence[str]) -> Ownership:
    """Tell whether a Mailbox belongs to a MailServer.

    Args:
        mailbox: The Mailbox.
        server: The name of the MailServer.
        servers: The names of all MailServers of the namespace, the oldest first.

    """
    found = belonging(mailbox, servers)
    if isinstance(found, Verdict):
        return Ownership.UNKNOWN
    return Ownership.OURS if found == server else Ownership.OTHER


def claim_of(mailbox: Resource) -> Claim | None:
    """Give the claim of a Mailbox, whatever else is wrong with it; None when its name can be no user name.

    A spec that cannot be read has no type, so it claims both kinds: a mistake makes no orphan of mail in use.
    """
    spec = mailbox.spec
    if isinstance(spec, MailboxSpec):
        user, kind = names.mailbox(spec.username or mailbox.name, spec.domain), _CLAIMED_BY[spec.effective_type]
    else:
        name, _, domain = str(mailbox.status.get("username") or mailbox.name).partition("@")
        user, kind = names.mailbox(name, domain or None), MailKind.PERSONAL | MailKind.PUBLIC
    return Claim(user, kind) if user is not None else None


def claim_on(mailbox: Resource | None, server: str, servers: Sequence[str]) -> Claim | None:
    """Give the claim of a Mailbox to mail of one MailServer; None when it has none, or when there is no Mailbox.

    Args:
        mailbox: The Mailbox.
        server: The name of the MailServer.
        servers: The names of all MailServers of the namespace, the oldest first.

    """
    if mailbox is None or ownership(mailbox, server, servers) is Ownership.OTHER:
        return None
    return claim_of(mailbox)


def by_age(claimants: Iterable[Resource]) -> list[Resource]:
    """Sort the claimants of one user name: the first is the owner, the others wait until it is gone."""
    return sorted(claimants, key=age)


def owns(mailbox: Resource, rivals: Iterable[Resource]) -> bool:
    """Tell whether a Mailbox is the owner of its user name.

    Args:
        mailbox: The Mailbox.
        rivals: The other claimants of the same user name, those under deletion too.

    """
    return not any(age(rival) < age(mailbox) for rival in rivals)
