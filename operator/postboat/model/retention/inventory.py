"""The inventory of one platform: what the stores hold, the claims to it, and the orphans, which nobody claims.

Personal and public mail under one name are judged apart. A change costs a look at one user name; the time is an
argument.
"""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from heapq import nsmallest
from typing import Any, Final

from postboat.api.mailbox import MailboxType
from postboat.api.resource import Resource
from postboat.model.retention.claims import Claim, MailKind, claim_of, mailbox_type

OrphanKey = tuple[str | None, str | None, int | None]
"""User name, type and store, by which `status.orphans` lists an orphan."""

_KINDS: Final = (MailKind.PERSONAL, MailKind.PUBLIC)


@dataclass(frozen=True, slots=True)
class Holding:
    """What one store holds under one user name; the numbers are None until Dovecot has counted."""

    user: str
    store: int
    bytes: int | None = None
    messages: int | None = None
    kind: MailKind = MailKind.PERSONAL


@dataclass(frozen=True, slots=True)
class Orphan:
    """Mail of one kind that no Mailbox claims, and when that was found."""

    holding: Holding
    kind: MailKind
    since: datetime

    @property
    def bytes(self) -> int | None:
        """How much it is; None where the store has both kinds, since it counts by user name alone."""
        return self.holding.bytes if self.holding.kind is self.kind else None

    @property
    def key(self) -> OrphanKey:
        """What identifies it in `status.orphans`."""
        return self.holding.user, mailbox_type(self.kind).value, self.holding.store


