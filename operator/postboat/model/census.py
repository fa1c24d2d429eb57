"""Whose mail lies where: what the stores tell, against the Mailboxes that claim it; what nobody claims is an orphan.

Under one name there may be mail of a person and of a public mailbox: each is judged by itself. One change costs a look
at one user name; the clock comes from outside.
"""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import Flag
from heapq import nsmallest
from typing import Final

from postboat.api.mailbox import MailboxSpec, MailboxType
from postboat.api.resource import Resource
from postboat.model import names


class Kept(Flag):
    """Whose mail is kept under a name: a person's, or that of a public mailbox; the stores tell the numbers."""

    NOTHING = 0
    PERSONAL = 1
    PUBLIC = 2


_KEPT_BY: Final = {
    MailboxType.USER: Kept.PERSONAL,
    MailboxType.GROUP: Kept.NOTHING,
    MailboxType.PUBLIC: Kept.PUBLIC,
}


@dataclass(frozen=True, slots=True)
class Holding:
    """What one store holds under one name; the numbers are None until Dovecot has told them."""

    user: str
    store: int
    bytes: int | None = None
    messages: int | None = None
    kept: Kept = Kept.PERSONAL


@dataclass(frozen=True, slots=True)
class Orphan:
    """Mail of one kind whose Mailbox is gone, and since when that is known."""

    holding: Holding
    kept: Kept
    since: datetime

    @property
    def bytes(self) -> int | None:
        """How much it is; a store counts by name alone, so nobody can tell while it keeps both kinds."""
        return self.holding.bytes if self.holding.kept is self.kept else None


@dataclass(frozen=True, slots=True)
class Claim:
    """The name that a Mailbox stands for, and which mail under it."""

    user: str
    kept: Kept


def mailbox_type(kept: Kept) -> MailboxType:
    """Tell of which type the Mailbox of mail of one kind is."""
    return MailboxType.PUBLIC if kept is Kept.PUBLIC else MailboxType.USER


def claimed(resource: Resource) -> Claim | None:
    """Tell which mail a Mailbox may stand for, whatever else is wrong with it: what it may claim is no orphan.

    Of what cannot be read nobody knows the type: a mistake makes no orphan of mail that lives.
    """
    spec = resource.spec
    if isinstance(spec, MailboxSpec):
        user, kept = names.mailbox(spec.username or resource.name, spec.domain), _KEPT_BY[spec.effective_type]
    else:
        name, _, domain = str(resource.status.get("username") or resource.name).partition("@")
        user, kept = names.mailbox(name, domain or None), Kept.PERSONAL | Kept.PUBLIC
    return Claim(user, kept) if user is not None else None


class Census:
    """All mail of one platform and all claims to it."""

    def __init__(self) -> None:
        self._holdings: dict[str, dict[int, Holding]] = {}
        self._held: Counter[int] = Counter()
        self._claims: dict[str, Claim] = {}
        self._claimants: dict[str, tuple[str, ...]] = {}
        self._orphans: dict[tuple[str, int], Orphan] = {}

    def hold(self, holding: Holding, now: datetime) -> None:
        """Take in what a store holds of a user."""
        stores = self._holdings.setdefault(holding.user, {})
        self._held[holding.store] += holding.store not in stores
        stores[holding.store] = holding
        self._judge(holding.user, now)

    def release(self, user: str, store: int, now: datetime) -> None:
        """Take in that a store holds nothing of a user."""
        stores = self._holdings.get(user, {})
        if stores.pop(store, None) is not None:
            self._held[store] -= 1
        if not stores:
            self._holdings.pop(user, None)
        self._judge(user, now)

    def replace(self, store: int, holdings: Mapping[str, Holding], now: datetime) -> set[str]:
        """Take in everything that a store holds, and give the users for whom that is news."""
        gone = {user for user, stores in self._holdings.items() if store in stores} - holdings.keys()
        for user in gone:
            self.release(user, store, now)
        news = {user for user, holding in holdings.items() if self._holdings.get(user, {}).get(store) != holding}
        for user in news:
            self.hold(holdings[user], now)
        return gone | news

    @property
    def mailboxes(self) -> frozenset[str]:
        """The Mailboxes that stand for anybody."""
        return frozenset(self._claims)

    def claim(self, mailbox: str, claim: Claim | None, now: datetime) -> set[str]:
        """Take in which mail a Mailbox stands for (None: for none any more), and give the users that this touches."""
        old = self._claims.get(mailbox)
        if old == claim:
            return set()
        if old is not None:
            del self._claims[mailbox]
            rest = tuple(one for one in self._claimants.pop(old.user) if one != mailbox)
            if rest:
                self._claimants[old.user] = rest
        if claim is not None:
            self._claims[mailbox] = claim
            self._claimants[claim.user] = (*self._claimants.get(claim.user, ()), mailbox)
        touched = {one.user for one in (old, claim) if one is not None}
        for user in touched:
            self._judge(user, now)
        return touched

    def claimants(self, user: str) -> frozenset[str]:
        """Give the Mailboxes that stand for a name, those without mail as well."""
        return frozenset(self._claimants.get(user, ()))

    def holding(self, user: str, store: int) -> Holding | None:
        """Give what a store holds of a user."""
        return self._holdings.get(user, {}).get(store)

    def home(self, user: str, kept: Kept = Kept.PERSONAL) -> int | None:
        """Give the store that holds mail of a user; the one with the most, should several, and then the lowest."""
        stores = self._holdings.get(user, {})
        return min(
            (store for store, holding in stores.items() if holding.kept & kept),
            key=lambda store: (-(stores[store].messages or 0), -(stores[store].bytes or 0), store),
            default=None,
        )

    def stores(self, user: str, kept: Kept = Kept.PERSONAL) -> tuple[int, ...]:
        """Give all stores that hold mail of a user."""
        return tuple(sorted(store for store, holding in self._holdings.get(user, {}).items() if holding.kept & kept))

    @property
    def highest(self) -> int:
        """The highest store that holds mail of anybody, also of nobody; -1 when none does."""
        return max((store for store, held in self._held.items() if held), default=-1)

    @property
    def count(self) -> int:
        """How many orphans there are."""
        return len(self._orphans)

    def orphans_of(self, user: str) -> tuple[Orphan, ...]:
        """Give the orphans of a name: one of each kind at most."""
        found = (self._orphans.get((user, kept.value)) for kept in (Kept.PERSONAL, Kept.PUBLIC))
        return tuple(orphan for orphan in found if orphan is not None)

    def first(self, limit: int) -> tuple[Orphan, ...]:
        """Give the first orphans by name."""
        return tuple(self._orphans[key] for key in nsmallest(limit, self._orphans))

    def _judge(self, user: str, now: datetime) -> None:
        claims = [self._claims[mailbox].kept for mailbox in self._claimants.get(user, ())]
        for kept in (Kept.PERSONAL, Kept.PUBLIC):
            key = (user, kept.value)
            home = self.home(user, kept)
            if home is None or any(claim & kept for claim in claims):
                self._orphans.pop(key, None)
            else:
                known = self._orphans.get(key)
                since = known.since if known is not None else now
                self._orphans[key] = Orphan(self._holdings[user][home], kept, since)


def census(holdings: Iterable[Holding], claims: Mapping[str, Claim], now: datetime) -> Census:
    """Take a whole census at once."""
    taken = Census()
    for holding in holdings:
        taken.hold(holding, now)
    for mailbox, claim in claims.items():
        taken.claim(mailbox, claim, now)
    return taken
