"""Detects a store that came back on another volume, and counts the mail that is missing since.

Each volume has a name, which the store's agent gives it once. What was on the volume before is known from the statuses
of Mailboxes. The loss is reported until the volume is back or somebody accepts the new one, whatever is delivered
meanwhile.
"""

from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass, replace

from postboat.api.resource import Resource
from postboat.model.retention.claims import claim_of
from postboat.model.retention.inventory import Inventory


@dataclass(frozen=True, slots=True)
class Missing:
    """What a store lacks, as counted when it first reported another volume."""

    volume: str
    """Name of the volume that the store has now."""
    mailboxes: int
    """Number of mailboxes that lack messages."""
    messages: int
    """Number of messages that are missing in them."""
    bytes: int
    """Bytes that are missing in them."""
    since: str
    """When that was found, RFC 3339 in UTC."""


@dataclass(frozen=True, slots=True)
class StoreVolume:
    """The volume that a store should have."""

    store: int
    """Number of the store, from 0."""
    volume: str
    """Name of the volume; "" when only the loss is known."""
    missing: Missing | None = None
    """What the store lacks; None when nothing."""


def missing(
    mailboxes: Iterable[Resource], inventory: Inventory, there: StoreVolume, since: str, *, known: bool
) -> Missing | None:
    """Return what a store lacks of the mail that the statuses of Mailboxes report; None when nothing.

    Args:
        mailboxes: All Mailboxes of the platform, with their statuses.
        inventory: What the stores hold now.
        there: The store with the name of the volume that it has now.
        since: The time to report, RFC 3339 in UTC.
        known: Whether the volume is known to be another one: then a mailbox with fewer messages than before counts too,
            else only one that is missing as a whole.
    """
    count = messages = size = 0
    for mailbox in mailboxes:
        claim, used = claim_of(mailbox), mailbox.status.get("usage") or {}
        if claim is None or mailbox.deleting or not used.get("messages"):
            continue
        if (mailbox.status.get("store"), mailbox.status.get("username")) != (there.store, claim.user):
            continue
        holding = inventory.holding(claim.user, there.store)
        if holding is not None and (not known or holding.messages is None):
            continue  # its folder is there, and nobody has counted what is in it
        rest = used["messages"] - ((holding.messages or 0) if holding is not None else 0)
        if rest > 0:
            count, messages = count + 1, messages + rest
            size += max(0, used.get("bytes", 0) - ((holding.bytes or 0) if holding is not None else 0))
    return Missing(there.volume, count, messages, size, since) if count else None


def judged(
    known: StoreVolume | None, now: StoreVolume, held: int, lacking: Callable[[bool], Missing | None]
) -> StoreVolume:
    """Return the volume that a store should have, after the first report of a new run of its agent.

    Args:
        known: What was known before; None when nothing.
        now: The store with the name of the volume that it has.
        held: Number of mailboxes on that volume.
        lacking: Calls `missing` with the given value of its argument `known`.
    """
    if known is None:
        lost = lacking(False)  # noqa: FBT003 - no volume was known
        return now if lost is None else replace(now, volume="", missing=lost)
    if known.volume == now.volume or (known.missing is not None and known.missing.volume == now.volume):
        return known if known.volume != now.volume else now
    lost = lacking(True)  # noqa: FBT003 - another one was known
    if known.missing is not None and held < known.missing.mailboxes:
        return replace(known, missing=replace(known.missing, volume=now.volume))
    return now if lost is None else replace(known, missing=lost)


def accepted(known: StoreVolume, names: Collection[str]) -> StoreVolume:
    """Return the volume that a store should have after somebody has accepted volumes.

    Args:
        names: Names of accepted volumes.
    """
    if known.missing is None or known.missing.volume not in names:
        return known
    return StoreVolume(known.store, known.missing.volume)