class Inventory:
    """The holdings of all stores of one platform, and the claims to them."""

    def __init__(self) -> None:
        self._holdings: dict[str, dict[int, Holding]] = {}
        self._counts: Counter[int] = Counter()
        self._claims: dict[str, Claim] = {}
        self._claimants: dict[str, tuple[str, ...]] = {}
        self._orphans: dict[tuple[str, int], Orphan] = {}

    def record(self, holding: Holding, now: datetime) -> None:
        """Record what a store holds of a user."""
        stores = self._holdings.setdefault(holding.user, {})
        self._counts[holding.store] += holding.store not in stores
        stores[holding.store] = holding
        self._update_orphans(holding.user, now)

    def discard(self, user: str, store: int, now: datetime) -> None:
        """Record that a store holds nothing of a user."""
        stores = self._holdings.get(user, {})
        if stores.pop(store, None) is not None:
            self._counts[store] -= 1
        if not stores:
            self._holdings.pop(user, None)
        self._update_orphans(user, now)

    def replace(self, store: int, holdings: Mapping[str, Holding], now: datetime) -> set[str]:
        """Record everything that a store holds, and give the users whose holding is another one now."""
        gone = {user for user, stores in self._holdings.items() if store in stores} - holdings.keys()
        for user in gone:
            self.discard(user, store, now)
        changed = {user for user, holding in holdings.items() if self._holdings.get(user, {}).get(store) != holding}
        for user in changed:
            self.record(holdings[user], now)
        return gone | changed

    @property
    def mailboxes(self) -> frozenset[str]:
        """The Mailboxes that have a claim."""
        return frozenset(self._claims)

    def set_claim(self, mailbox: str, claim: Claim | None, now: datetime) -> set[str]:
        """Record the claim of a Mailbox, None for no more; give the users that it had a claim to, or has one to now."""
        old = self._claims.get(mailbox)
        if old == claim:
            return set()
        if old is not None:
            del self._claims[mailbox]
            others = tuple(one for one in self._claimants.pop(old.user) if one != mailbox)
            if others:
                self._claimants[old.user] = others
        if claim is not None:
            self._claims[mailbox] = claim
            self._claimants[claim.user] = (*self._claimants.get(claim.user, ()), mailbox)
        changed = {one.user for one in (old, claim) if one is not None}
        for user in changed:
            self._update_orphans(user, now)
        return changed

    def claimants(self, user: str) -> frozenset[str]:
        """Give the Mailboxes that claim a user name, those that claim no mail as well."""
        return frozenset(self._claimants.get(user, ()))

    def rivals(self, mailbox: Resource) -> frozenset[str]:
        """Give the other Mailboxes that claim the user name of a Mailbox, those under deletion too."""
        claim = claim_of(mailbox)
        return self.claimants(claim.user) - {mailbox.name} if claim is not None else frozenset()

    def holding(self, user: str, store: int) -> Holding | None:
        """Give what a store holds of a user."""
        return self._holdings.get(user, {}).get(store)

    def home(self, user: str, kind: MailKind = MailKind.PERSONAL) -> int | None:
        """Give the store that holds mail of a user; of several the one with the most, and then the lowest."""
        stores = self._holdings.get(user, {})
        return min(
            (store for store, holding in stores.items() if holding.kind & kind),
            key=lambda store: (-(stores[store].messages or 0), -(stores[store].bytes or 0), store),
            default=None,
        )

    def stores(self, user: str, kind: MailKind = MailKind.PERSONAL) -> tuple[int, ...]:
        """Give all stores that hold mail of a user."""
        return tuple(sorted(store for store, holding in self._holdings.get(user, {}).items() if holding.kind & kind))

    @property
    def highest_store(self) -> int:
        """The highest store that holds mail, orphans too; -1 when none does."""
        return max((store for store, count in self._counts.items() if count), default=-1)

    @property
    def orphan_count(self) -> int:
        """How many orphans there are."""
        return len(self._orphans)

    def orphans_of(self, user: str) -> tuple[Orphan, ...]:
        """Give the orphans under a user name: one of each kind at most."""
        found = (self._orphans.get((user, kind.value)) for kind in _KINDS)
        return tuple(orphan for orphan in found if orphan is not None)

    def first_orphans(self, limit: int) -> tuple[Orphan, ...]:
        """Give the first orphans by name."""
        return tuple(self._orphans[key] for key in nsmallest(limit, self._orphans))

    def _update_orphans(self, user: str, now: datetime) -> None:
        claims = [self._claims[mailbox].kind for mailbox in self._claimants.get(user, ())]
        for kind in _KINDS:
            key = (user, kind.value)
            home = self.home(user, kind)
            if home is None or any(claim & kind for claim in claims):
                self._orphans.pop(key, None)
            else:
                known = self._orphans.get(key)
                since = known.since if known is not None else now
                self._orphans[key] = Orphan(self._holdings[user][home], kind, since)


class ReportedOrphans:
    """The orphans that have been reported, by user name and type, so that each is reported once.

    `listed` are the entries of `status.orphans`, which an earlier operator has reported.
    """

    def __init__(self, listed: Iterable[Mapping[str, Any]]) -> None:
        self._known = {(str(one.get("username")), str(one.get("type"))) for one in listed}

    def update(self, inventory: Inventory, user: str) -> tuple[tuple[Orphan, ...], bool]:
        """Give the new orphans under a user name, and whether a Mailbox has got the mail of an earlier one."""
        orphans = {(user, str(mailbox_type(orphan.kind))): orphan for orphan in inventory.orphans_of(user)}
        ended = {known for known in ((user, str(one)) for one in MailboxType) if known not in orphans} & self._known
        inherited = (user, str(MailboxType.USER)) in ended and inventory.home(user) is not None
        new = sorted(orphans.keys() - self._known)
        self._known = self._known - ended | set(new)
        return tuple(orphans[key] for key in new), inherited


def listed_since(listed: Iterable[Mapping[str, Any]]) -> dict[OrphanKey, str]:
    """Read from `status.orphans` since when each is an orphan, which a later start of the operator does not change."""
    found = {(one.get("username"), one.get("type"), one.get("store")): one.get("since") for one in listed}
    return {key: since for key, since in found.items() if since}
