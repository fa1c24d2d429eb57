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
from postboat.model.domains import absence, age
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
from postboat.model.reclaim import FINALIZER
from postboat.model.snapshot import SecretContent
from postboat.model.verdict import DELETING, Key, Reason, Verdict

_NO_FOLDERS: Final = frozenset({"cur", "inbox", "new", "subscriptions", "tmp"})
"""Names with a meaning of their own in Maildir and in IMAP."""
_DOVECOTS_OWN: Final = "dovecot"
"""So begin the files that Dovecot keeps beside public mailboxes."""
_NO_LOGIN: Final = "mail is delivered, but nobody can log in"
_MOST_STORES: Final = 64
"""As many as the schema allows; a status that says more is none of ours."""
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
    shards: int
    hash_key: bytes
    quota: int = 0
    junk: Junk = field(default_factory=Junk)


@dataclass(slots=True)
class Whereabouts:
    """Which store holds mail of whom, and whether all stores have told.

    `standing` is how many there were at the beginning, `held` the highest that has something to keep; None: unknown.
    """

    homes: dict[str, int]
    surveyed: bool
    standing: int = 0
    held: int | None = -1

    @property
    def highest(self) -> int:
        """The highest store that stays whoever lives there; until it is known what they hold, all that stand do."""
        return self.standing - 1 if self.held is None else self.held


@dataclass(frozen=True, slots=True)
class Outcome:
    """The mailbox under one user name, if there is one, without its relations, and the verdicts of all who claim it.

    The verdict of the winner comes first.
    """

    mailbox: Mailbox | None
    node: Node | None
    verdicts: tuple[tuple[Key, Verdict], ...]


def claim(resource: Resource, frame: Frame) -> str | Verdict | None:
    """Tell the user name that a Mailbox claims, or why it claims none; None when it belongs to another server."""
    owner = belonging(resource, frame.servers)
    if isinstance(owner, Verdict):
        return owner
    if owner != frame.server:
        return None
    spec = resource.spec
    if not isinstance(spec, MailboxSpec):
        message, path = (spec.message, spec.path) if isinstance(spec, Refusal) else ("this is no Mailbox", "")
        return Verdict(Reason.INVALID, message, path)
    if resource.deleting and FINALIZER not in resource.finalizers:
        return DELETING
    return _user(spec.username or resource.name, spec)


def _user(name: str, spec: MailboxSpec) -> str | Verdict:
    user = names.user(name)
    if user is None:
        message = "the name is no user name: write a-z, 0-9, dot, hyphen and underscore"
        return Verdict(Reason.INVALID, message, "spec.username")
    no_folder = user in _NO_FOLDERS or user.startswith(_DOVECOTS_OWN)
    if spec.effective_type is MailboxType.PUBLIC and no_folder:
        message = f"a folder cannot be called {user}: give the public mailbox another name"
        return Verdict(Reason.INVALID, message, "spec.username")
    return user if spec.domain is None else _bound(user, spec.domain)


def _bound(user: str, domain: str) -> str | Verdict:
    found = names.mailbox(user, domain)
    if found is not None:
        return found
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
    around: tuple[Whereabouts, Mapping[str, Domain]],
) -> Outcome:
    """Decide between all Mailboxes that claim a user name: the oldest has it, also while its mail is being erased.

    One in a domain that is not among those given is no mailbox until it is; its mail stays where it is.
    """
    whereabouts, domains = around
    if not claimants:
        return Outcome(None, None, ())
    winner, *losers = sorted(claimants, key=age)
    if winner.deleting:
        message = f"the mail of {user} is being erased with Mailbox {winner.name}"
        return Outcome(
            None, None, _verdicts(winner, DELETING, losers, Verdict(Reason.PENDING, message, "spec.username"))
        )
    spec = winner.spec
    assert isinstance(spec, MailboxSpec)  # noqa: S101 -- claim() lets nothing else through
    conflict = Verdict(Reason.CONFLICT, f"user name {user} belongs to the older Mailbox {winner.name}", "spec.username")
    domain = names.domain_of(user)
    absent = absence(domain, domains) if domain else None
    if absent is not None:
        return Outcome(None, None, _verdicts(winner, absent, losers, conflict))
    verdict = fields_verdict(winner)
    mailbox: Mailbox
    match spec.effective_type:
        case MailboxType.GROUP:
            mailbox = Group(winner.name, user)
        case MailboxType.PUBLIC:
            quota, junk = defaults.quota(spec.quota, frame.quota), defaults.junk(spec.junk, frame.junk)
            mailbox = PublicMailbox(winner.name, user, PUBLIC_STORE, quota, junk)
        case MailboxType.USER:
            place = Place("spec.passwordSecret", _NO_LOGIN, frame.servers)
            password = referenced_password(spec.password_secret, user, secrets, frame.hash_key, place)
            if isinstance(password, Verdict):
                verdict, password = replace(password, effective=True), ""
            shard = _placement(user, winner, frame.shards, whereabouts)
            verdict = _WAITING if shard == UNPLACED else verdict
            mailbox = _account(winner, user, spec, frame, password=password, shard=shard)
    return Outcome(
        mailbox, node(winner.name, user, spec, _limit(mailbox)), _verdicts(winner, verdict, losers, conflict)
    )


def _limit(mailbox: Mailbox) -> int | None:
    if isinstance(mailbox, Group) or not mailbox.quota or mailbox.shard == UNPLACED:
        return None
    return mailbox.shard


def _verdicts(
    winner: Resource, verdict: Verdict, losers: Collection[Resource], theirs: Verdict
) -> tuple[tuple[Key, Verdict], ...]:
    others = ((("Mailbox", loser.name), DELETING if loser.deleting else theirs) for loser in losers)
    return (("Mailbox", winner.name), verdict), *others


def _account(  # noqa: PLR0913 - what an account is made of
    resource: Resource, user: str, spec: MailboxSpec, frame: Frame, *, password: str, shard: int
) -> Account:
    return Account(
        resource=resource.name,
        user=user,
        password=password,
        access=_access(spec.access or Access()),
        shard=shard,
        quota=defaults.quota(spec.quota, frame.quota),
        junk=defaults.junk(spec.junk, frame.junk),
        uid=resource.uid,
    )


def _access(access: Access) -> tuple[Protocol, ...]:
    closed = {
        Protocol.IMAP: access.imap is False,
        Protocol.POP3: access.pop3 is False,
        Protocol.SMTP: access.smtp is False,
        Protocol.SIEVE: access.sieve is False,
    }
    return tuple(protocol for protocol, shut in closed.items() if not shut)


def _placement(user: str, resource: Resource, shards: int, whereabouts: Whereabouts) -> int:
    """Place a mailbox where its status says, else where its mail is, else, when no store has any, by its name."""
    store = placed(resource)
    if store is None:
        store = whereabouts.homes.get(user)
    if store is not None:
        return store
    single = shards == 1 and whereabouts.standing <= 1
    return names.store(user, shards) if whereabouts.surveyed or single else UNPLACED


def placed(resource: Resource) -> int | None:
    """Tell on which store the status of a Mailbox places it."""
    store = resource.status.get("store")
    return int(store) if isinstance(store, int) and 0 <= store < _MOST_STORES else None
