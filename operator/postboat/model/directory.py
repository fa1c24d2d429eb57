"""The directory: all mailboxes and addresses, kept so that one change costs few decisions.

Names that a change touched are decided again, then those whose decision has read what is different now, and only their
shards become new objects.
"""

from collections import Counter
from collections.abc import Callable, Hashable, Iterable, Mapping
from dataclasses import dataclass, replace

from postboat.api.resource import Resource
from postboat.model import names
from postboat.model.accounts import Frame
from postboat.model.addresses import AddressBook
from postboat.model.belonging import moved
from postboat.model.decisions import MailboxDecision, NameDecision, decide_bound, decide_domain, decide_name
from postboat.model.dependencies import Facts, Policy, Reading
from postboat.model.incremental import Ledger
from postboat.model.mailbox_graph import Node
from postboat.model.mailboxes import MailboxBook
from postboat.model.membership import creates, creators_fault, groups_of, members_of, owners_of
from postboat.model.platform import Account, Domain, Group, Mailbox, Place, Protocol, PublicMailbox, Route, Shard
from postboat.model.retention.placement import MailLocations
from postboat.model.routes import POSTMASTER
from postboat.model.snapshot import Gone, SecretContent
from postboat.model.verdict import Key, Verdict


@dataclass(frozen=True, slots=True)
class Ways:
    """Where mail goes by one name, and where its mailbox is."""

    routes: tuple[Route, ...] = ()
    place: Place | None = None


