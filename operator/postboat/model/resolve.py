"""From a snapshot to the platform that it describes, at once or change by change.

`resolve` decides about everything. A `Resolver` keeps its decisions and returns the same result for less work: a
changed Mailbox costs one user name, a changed domain costs the domains, and only the MailServer itself costs
everything.
"""

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime

from postboat.api.resource import Resource
from postboat.model.accounts import Frame
from postboat.model.belonging import belonging, moved
from postboat.model.defaults import policy
from postboat.model.directory import Directory
from postboat.model.kinds import RULES, SETTLED_TOGETHER, secret_names
from postboat.model.kinds.rules import Around, KindRules, Settled
from postboat.model.platform import Platform, Wanted
from postboat.model.retention.placement import MailLocations
from postboat.model.server_config import Site, settle_site
from postboat.model.snapshot import (
    Change,
    Gone,
    HighestStore,
    Home,
    InventoryComplete,
    SecretContent,
    Servers,
    Snapshot,
)
from postboat.model.verdict import Key, Verdict, Verdicts


class _Group:
    """The objects of one kind that are decided about together, and the Secrets that they reference."""

    def __init__(self, rules: KindRules, resources: Iterable[Resource]) -> None:
        self.rules = rules
        self.settled = Settled()
        self._resources = {resource.name: resource for resource in resources}
        self._secrets = Counter(name for one in self._resources.values() for name in rules.secrets(one))
        """How many objects name each Secret."""

    def put(self, change: Resource | Gone) -> None:
        """Insert, replace or remove an object."""
        old = self._resources.pop(change.name, None)
        self._secrets.subtract(self.rules.secrets(old) if old is not None else ())
        if isinstance(change, Resource):
            self._resources[change.name] = change
            self._secrets.update(self.rules.secrets(change))

    def reads(self, secret: str, server: str) -> bool:
        """Return whether the decision about the objects may read a Secret."""
        return self._secrets[secret] > 0 or secret in self.rules.platform_secrets(server)

    def moved(self, old: tuple[str, ...], new: tuple[str, ...]) -> bool:
        """Return whether one of them belongs to another MailServer after MailServers were created or deleted."""
        return any(moved(self._resources.values(), old, new))

    def settle(self, around: Around) -> dict[Key, Verdict | None]:
        """Decide about all of them.

        Returns:
            A verdict for each object; None for one that belongs to another MailServer.
        """
        told: dict[Key, Verdict | None] = {}
        mine: list[Resource] = []
        for resource in self._resources.values():
            owner = belonging(resource, around.servers)
            told[resource.kind, resource.name] = owner if isinstance(owner, Verdict) else None
            if owner == around.server:
                mine.append(resource)
        self.settled = self.rules.settled(mine, around)
        told.update(self.settled.verdicts)
        return told


@dataclass(frozen=True, slots=True)
class Counts:
    """Numbers of objects, for the status of the MailServer."""

    domains: int = 0
    """Domains in force."""
    mailboxes: int = 0
    """Mailboxes in force."""
    addresses: int = 0
    """MailAddresses in force."""
    refused: int = 0
    """Objects that are not accepted, of any kind."""


@dataclass(frozen=True, slots=True)
class Resolution:
    """The decision about all objects of a MailServer."""

    server: Resource
    platform: Platform | None
    """None while there is none; the verdict about the MailServer and `wanted` say why."""
    site: Site
    verdicts: Verdicts
    wanted: tuple[Wanted, ...]
    """Secrets that the controller has to make."""
    counts: Counts
    touched: frozenset[Key]
    """The objects whose verdict or facts may differ from the resolution before."""
    sought: frozenset[str] = frozenset()
    """Names of Secrets to read once before this is applied, since a key in force may be in them."""


def resolve(snapshot: Snapshot) -> Resolution:
    """Decide about everything at once."""
    return Resolver(snapshot).resolution


