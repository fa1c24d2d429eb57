"""What becomes of all Mailboxes that claim one user name: at most one account, and a verdict for each of them.

Nothing here looks beyond that name, so a change of one Mailbox is a decision about one name.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from typing import Final

from postboat.api.mailbox import Access, MailboxSpec, MailboxType
from postboat.api.resource import Refusal, Resource
from postboat.model import names
from postboat.model.belonging import belonging
from postboat.model.domains import age
from postboat.model.in_force import fields_verdict
from postboat.model.passwords import stored_password
from postboat.model.platform import UNPLACED, Account, Protocol
from postboat.model.snapshot import SecretContent
from postboat.model.verdict import Key, Reason, Verdict

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


@dataclass(slots=True)
class Whereabouts:
    """Which store holds mail of whom, and whether all stores have told."""

    homes: dict[str, int]
    surveyed: bool


@dataclass(frozen=True, slots=True)
class Outcome:
    """The account under one user name, if there is one, and the verdicts of all who claim it."""

    account: Account | None
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
    if resource.deleting:
        return Verdict(Reason.DELETING, "the object is being deleted")
    if spec.effective_type is not MailboxType.USER:
        return Verdict(
            Reason.NOT_IN_FORCE, f"type {spec.effective_type} is without effect in this version", "spec.type"
        )
    return names.user(spec.username or resource.name) or Verdict(
        Reason.INVALID, "the name is no user name: write a-z, 0-9, dot, hyphen and underscore", "spec.username"
    )


def settle(
    user: str,
    claimants: Collection[Resource],
    secrets: Mapping[str, SecretContent],
    frame: Frame,
    whereabouts: Whereabouts,
) -> Outcome:
    """Decide between all Mailboxes that claim a user name: the oldest has it."""
    if not claimants:
        return Outcome(None, ())
    winner, *losers = sorted(claimants, key=age)
    spec = winner.spec
    assert isinstance(spec, MailboxSpec)  # noqa: S101 -- claim() lets nothing else through
    conflict = Verdict(Reason.CONFLICT, f"user name {user} belongs to the older Mailbox {winner.name}", "spec.username")
    password = _password(user, spec, secrets, frame.hash_key)
    refused = isinstance(password, Verdict)
    verdict = replace(password, effective=True) if isinstance(password, Verdict) else fields_verdict(winner)
    shard = _placement(user, winner, frame.shards, whereabouts)
    if shard == UNPLACED:
        verdict = _WAITING
    account = Account(
        resource=winner.name,
        user=user,
        password="" if refused else str(password),
        access=_access(spec.access or Access()),
        shard=shard,
        quota=0,
    )
    verdicts = [(("Mailbox", winner.name), verdict), *((("Mailbox", loser.name), conflict) for loser in losers)]
    return Outcome(account, tuple(verdicts))


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
    placed = resource.status.get("store", -1)
    if isinstance(placed, int) and 0 <= placed < _MOST_STORES:
        return int(placed)
    home = whereabouts.homes.get(user)
    if home is not None:
        return home
    return names.store(user, shards) if whereabouts.surveyed or shards == 1 else UNPLACED


def _password(user: str, spec: MailboxSpec, secrets: Mapping[str, SecretContent], key: bytes) -> str | Verdict:
    reference = spec.password_secret
    if reference is None:
        return ""
    path = "spec.passwordSecret"
    secret = secrets.get(reference.name)
    if secret is None or not secret.exists:
        message = f"there is no Secret {reference.name}: mail is delivered, but nobody can log in"
        return Verdict(Reason.SECRET_NOT_FOUND, message, path)
    content = secret.data.get(reference.key)
    if content is None:
        message = f"Secret {reference.name} has no key {reference.key}: mail is delivered, but nobody can log in"
        return Verdict(Reason.SECRET_KEY_NOT_FOUND, message, path)
    password = stored_password(content, user, key)
    if isinstance(password, Verdict):
        return replace(password, message=f"Secret {reference.name}, key {reference.key}: {password.message}", path=path)
    return password
