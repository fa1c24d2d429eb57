"""What becomes of mail with its Mailbox, and of the finalizer that holds the Mailbox until then."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from enum import Enum, auto
from typing import Final

from postboat.api.mailbox import MailboxSpec, MailboxType
from postboat.api.mailserver import MailServerSpec
from postboat.api.resource import Resource
from postboat.api.values import ReclaimPolicy
from postboat.model.belonging import is_unowned
from postboat.model.defaults import paused
from postboat.model.retention.claims import MailKind, Ownership, claim_of, owns
from postboat.model.retention.inventory import Inventory
from postboat.model.retention.placement import store_in_status
from postboat.model.verdict import Reason

FINALIZER: Final = "postboat.dev/erase-mail"


class Step(Enum):
    """The next step for a Mailbox."""

    NOTHING = auto()
    ADD_FINALIZER = auto()
    REMOVE_FINALIZER = auto()
    """The mail is kept or there is none. A Mailbox under deletion goes with it."""
    WAIT = auto()
    ERASE = auto()


@dataclass(frozen=True, slots=True)
class Decision:
    """The next step; to erase, whose mail of which kind and on which stores, and else why."""

    step: Step
    user: str = ""
    kind: MailKind = MailKind.PERSONAL
    stores: tuple[int, ...] = ()
    message: str = ""
    reason: Reason = Reason.STORE_UNAVAILABLE
    """Of a step that waits: the reason of the condition `Erased`."""


@dataclass(frozen=True, slots=True)
class ObservedMailbox:
    """A Mailbox with the objects that a decision about it depends on.

    `server` is the MailServer that decides, None when it is gone; `rivals` are the other claimants of the user name.
    """

    mailbox: Resource
    ownership: Ownership
    server: Resource | None
    rivals: Collection[Resource] = ()

    @property
    def has_finalizer(self) -> bool:
        """Whether the Mailbox has the finalizer."""
        return FINALIZER in self.mailbox.finalizers

    @property
    def terminating(self) -> bool:
        """Whether the Mailbox is under deletion and waits for its MailServer to remove the finalizer."""
        return self.ownership is Ownership.OURS and self.mailbox.deleting and self.has_finalizer


def holds_user_name(mailbox: Resource) -> bool:
    """Tell whether a Mailbox still holds its user name: under deletion only while it has the finalizer."""
    return not mailbox.deleting or FINALIZER in mailbox.finalizers


def finalizer_is_useless(resource: Resource, servers: Sequence[str]) -> bool:
    """Tell whether an object has the finalizer and belongs to no MailServer, so that nobody can erase its mail."""
    return FINALIZER in resource.finalizers and is_unowned(resource, servers)


def erases(mailbox: Resource, server: Resource) -> bool:
    """Tell whether the reclaim policy erases mail with its Mailbox; a spec that cannot be read keeps it, as does none.

    Args:
        mailbox: The Mailbox, whose policy is the first that counts. A Group has no mail.
        server: The MailServer, whose policy is the default.

    """
    spec, settings = mailbox.spec, server.spec
    if not isinstance(spec, MailboxSpec) or spec.effective_type is MailboxType.GROUP:
        return False
    default = settings.mailboxes.reclaim_policy if isinstance(settings, MailServerSpec) and settings.mailboxes else None
    return (spec.reclaim_policy or default or ReclaimPolicy.RETAIN) is ReclaimPolicy.DELETE


def decide(observed: ObservedMailbox, inventory: Inventory, *, complete: bool) -> Decision:
    """Decide the next step for a Mailbox.

    Args:
        observed: The Mailbox and the objects around it.
        inventory: What the stores hold.
        complete: Whether every store has reported its holdings, or has had the time for it.

    """
    if observed.terminating:
        return _under_deletion(observed, inventory, complete=complete)
    server = observed.server
    if observed.ownership is Ownership.OTHER or server is None or paused(server):
        return Decision(Step.NOTHING)
    if observed.ownership is Ownership.OURS and observed.mailbox.deleting:
        return Decision(Step.NOTHING)
    wanted = observed.ownership is Ownership.OURS and not _reason_to_keep(observed)
    if wanted == observed.has_finalizer:
        return Decision(Step.NOTHING)
    return Decision(Step.ADD_FINALIZER if wanted else Step.REMOVE_FINALIZER)


def _under_deletion(observed: ObservedMailbox, inventory: Inventory, *, complete: bool) -> Decision:
    message = _reason_to_keep(observed)
    claim = claim_of(observed.mailbox)
    if message or claim is None:
        return Decision(Step.REMOVE_FINALIZER, message=message)
    placed = store_in_status(observed.mailbox)
    known = complete or placed is not None
    stores = {*inventory.stores(claim.user, claim.kind), *((placed,) if placed is not None else ())}
    if known and not stores:
        return Decision(Step.REMOVE_FINALIZER, message="it has no mail")
    if observed.server is not None and paused(observed.server):
        return Decision(Step.WAIT, message="the MailServer is paused (spec.paused)", reason=Reason.PAUSED)
    if not known:
        return Decision(Step.WAIT, message="not every store has said what it holds")
    return Decision(Step.ERASE, claim.user, claim.kind, tuple(sorted(stores)))


def _reason_to_keep(observed: ObservedMailbox) -> str:
    if observed.server is None or observed.server.deleting:
        return "the MailServer goes too"
    if not erases(observed.mailbox, observed.server):
        return "its mail is to be kept"
    return "" if owns(observed.mailbox, observed.rivals) else "the mail belongs to another Mailbox"