class Resolver:
    """Decides change by change.

    Args:
        snapshot: The state to begin with; all of it is decided about.
        beat: Called now and then as a heartbeat, since a hundred thousand decisions take close to a minute.
    """

    def __init__(self, snapshot: Snapshot, beat: Callable[[], None] = lambda: None) -> None:
        self._server = snapshot.server
        self._servers = snapshot.servers
        self._environment = snapshot.environment
        self._now = snapshot.now
        self._secrets = dict(snapshot.secrets)
        self._groups = {kind: _Group(RULES[kind], snapshot.of_kind(kind)) for kind in SETTLED_TOGETHER}
        self._refused = 0
        self._addresses = 0
        self._told: dict[Key, Verdict | None] = {}
        self._site = self._settle_site()
        locations = MailLocations(
            dict(snapshot.homes), snapshot.inventory_complete, snapshot.existing_stores, snapshot.highest_store
        )
        self._directory = Directory(self._frame(), snapshot.of_kind("Mailbox"), self._secrets, locations, beat)
        self._directory.reframe(self._frame(), policy(self._server.spec))
        for kind in self._groups:
            self._settle_group(kind)
        for resource in snapshot.of_kind("MailAddress"):
            self._directory.take(resource)
        self._verdicts = Verdicts()
        self.resolution = self._resolution()

    def apply(self, changes: Iterable[Change], now: datetime | None = None, *, dates: bool = False) -> Resolution:
        """Apply changes and return the new resolution.

        Args:
            changes: In any order.
            now: In UTC; None keeps the time of the call before.
            dates: Whether to check certificates again, whose validity depends on the time.
        """
        self._now = now or self._now
        first = sorted(changes, key=lambda change: not isinstance(change, Servers))  # all others are judged by it
        kinds = {kind for change in first for kind in self._take(change)}
        if dates or self._server.kind in kinds:
            self._site = self._settle_site()
            self._directory.reframe(self._frame(), policy(self._server.spec))
        for kind in self._groups:
            if kind in kinds:
                self._settle_group(kind)
        self.resolution = self._resolution()
        return self.resolution

    def _take(self, change: Change) -> Iterable[str]:
        """Apply one change; return the kinds to decide about as a whole."""
        match change:
            case SecretContent():
                return self._take_secret(change)
            case Home() | HighestStore() | InventoryComplete():
                self._take_inventory(change)
            case Servers():
                return self._serve(change.names)
            case Resource(kind="MailServer"):
                if change.name == self._server.name:
                    self._server = change
                    return (change.kind,)
            case Gone(kind="MailServer"):  # what follows from it comes as `Servers`
                self._told[change.kind, change.name] = None
            case Resource(kind="Mailbox" | "MailAddress") | Gone(kind="Mailbox" | "MailAddress"):
                self._directory.take(change)
            case Resource() | Gone():
                self._groups[change.kind].put(change)
                if isinstance(change, Gone):
                    self._told[change.kind, change.name] = None
                return (change.kind,)
        return ()

    def _serve(self, servers: tuple[str, ...]) -> list[str]:
        """Handle created or deleted MailServers; return the kinds to decide about as a whole."""
        old, self._servers = self._servers, servers
        self._directory.reframe(self._frame(), policy(self._server.spec))
        return [kind for kind, group in self._groups.items() if group.moved(old, servers)]

    def _take_inventory(self, change: Home | HighestStore | InventoryComplete) -> None:
        match change:
            case Home():
                self._directory.set_home(change.user, change.store)
            case HighestStore():
                self._directory.set_highest_store(change.store)
            case InventoryComplete():
                self._directory.inventory_complete()

    def _take_secret(self, secret: SecretContent) -> list[str]:
        self._secrets[secret.name] = secret
        self._directory.secret_changed(secret.name)
        kinds = [kind for kind, group in self._groups.items() if group.reads(secret.name, self._server.name)]
        return [self._server.kind, *kinds] if secret.name in secret_names(self._server) else kinds

    def _settle_site(self) -> Site:
        return settle_site(self._server, self._environment, self._secrets, self._now)

    def _server_verdict(self) -> Verdict:
        fault, own = self._directory.postmaster or self._directory.creators, self._site.verdict
        return fault if fault is not None and own.accepted else own

    def _frame(self) -> Frame:
        site = self._site
        return Frame(self._server.name, self._servers, site.stores, site.hash_key, site.quota, site.junk)

    def _settle_group(self, kind: str) -> None:
        group = self._groups[kind]
        told = group.settle(Around(self._server.name, self._servers, self._secrets))
        self._told.update(told)
        if kind == "MailDomain":  # the directory completes them by where their mail goes
            verdicts = dict(group.settled.verdicts)
            domains = group.settled.parts
            self._directory.put_domains((domain, verdicts[kind, domain.resource]) for domain in domains)

    def _resolution(self) -> Resolution:
        self._told.update(self._directory.settled())
        self._told["MailServer", self._server.name] = self._server_verdict()
        parts = {group.rules.part: group.settled.parts for group in self._groups.values() if group.rules.part}
        told, self._told = self._told, {}
        before = self._verdicts
        for key, verdict in told.items():
            self._refused += _refused(verdict) - _refused(before.get(key))
            self._addresses += _address(key, verdict) - _address(key, before.get(key))
        self._verdicts = before.succeeded((key, verdict) for key, verdict in told.items() if verdict != before.get(key))
        settled, directory = {kind: group.settled for kind, group in self._groups.items()}, self._directory
        return Resolution(
            server=self._server,
            platform=self._site.platform(
                parts | {"domains": directory.domains},
                directory.shards,
                directory.highest_store,
                directory.highest_placed,
            ),
            site=self._site,
            verdicts=self._verdicts,
            wanted=(*self._site.wanted, *(wanted for one in settled.values() for wanted in one.wanted)),
            counts=Counts(len(settled["MailDomain"].parts), self._directory.count, self._addresses, self._refused),
            touched=frozenset(told),
            sought=frozenset().union(*(one.sought for one in settled.values())),
        )


def _refused(verdict: Verdict | None) -> int:
    return int(verdict is not None and not verdict.accepted)


def _address(key: Key, verdict: Verdict | None) -> int:
    return int(key[0] == "MailAddress" and verdict is not None and verdict.effective)
