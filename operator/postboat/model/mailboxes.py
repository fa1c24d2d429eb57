"""Mailboxes: which of them count, by user name.

Claims are indexed by user name, by domain and by Secret, so that one change costs one decision.
"""

from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping
from dataclasses import replace

from postboat.api.mailbox import MailboxSpec
from postboat.api.resource import Resource
from postboat.model import names
from postboat.model.accounts import Frame, Outcome, claimed_user, settle
from postboat.model.belonging import moved
from postboat.model.domains import absence
from postboat.model.kinds import secret_names
from postboat.model.mailbox_graph import Relations
from postboat.model.platform import UNPLACED, Account, Domain
from postboat.model.references import own
from postboat.model.retention.placement import MailLocations, store_in_status
from postboat.model.snapshot import SecretContent
from postboat.model.verdict import Key, Verdict


class MailboxBook:
    """All Mailboxes of the namespace as one server sees them."""

    def __init__(self, frame: Frame, secrets: Mapping[str, SecretContent], locations: MailLocations) -> None:
        self._frame = frame
        self._secrets = secrets
        self._locations = locations
        self._unplaced: set[str] = set()
        self._resources: dict[str, Resource] = {}
        self._users: dict[str, str] = {}
        self._claims: dict[str, tuple[Resource, ...]] = {}
        self._domains: Mapping[str, Domain] = {}
        self._in_domain: dict[str, set[str]] = {}
        """Users that are in one domain only, by that domain."""
        self._by_local_part: dict[str, set[str]] = {}
        """The same users by local part."""
        self._of_secret: dict[str, set[str]] = {}
        self._leaving: dict[str, int] = {}
        self._outcomes: dict[str, Outcome] = {}
        self._dirty: set[str] = set()
        self._known: set[str] = set()
        """The users of one domain that were claimed when this was last asked."""
        self._told: dict[Key, Verdict | None] = {}
        self.relations = Relations()

    def put(self, resource: Resource) -> None:
        """Take a Mailbox as it is now."""
        if self._placed_as_decided(resource):
            user = self._users[resource.name]
            self._resources[resource.name] = resource
            self._claims[user] = tuple(resource if one.name == resource.name else one for one in self._claims[user])
            return
        self.remove(resource.name)
        self._resources[resource.name] = resource
        claimed, store = claimed_user(resource, self._frame), store_in_status(resource)
        if claimed is not None and resource.deleting and store is not None:
            self._leaving[resource.name] = store
        if isinstance(claimed, Verdict):
            self._told["Mailbox", resource.name] = claimed
        elif claimed is not None:
            self._users[resource.name] = claimed
            self._claim(claimed, resource)
            self._dirty.add(claimed)
            if isinstance(resource.spec, MailboxSpec):
                for secret in secret_names(resource):
                    self._of_secret.setdefault(secret, set()).add(claimed)

    def _placed_as_decided(self, new: Resource) -> bool:
        """Tell whether only the status is different, and says what was decided: that needs no second decision."""
        old, outcome = self._resources.get(new.name), self._outcomes.get(self._users.get(new.name, ""))
        mailbox = outcome.mailbox if outcome is not None else None
        return (
            old is not None
            and old is not new  # the same one comes again when other servers are there
            and isinstance(mailbox, Account)
            and mailbox.resource == new.name
            and mailbox.store == store_in_status(new)
            and replace(old, status=new.status) == new
        )

    def remove(self, name: str) -> None:
        """Forget a Mailbox."""
        old = self._resources.pop(name, None)
        if old is None:
            return
        self._told["Mailbox", name] = None
        self._leaving.pop(name, None)
        user = self._users.pop(name, None)
        if user is None:
            return
        self._dirty.add(user)
        claims = tuple(resource for resource in self._claims[user] if resource.name != name)
        if claims:
            self._claims[user] = claims
        else:
            self._unclaim(user)
        held = {secret for resource in claims for secret in secret_names(resource)}
        for secret in secret_names(old) - held:
            self._of_secret[secret].discard(user)

    def _claim(self, user: str, resource: Resource) -> None:
        if user not in self._claims and (domain := names.domain_of(user)):
            self._in_domain.setdefault(domain, set()).add(user)
            self._by_local_part.setdefault(names.local_of(user), set()).add(user)
        self._claims[user] = (*self._claims.get(user, ()), resource)

    def _unclaim(self, user: str) -> None:
        del self._claims[user]
        for index, key in ((self._in_domain, names.domain_of(user)), (self._by_local_part, names.local_of(user))):
            if user in index.get(key, ()):
                index[key].discard(user)
                if not index[key]:
                    del index[key]

    def put_domains(self, domains: Mapping[str, Domain]) -> None:
        """Take all domains as they are now; look again at who is in one that has become ours, or is it no more."""
        old, self._domains = self._domains, domains
        for name in {*old, *domains}:
            if absence(name, old) != absence(name, domains):
                self._dirty |= self._in_domain.get(name, set())

    def in_one_domain(self, local: str) -> Iterable[str]:
        """Name the users of a local part that are in one domain, as far as a Mailbox claims them."""
        return self._by_local_part.get(local, ())

    def claimed(self, user: str) -> bool:
        """Tell whether a Mailbox claims a user name, be it in force or not."""
        return user in self._claims

    def secret_changed(self, name: str) -> None:
        """Look again at all accounts whose password stands in this Secret."""
        self._dirty |= self._of_secret.get(name, set())

    def set_home(self, user: str, store: int | None) -> None:
        """Take in which store holds mail of a user."""
        if store is None:
            self._locations.homes.pop(user, None)
        else:
            self._locations.homes[user] = store
        if user in self._claims:
            self._dirty.add(user)

    def inventory_complete(self) -> None:
        """Take in that every store has reported its holdings: mailboxes that waited for that are placed now."""
        self._locations.inventory_complete = True
        self._dirty |= self._unplaced

    def set_highest_store(self, store: int) -> None:
        """Take in which is the highest store with mail to keep."""
        self._locations.highest = store

    @property
    def highest_store(self) -> int:
        """The highest store that is needed for mail of anybody, or for a deletion that has not ended; -1: none."""
        return max(self._locations.highest_needed, *self._leaving.values(), -1)

    def reframe(self, frame: Frame) -> None:
        """Look again at everything, if what accounts have in common is different now.

        If only other MailServers are there, at the Mailboxes that belong elsewhere, or whose password was or is in a
        Secret of one of them.
        """
        old, self._frame = self._frame, frame
        if frame == old:
            return
        touched = self._resources.values() if replace(frame, servers=old.servers) != old else self._moved(old.servers)
        for resource in tuple(touched):
            self.put(resource)

    def _moved(self, old: tuple[str, ...]) -> Iterator[Resource]:
        new = self._frame.servers
        yield from moved(self._resources.values(), old, new)
        for name, users in self._of_secret.items():
            if own(name, old) != own(name, new):
                yield from (resource for user in users for resource in self._claims.get(user, ()))

    def outcome(self, user: str) -> Outcome | None:
        """Give the Mailbox that has a user name, as far as it is decided by itself."""
        return self._outcomes.get(user)

    def settled(self, told: dict[Key, Verdict | None], beat: Callable[[], None]) -> tuple[set[str], set[Hashable]]:
        """Decide who has each touched name; give the names to look at, and the facts that are different."""
        dirty, self._dirty = self._dirty, set()
        touched = set(dirty)
        told.update(self._told)
        self._told = {}
        facts: set[Hashable] = set()
        for user in dirty:
            beat()
            claims = self._claims.get(user, ())
            outcome = settle(user, claims, self._secrets, self._frame, (self._locations, self._domains))
            told.update(outcome.verdicts)
            self._unplaced.discard(user)
            if isinstance(outcome.mailbox, Account) and outcome.mailbox.store == UNPLACED:
                self._unplaced.add(user)
            if outcome.mailbox is None:
                self._outcomes.pop(user, None)
            else:
                self._outcomes[user] = outcome
            facts |= self.relations.put(user, outcome.node)
            if names.domain_of(user) and (user in self._known) != (user in self._claims):
                facts.add(("node", user))  # who looks an address up asks whether its name is taken, too
                touched.add(names.local_of(user))
                self._known ^= {user}
        return touched, facts
