"""Whether a store came back on another volume than the one that it had, and what is missing since.

Each volume has a name of its own, which the store's agent gives it. What lay on the one before is known from the
statuses of Mailboxes. It is said until the volume is back or somebody accepts the other one, whatever is delivered
meanwhile.
"""

from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass, replace

from postboat.api.resource import Resource
from postboat.model.census import Census, claimed


@dataclass(frozen=True, slots=True)
class Missing:
    """What the statuses of Mailboxes tell of and the store does not have, as of its first word from a volume."""

    volume: str
    """The name of the volume that the store has now."""
    mailboxes: int
    messages: int
    bytes: int
    since: str
    """A moment as Kubernetes writes it."""


@dataclass(frozen=True, slots=True)
class StoreVolume:
    """The volume that a store should have, by name; empty when only the loss is known."""

    store: int
    volume: str
    missing: Missing | None = None


def missing(
    mailboxes: Iterable[Resource], census: Census, there: StoreVolume, since: str, *, known: bool
) -> Missing | None:
    """Count what a store does not have of the mail that was in Mailboxes when their statuses were written.

    `there` is the store with the name of the volume that it has now. With `known`, the volume is another one for sure,
    so that a mailbox with fewer messages than before counts for the rest; else only one that is gone as a whole does.
    """
    count = messages = size = 0
    for mailbox in mailboxes:
        claim, used = claimed(mailbox), mailbox.status.get("usage") or {}
        if claim is None or mailbox.deleting or not used.get("messages"):
            continue
        if (mailbox.status.get("store"), mailbox.status.get("username")) != (there.store, claim.user):
            continue
        holding = census.holding(claim.user, there.store)
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
    """Give the volume that a store should have, after the first word of a new run of its agent.

    `now` is the store with the name of the volume that it has, `held` the number of mailboxes on it. `lacking` gives
    what `missing` says, told whether another volume was known.
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
    """Give the volume that a store should have when somebody accepts those of these names."""
    if known.missing is None or known.missing.volume not in names:
        return known
    return StoreVolume(known.store, known.missing.volume)