class Directory:
    """All Mailboxes and MailAddresses of the namespace as one server sees them, and where mail to domains goes."""

    def __init__(
        self,
        frame: Frame,
        mailboxes: Iterable[Resource],
        secrets: Mapping[str, SecretContent],
        locations: MailLocations,
        beat: Callable[[], None] = lambda: None,
    ) -> None:
        self._frame = frame
        self._beat = beat
        self._mailboxes = MailboxBook(frame, secrets, locations)
        self._addresses = AddressBook()
        self._facts = Facts(self._mailboxes.relations, self._addresses, {}, Policy(), self._mailboxes.claimed)
        self._different: set[Hashable] = {("policy", POSTMASTER)}
        self._ledger: Ledger[str] = Ledger()
        self._held: tuple[dict[str, Mailbox | None], ...] = tuple({} for _ in range(names.SHARDS))
        """The mailboxes of each shard by user; None for a claim to a name in one domain that is not in force."""
        self._ways: tuple[dict[str, Ways], ...] = tuple({} for _ in range(names.SHARDS))
        self._placed: Counter[int] = Counter()
        self._told: dict[Key, Verdict | None] = {}
        self._judged: dict[str, tuple[Domain, Verdict]] = {}
        self._touched_domains: set[str] = set()
        self._complete: dict[str, Domain] = {}
        self.shards: tuple[Shard, ...] = (Shard(),) * names.SHARDS
        self.domains: tuple[Domain, ...] = ()
        self.postmaster: Verdict | None = None
        """What is wrong with the postmaster that the MailServer names."""
        self.creators: Verdict | None = None
        """What is wrong with those who may make public mailboxes."""
        self._creators_seen: set[Hashable] = {("policy", "creators")}
        self.count = 0
        for resource in mailboxes:
            self.take(resource)

    @property
    def highest_store(self) -> int:
        """The highest number of a store that has to stay for what it holds; -1 when there is none."""
        return max(self.highest_placed, self._mailboxes.highest_store)

    @property
    def highest_placed(self) -> int:
        """The highest number of a store on which a mailbox in force lives; -1 when there is none."""
        return max(self._placed, default=-1)

    def take(self, change: Resource | Gone) -> None:
        """Take a Mailbox or a MailAddress as it is now."""
        key = (change.kind, change.name)
        match change:
            case Gone(kind="Mailbox"):
                self._mailboxes.remove(change.name)
            case Gone():
                self._addresses.remove(change.name)
                self._told[key] = None
            case Resource(kind="Mailbox"):
                self._mailboxes.put(change)
            case Resource():
                self._told[key] = self._addresses.put(change, self._frame.server, self._frame.servers)

    def secret_changed(self, name: str) -> None:
        """Look again at all accounts whose password stands in this Secret."""
        self._mailboxes.secret_changed(name)

    def set_home(self, user: str, store: int | None) -> None:
        """Learn which store holds mail of a user."""
        self._mailboxes.set_home(user, store)

    def set_highest_store(self, store: int) -> None:
        """Learn which is the highest store that has something to keep."""
        self._mailboxes.set_highest_store(store)

    def inventory_complete(self) -> None:
        """Learn that all stores have told: who waited for that is placed now."""
        self._mailboxes.inventory_complete()

    def reframe(self, frame: Frame, policy: Policy) -> None:
        """Look again at everything that depends on what all have in common, if that is different now."""
        if frame.servers != self._frame.servers:
            old_servers = self._frame.servers
            self._frame = frame
            for resource in tuple(moved(self._addresses.resources(), old_servers, frame.servers)):
                self.take(resource)
        self._frame = frame
        self._mailboxes.reframe(frame)
        old, self._facts.policy = self._facts.policy, policy
        if old.group_addresses != policy.group_addresses:
            self._different.add(("policy", "groups"))
        if old.postmaster != policy.postmaster:
            self._different.add(("policy", POSTMASTER))
        if old.hostname != policy.hostname:
            self._different.add(("policy", "hostname"))
        if old.public_creators != policy.public_creators:
            named = set(old.public_creators) ^ set(policy.public_creators)
            self._different |= {("policy", "creators"), *(("groups", name) for name in named)}

    def put_domains(self, domains: Iterable[tuple[Domain, Verdict]]) -> None:
        """Take all domains that count as they are now, with what is to be said about each by itself."""
        self._judged = {domain.name: (domain, verdict) for domain, verdict in domains}
        old, new = self._facts.domains, {name: domain for name, (domain, _) in self._judged.items()}
        self._facts.domains = new
        self._mailboxes.put_domains(new)
        changed = {name for name in {*old, *new} if old.get(name) != new.get(name)}
        self._different |= {("domain", name) for name in changed}
        if any(name not in old or name not in new or old[name].relay != new[name].relay for name in changed):
            self._different.add(("domains",))
        self._touched_domains = {*old, *new}

    def settled(self) -> dict[Key, Verdict | None]:
        """Decide about all that is touched; give the verdicts that follow, and None for objects that are gone."""
        told, self._told = self._told, {}
        facts, self._different = self._different, set()
        touched, different = self._mailboxes.settled(told, self._beat)
        touched_addresses, different_addresses = self._addresses.settled()
        facts |= different | different_addresses
        self._facts.kept.clear()
        related = touched | {self._unit(*claim) for claim in touched_addresses} | self._ledger.readers(facts)
        if ("policy", POSTMASTER) in facts:
            related.add(POSTMASTER)
        domains = {name[1:] for name in related if name.startswith("@")} | self._touched_domains
        changed = set().union(*(self._decide(name, told) for name in related if not name.startswith("@")))
        if changed:
            self.shards = tuple(
                _shard(self._held[number], self._ways[number]) if number in changed else shard
                for number, shard in enumerate(self.shards)
            )
        for name in domains:
            self._decide_domain(name, told)
        if domains:
            self._touched_domains = set()
            self.domains = tuple(self._complete[name] for name in sorted(self._complete))
        if not facts.isdisjoint(self._creators_seen):
            reading = Reading(self._facts)
            self.creators, self._creators_seen = creators_fault(reading), reading.seen
        return told

    def _decide_domain(self, name: str, told: dict[Key, Verdict | None]) -> None:
        reading = Reading(self._facts)
        self._complete.pop(name, None)
        if name in self._judged:
            domain, own = self._judged[name]
            self._complete[name], fault = decide_domain(domain, reading)
            told["MailDomain", domain.resource] = fault if fault is not None and own.accepted else own
        self._ledger.note(f"@{name}", reading.seen)

    def _unit(self, local: str, domain: str) -> str:
        """Tell with which name an address is decided about."""
        user = names.bound(local, domain)
        return user if domain and self._mailboxes.claimed(user) else local

    def _decide(self, name: str, told: dict[Key, Verdict | None]) -> set[int]:
        """Decide about everything of one name; give the shards that are different now.

        Rows of a mailbox are in the shard of its user, so that a name that is in many domains fills many shards. All
        that Postfix knows of a local part is in one, so that an address goes from one mailbox to another at one moment.
        """
        self._beat()
        reading = Reading(self._facts)
        bound = bool(names.domain_of(name))
        claimed = bound and self._mailboxes.claimed(name)
        if not bound:
            decision = decide_name(name, self._addresses, self._mailboxes.in_one_domain(name), reading)
        else:
            decision = decide_bound(name, self._addresses, reading) if claimed else NameDecision()
        told.update(decision.verdicts)
        if name == POSTMASTER:
            self.postmaster = decision.postmaster
        mailbox = None if decision.mailbox is None else self._mailbox(name, decision.mailbox, reading, told)
        there = mailbox is not None or claimed
        known = there or decision.routes or decision.verdicts or name == POSTMASTER
        reading.seen.discard(("node", name))  # a name whose mailbox is different is touched itself
        self._ledger.note(name, reading.seen if known else ())
        changed = self._hold(name, mailbox, there=there)
        number = names.shard(names.local_of(name))
        entries, ways = self._ways[number], Ways(decision.routes, _place(mailbox))
        if entries.pop(name, Ways()) != ways:
            changed.add(number)
        if ways != Ways():
            entries[name] = ways
        return changed

    def _hold(self, user: str, mailbox: Mailbox | None, *, there: bool) -> set[int]:
        """Put a mailbox in its place, or nothing in the place of one that is withheld; give the shard if it differs."""
        held = self._held[names.shard(user)]
        before = user in held
        old = held.pop(user, None)
        if there:
            held[user] = mailbox
        if (before, old) == (there, mailbox):
            return set()
        self._count(old, -1)
        self._count(mailbox, 1)
        return {names.shard(user)}

    def _mailbox(self, user: str, said: MailboxDecision, reading: Reading, told: dict[Key, Verdict | None]) -> Mailbox:
        """Complete a mailbox by those who have to do with it, and tell what its Mailbox is to say."""
        outcome = self._mailboxes.outcome(user)
        assert outcome is not None and outcome.mailbox is not None and outcome.node is not None  # noqa: S101, PT018
        mailbox, fault = _related(outcome.mailbox, outcome.node, reading)
        key, own = outcome.verdicts[0]
        fault = fault or said.fault
        if own.accepted and said.addresses:
            own = replace(own, message=f"{own.message} {said.addresses}")
        told[key] = fault if fault is not None and own.accepted else own
        return mailbox

    def _count(self, mailbox: Mailbox | None, step: int) -> None:
        if mailbox is None:
            return
        self.count += step
        if isinstance(mailbox, Group):
            return
        self._placed[mailbox.store] += step
        if not self._placed[mailbox.store]:
            del self._placed[mailbox.store]


