"""What becomes of all Mailboxes that claim one user name: at most one mailbox, and a verdict for each of them.

Nothing here looks beyond that name, and the domain in it if there is one, so a change of one Mailbox is a decision
about one name.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from typing import Final

from postboat.api.mailbox import Access, MailboxSpec, MailboxType
from postboat.api.resource import Refusal, Resource
from postboat.model import defaults, names
from postboat.model.belonging import belonging
from postboat.model.domains import absence
from postboat.model.kinds import fields_verdict
from postboat.model.mailbox_graph import Node, node
from postboat.model.passwords import Place, referenced_password
from postboat.model.platform import (
    PUBLIC_STORE,
    UNPLACED,
    Account,
    Domain,
    Group,
    Junk,
    Mailbox,
    Protocol,
    PublicMailbox,
)
from postboat.model.retention.claims import by_age, claim_of
from postboat.model.retention.placement import MailLocations, placement
from postboat.model.retention.reclaim import holds_user_name
from postboat.model.snapshot import SecretContent
from postboat.model.verdict import DELETING, Key, Reason, Verdict

_NO_FOLDERS: Final = frozenset({"cur", "inbox", "new", "subscriptions", "tmp"})
"""Names with a meaning of their own in Maildir and in IMAP."""
_DOVECOTS_OWN: Final = "dovecot"
"""So begin the files that Dovecot keeps beside public mailboxes."""
_ALL: Final = tuple(Protocol)
"""What most users may do, once for all of them."""
_NO_LOGIN: Final = "mail is delivered, but nobody can log in"
_WAITING: Final = Verdict(
    Reason.PENDING,
    "it waits for the stores to say whether one of them holds mail of this name; mail to it waits in the queue",
    effective=True,
)


@dataclass(frozen=True, slots=True)
class Frame:
    """What all accounts of a server have in common; while it stays the same, other accounts need no second look."""

    server: str
    servers: tuple[str, ...]
    stores: int
    hash_key: bytes
    quota: int = 0
    junk: Junk = field(default_factory=Junk)


@dataclass(frozen=True, slots=True)
class Outcome:
    """The mailbox under one user name, if there is one, without its relations, and the verdicts of all who claim it.

    The verdict of the owner comes first.
    """

    mailbox: Mailbox | None
    node: Node | None
    verdicts: tuple[tuple[Key, Verdict], ...]


def claimed_user(resource: Resource, frame: Frame) -> str | Verdict | None:
    """Give the user name that a Mailbox can own, or why it can own none; None when it belongs to another MailServer."""
    server = belonging(resource, frame.servers)
    if isinstance(server, Verdict):
        return server
    if server != frame.server:
        return None
    spec = resource.spec
    if not isinstance(spec, MailboxSpec):
        message, path = (spec.message, spec.path) if isinstance(spec, Refusal) else ("this is no Mailbox", "")
        return Verdict(Reason.INVALID, message, path)
    if not holds_user_name(resource):
        return DELETING
    claim = claim_of(resource)
    fault = _name_fault(resource, spec)
    if fault is None and claim is None:
        fault = _domain_fault(spec.domain or "")
    return fault or (claim.user if claim is not None else None)


def _name_fault(resource: Resource, spec: MailboxSpec) -> Verdict | None:
    user = names.user(spec.username or resource.name)
    if user is None:
        message = "the name is no user name: write a-z, 0-9, dot, hyphen and underscore"
        return Verdict(Reason.INVALID, message, "spec.username")
    no_folder = user in _NO_FOLDERS or user.startswith(_DOVECOTS_OWN)
    if spec.effective_type is MailboxType.PUBLIC and no_folder:
        message = f"a folder cannot be called {user}: give the public mailbox another name"
        return Verdict(Reason.INVALID, message, "spec.username")
    return None


def _domain_fault(domain: str) -> Verdict:
    name = names.domain(domain)
    if name is None or names.reserved(name):
        return Verdict(Reason.INVALID, "the domain is not a valid DNS name", "spec.domain")
    message = f"the address is longer than the {names.LONGEST_USER} characters that the name of a user may have"
    return Verdict(Reason.INVALID, message, "spec.domain")


def settle(
    user: str,
    claimants: Collection[Resource],
    secrets: Mapping[str, SecretContent],
    frame: Frame,
    around: tuple[MailLocations, Mapping[str, Domain]],
) -> Outcome:
    """Decide about all claimants of a user name: the owner has it, also while its mail is being erased.

    Args:
        user: The user name.
        claimants: The Mailboxes that claim it and can own it, see `claimed_user`.
        secrets: The Secrets with passwords.
        frame: What all accounts of the MailServer have in common.
        around: Where mail is, and the domains. An owner in a domain that is not among them is no mailbox until it is;
            its mail stays where it is.

    """
    locations, domains = around
    if not claimants:
        return Outcome(None, None, ())
    owner, *rivals = by_age(claimants)
    if owner.deleting:
        message = f"the mail of {user} is being erased with Mailbox {owner.name}"
        return Outcome(
            None, None, _verdicts(owner, DELETING, rivals, Verdict(Reason.PENDING, message, "spec.username"))
        )
    spec = owner.spec
    assert isinstance(spec, MailboxSpec)  # noqa: S101 -- claimed_user() lets nothing else through
    conflict = Verdict(Reason.CONFLICT, f"user name {user} belongs to the older Mailbox {owner.name}", "spec.username")
    domain = names.domain_of(user)
    absent = absence(domain, domains) if domain else None
    if absent is not None:
        return Outcome(None, None, _verdicts(owner, absent, rivals, conflict))
    verdict = fields_verdict(owner)
    mailbox: Mailbox
    match spec.effective_type:
        case MailboxType.GROUP:
            mailbox = Group(owner.name, user)
        case MailboxType.PUBLIC:
            quota, junk = defaults.quota(spec.quota, frame.quota), defaults.junk(spec.junk, frame.junk)
            mailbox = PublicMailbox(owner.name, user, PUBLIC_STORE, quota, junk)
        case MailboxType.USER:
            place = Place("spec.passwordSecret", _NO_LOGIN, frame.servers)
            password = referenced_password(spec.password_secret, user, secrets, frame.hash_key, place)
            if isinstance(password, Verdict):
                verdict, password = replace(password, effective=True), ""
            store = placement(user, owner, frame.stores, locations)
            verdict = _WAITING if store == UNPLACED else verdict
            mailbox = _account(owner, user, spec, frame, password=password, store=store)
    return Outcome(mailbox, node(owner.name, user, spec, _limit(mailbox)), _verdicts(owner, verdict, rivals, conflict))


def _limit(mailbox: Mailbox) -> int | None:
    if isinstance(mailbox, Group) or not mailbox.quota or mailbox.store == UNPLACED:
        return None
    return mailbox.store


def _verdicts(
    owner: Resource, verdict: Verdict, rivals: Collection[Resource], theirs: Verdict
) -> tuple[tuple[Key, Verdict], ...]:
    others = ((("Mailbox", rival.name), DELETING if rival.deleting else theirs) for rival in rivals)
    return (("Mailbox", owner.name), verdict), *others


def _account(  # noqa: PLR0913 - what an account is made of
    resource: Resource, user: str, spec: MailboxSpec, frame: Frame, *, password: str, store: int
) -> Account:
    return Account(
        resource=resource.name,
        user=user,
        password=password,
        access=_access(spec.access),
        store=store,
        quota=defaults.quota(spec.quota, frame.quota),
        junk=defaults.junk(spec.junk, frame.junk),
        uid=resource.uid,
    )


def _access(access: Access | None) -> tuple[Protocol, ...]:
    if access is None:
        return _ALL
    closed = {
        Protocol.IMAP: access.imap is False,
        Protocol.POP3: access.pop3 is False,
        Protocol.SMTP: access.smtp is False,
        Protocol.SIEVE: access.sieve is False,
    }
    return tuple(protocol for protocol, shut in closed.items() if not shut)
