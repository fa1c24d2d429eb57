"""The directory of accounts, kept so that one change costs one decision.

Claims are indexed by user name and by Secret; only names that a change touched are decided again, and only their shards
become new objects.
"""

from collections import Counter
from collections.abc import Iterable, Mapping

from postboat.api.mailbox import MailboxSpec
from postboat.api.resource import Resource
from postboat.model import names
from postboat.model.accounts import Frame, Whereabouts, claim, settle
from postboat.model.platform import UNPLACED, Account, Shard
from postboat.model.references import secret_names
from postboat.model.snapshot import SecretContent
from postboat.model.verdict import Key, Verdict


class Directory:
    """All Mailboxes of the namespace as one server sees them."""

    def __init__(
        self,
        frame: Frame,
        mailboxes: Iterable[Resource],
        secrets: Mapping[str, SecretContent],
        whereabouts: Whereabouts,
    ) -> None:
        self._frame = frame
        self._whereabouts = whereabouts
        self._unplaced: set[str] = set()
        self._secrets = secrets
        self._resources: dict[str, Resource] = {}
        self._users: dict[str, str] = {}
        self._claims: dict[str, dict[str, Resource]] = {}
        self._of_secret: dict[str, set[str]] = {}
        self._accounts: tuple[dict[str, Account], ...] = tuple({} for _ in range(names.SHARDS))
        self._placed: Counter[int] = Counter()
        self._dirty: set[str] = set()
        self._told: dict[Key, Verdict | None] = {}
        self.shards: tuple[Shard, ...] = ((),) * names.SHARDS
        self.count = 0
        for resource in mailboxes:
            self.put(resource)

    @property
    def highest_store(self) -> int:
        """The highest number of a store that holds an account; -1 when there is none."""
        return max(self._placed, default=-1)

    def put(self, resource: Resource) -> None:
        """Take a Mailbox as it is now."""
        self.remove(resource.name)
        self._resources[resource.name] = resource
        claimed = claim(resource, self._frame)
        if isinstance(claimed, Verdict):
            self._told["Mailbox", resource.name] = claimed
        elif claimed is not None:
            self._users[resource.name] = claimed
            self._claims.setdefault(claimed, {})[resource.name] = resource
            self._dirty.add(claimed)
            if isinstance(resource.spec, MailboxSpec):
                for secret in secret_names(resource):
                    self._of_secret.setdefault(secret, set()).add(claimed)

    def remove(self, name: str) -> None:
        """Forget a Mailbox."""
        old = self._resources.pop(name, None)
        if old is None:
            return
        self._told["Mailbox", name] = None
        user = self._users.pop(name, None)
        if user is None:
            return
        self._dirty.add(user)
        claims = self._claims[user]
        del claims[name]
        if not claims:
            del self._claims[user]
        held = {secret for resource in claims.values() for secret in secret_names(resource)}
        for secret in secret_names(old) - held:
            self._of_secret[secret].discard(user)

    def secret_changed(self, name: str) -> None:
        """Look again at all accounts whose password stands in this Secret."""
        self._dirty |= self._of_secret.get(name, set())

    def located(self, user: str, store: int | None) -> None:
        """Learn which store holds mail of a user."""
        if store is None:
            self._whereabouts.homes.pop(user, None)
        else:
            self._whereabouts.homes[user] = store
        account = self._accounts[names.shard(user)].get(user)
        if user in self._claims and (account is None or account.shard != store):
            self._dirty.add(user)

    def surveyed(self) -> None:
        """Learn that all stores have told: who waited for that is placed now."""
        self._whereabouts.surveyed = True
        self._dirty |= self._unplaced

    def reframe(self, frame: Frame) -> None:
        """Look again at everything, if what accounts have in common is different now."""
        if frame == self._frame:
            return
        self._frame = frame
        for resource in tuple(self._resources.values()):
            self.put(resource)

    def settled(self) -> dict[Key, Verdict | None]:
        """Decide about all touched names; give the verdicts they lead to, and None for objects that are gone."""
        changed = {names.shard(user) for user in self._dirty if self._settle(user)}
        if changed:
            self.shards = tuple(
                tuple(accounts[user] for user in sorted(accounts)) if number in changed else self.shards[number]
                for number, accounts in enumerate(self._accounts)
            )
        told, self._told = self._told, {}
        self._dirty = set()
        return told

    def _settle(self, user: str) -> bool:
        outcome = settle(user, self._claims.get(user, {}).values(), self._secrets, self._frame, self._whereabouts)
        self._told.update(outcome.verdicts)
        accounts = self._accounts[names.shard(user)]
        before = accounts.pop(user, None)
        self._unplaced.discard(user)
        if outcome.account is not None:
            accounts[user] = outcome.account
            if outcome.account.shard == UNPLACED:
                self._unplaced.add(user)
        if before == outcome.account:
            return False
        self._count(before, -1)
        self._count(outcome.account, 1)
        return True

    def _count(self, account: Account | None, step: int) -> None:
        if account is None:
            return
        self.count += step
        self._placed[account.shard] += step
        if not self._placed[account.shard]:
            del self._placed[account.shard]