def _related(mailbox: Mailbox, node: Node, reading: Reading) -> tuple[Mailbox, Verdict | None]:
    match mailbox:
        case Account():
            groups = groups_of(node, reading)
            creator = creates(node, groups, reading)
            related = (groups, creator) != (mailbox.groups, mailbox.creator)
            return replace(mailbox, groups=groups, creator=creator) if related else mailbox, None
        case Group():
            members, fault = members_of(node, reading)
            return replace(mailbox, members=members), fault
        case PublicMailbox():
            owners, fault = owners_of(node, reading)
            return replace(mailbox, owners=owners), fault


def _place(mailbox: Mailbox | None) -> Place | None:
    match mailbox:
        case Account():
            sends = bool(mailbox.password) and Protocol.SMTP in mailbox.access
            return Place(mailbox.user, mailbox.store, sends)
        case PublicMailbox():
            return Place(mailbox.user, mailbox.store)
        case _:
            return None


def _shard(held: Mapping[str, Mailbox | None], ways: Mapping[str, Ways]) -> Shard:
    ordered = [ways[name] for name in sorted(ways)]
    mailboxes = [(user, held[user]) for user in sorted(held)]
    return Shard(
        accounts=tuple(mailbox for _, mailbox in mailboxes if isinstance(mailbox, Account)),
        groups=tuple(mailbox for _, mailbox in mailboxes if isinstance(mailbox, Group)),
        publics=tuple(mailbox for _, mailbox in mailboxes if isinstance(mailbox, PublicMailbox)),
        routes=tuple(route for way in ordered for route in way.routes),
        places=tuple(way.place for way in ordered if way.place is not None),
        withheld=tuple(
            user
            for user, mailbox in mailboxes
            if names.domain_of(user) and not isinstance(mailbox, Account | PublicMailbox)
        ),
    )
