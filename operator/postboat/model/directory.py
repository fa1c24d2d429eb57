"""The directory of mailboxes, kept so that one change costs one decision.

Claims are indexed by user name and by Secret; only names that a change touched are decided again, then those whose
relations lead there, and only their shards become new objects.
"""

from collections import Counter
from collections.abc import Hashable, Iterable, Mapping
from dataclasses import replace

from postboat.api.mailbox import MailboxSpec
from postboat.api.resource import Resource
from postboat.model import names
from postboat.model.accounts import Frame, Outcome, claim, settle
from postboat.model.incremental import Ledger
from postboat.model.platform import Account, Group, Mailbox, PublicMailbox, Shard
from postboat.model.references import secret_names
from postboat.model.relations import Node, Reading, Relations, groups_of, members_of, owners_of
from postboat.model.snapshot import SecretContent
from postboat.model.verdict import Key, Verdict


class Directory:
    """All Mailboxes of the namespace as one server sees them."""

    def __init__(self, frame: Frame, mailboxes: Iterable[Resource], secrets: Mapping[str, SecretContent]) -> None:
        self._frame = frame
        self._secrets = secrets
        self._resources: dict[str, Resource] = {}
        self._users: dict[str, str] = {}
        self._claims: dict[str, dict[str, Resource]] = {}
        self._of_secret: dict[str, set[str]] = {}
        self._outcomes: dict[str, Outcome] = {}
        self._relations = Relations()
        self._ledger: Ledger[str] = Ledger()
        self._mailboxes: tuple[dict[str, Mailbox], ...] = tuple({} for _ in range(names.SHARDS))
        self._placed: Counter[int] = Counter()
        self._dirty: set[str] = set()
        self._told: dict[Key, Verdict | None] = {}
        self.shards: tuple[Shard, ...] = (Shard(),) * names.SHARDS
        self.count = 0
        for resource in mailboxes:
            self.put(resource)

    @property
    def highest_store(self) -> int:
        """The highest number of a store that holds a mailbox; -1 when there is none."""
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

    def reframe(self, frame: Frame) -> None:
        """Look again at everything, if what accounts have in common is different now."""
        if frame == self._frame:
            return
        self._frame = frame
        for resource in tuple(self._resources.values()):
            self.put(resource)

    def settled(self) -> dict[Key, Verdict | None]:
        """Decide about all touched names; give the verdicts they lead to, and None for objects that are gone."""
        facts: set[Hashable] = set()
        for user in self._dirty:
            facts |= self._settle(user)
        related = self._dirty | self._ledger.readers(facts)
        changed = {names.shard(user) for user in related if self._relate(user)}
        if changed:
            self.shards = tuple(
                _shard(mailboxes) if number in changed else self.shards[number]
                for number, mailboxes in enumerate(self._mailboxes)
            )
        told, self._told = self._told, {}
        self._dirty = set()
        return told

    def _settle(self, user: str) -> set[Hashable]:
        outcome = settle(user, self._claims.get(user, {}).values(), self._secrets, self._frame)
        self._told.update(outcome.verdicts)
        if outcome.mailbox is None:
            self._outcomes.pop(user, None)
        else:
            self._outcomes[user] = outcome
        return self._relations.put(user, outcome.node)

    def _relate(self, user: str) -> bool:
        """Complete a mailbox by what others make of it; tell whether it is different now."""
        reading = Reading(self._relations)
        outcome = self._outcomes.get(user)
        mailbox, fault = None, None
        if outcome is not None and outcome.mailbox is not None and outcome.node is not None:
            mailbox, fault = _related(outcome.mailbox, outcome.node, reading)
            key, verdict = outcome.verdicts[0]
            self._told[key] = fault if fault is not None and verdict.accepted else verdict
        self._ledger.note(user, reading.facts)
        mailboxes = self._mailboxes[names.shard(user)]
        before = mailboxes.pop(user, None)
        if mailbox is not None:
            mailboxes[user] = mailbox
        if before == mailbox:
            return False
        self._count(before, -1)
        self._count(mailbox, 1)
        return True

    def _count(self, mailbox: Mailbox | None, step: int) -> None:
        if mailbox is None:
            return
        self.count += step
        if isinstance(mailbox, Group):
            return
        self._placed[mailbox.shard] += step
        if not self._placed[mailbox.shard]:
            del self._placed[mailbox.shard]


def _related(mailbox: Mailbox, node: Node, reading: Reading) -> tuple[Mailbox, Verdict | None]:
    match mailbox:
        case Account():
            return replace(mailbox, groups=groups_of(node, reading)), None
        case Group():
            members, fault = members_of(node, reading)
            return replace(mailbox, members=members), fault
        case PublicMailbox():
            owners, fault = owners_of(node, reading)
            return replace(mailbox, owners=owners), fault


def _shard(mailboxes: Mapping[str, Mailbox]) -> Shard:
    ordered = [mailboxes[user] for user in sorted(mailboxes)]
    return Shard(
        accounts=tuple(mailbox for mailbox in ordered if isinstance(mailbox, Account)),
        groups=tuple(mailbox for mailbox in ordered if isinstance(mailbox, Group)),
        publics=tuple(mailbox for mailbox in ordered if isinstance(mailbox, PublicMailbox)),
    )
