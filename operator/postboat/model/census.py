"""Whose mail lies where: what the stores tell, against the Mailboxes that claim it; what nobody claims is an orphan.

One change costs a look at one user name; the clock comes from outside.
"""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import Flag
from heapq import nsmallest

from postboat.api.mailbox import MailboxSpec
from postboat.api.resource import Resource
from postboat.model import names


class Kept(Flag):
    """Whose mail is kept under a name: a person's, or that of a public mailbox; the stores tell the numbers."""

    NOTHING = 0
    PERSONAL = 1
    PUBLIC = 2


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
    """Mail whose Mailbox is gone, and since when that is known."""

    holding: Holding
    since: datetime


def claimed(resource: Resource) -> str | None:
    """Tell whose mail a Mailbox may stand for, whatever else is wrong with it: what it may claim is no orphan."""
    spec = resource.spec
    written = spec.username if isinstance(spec, MailboxSpec) else str(resource.status.get("username") or "")
    return names.user(written or resource.name)


class Census:
    """All mail of one platform and all claims to it."""

    def __init__(self) -> None:
        self._holdings: dict[str, dict[int, Holding]] = {}
        self._held: Counter[int] = Counter()
        self._claims: dict[str, set[str]] = {}
        self._users: dict[str, str] = {}
        self._orphans: dict[str, Orphan] = {}

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
        return frozenset(self._users)

    def claim(self, mailbox: str, user: str | None, now: datetime) -> set[str]:
        """Take in whose mail a Mailbox stands for (None: nobody's any more), and give the users that this touches."""
        old = self._users.get(mailbox)
        if old == user:
            return set()
        if old is not None:
            del self._users[mailbox]
            self._claims[old].discard(mailbox)
            if not self._claims[old]:
                del self._claims[old]
        if user is not None:
            self._users[mailbox] = user
            self._claims.setdefault(user, set()).add(mailbox)
        touched = {one for one in (old, user) if one is not None}
        for one in touched:
            self._judge(one, now)
        return touched

    def claimants(self, user: str) -> frozenset[str]:
        """Give the Mailboxes that stand for a user."""
        return frozenset(self._claims.get(user, ()))

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

    def orphan(self, user: str) -> Orphan | None:
        """Give the orphan of a name."""
        return self._orphans.get(user)

    def first(self, limit: int) -> tuple[Orphan, ...]:
        """Give the first orphans by name."""
        return tuple(self._orphans[user] for user in nsmallest(limit, self._orphans))

    def _judge(self, user: str, now: datetime) -> None:
        home = self.home(user)
        if home is None:
            home = self.home(user, Kept.PUBLIC)
        if home is None or user in self._claims:
            self._orphans.pop(user, None)
            return
        known = self._orphans.get(user)
        self._orphans[user] = Orphan(self._holdings[user][home], known.since if known is not None else now)


def census(holdings: Iterable[Holding], claims: Mapping[str, str], now: datetime) -> Census:
    """Take a whole census at once."""
    taken = Census()
    for holding in holdings:
        taken.hold(holding, now)
    for mailbox, user in claims.items():
        taken.claim(mailbox, user, now)
    return taken
