"""From a snapshot to the platform it describes, whole or change by change.

`resolve` decides about everything; a `Resolver` keeps what it decided and gives the same answer for less work: one
Mailbox costs one user name, one domain costs the domains, and only the MailServer itself costs everything.
"""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from enum import Enum, auto

from postboat.api.resource import Resource
from postboat.model.accounts import Frame, Whereabouts
from postboat.model.belonging import belonging, moved
from postboat.model.defaults import policy
from postboat.model.directory import Directory
from postboat.model.domains import Domains, resolve_domains
from postboat.model.kinds import fields_verdict, secret_names
from postboat.model.platform import Platform, Wanted
from postboat.model.references import filter_secret
from postboat.model.server_config import Site, settle_site
from postboat.model.snapshot import Change, Gone, Held, Home, SecretContent, Servers, Snapshot, Surveyed
from postboat.model.verdict import Key, Verdict, Verdicts


class _Touch(Enum):
    """What has to be decided again, besides single accounts."""

    NOTHING = auto()
    SITE = auto()
    DOMAINS = auto()
    BOTH = auto()


@dataclass(frozen=True, slots=True)
class Counts:
    """How many objects are in force, and how many are refused."""

    domains: int = 0
    mailboxes: int = 0
    addresses: int = 0
    refused: int = 0


@dataclass(frozen=True, slots=True)
class Resolution:
    """The platform (None while it cannot be: see the verdict of the MailServer and what is wanted), and all verdicts.

    `touched` are the objects whose verdict or facts may differ from the resolution before.
    """

    server: Resource
    platform: Platform | None
    site: Site
    verdicts: Verdicts
    wanted: tuple[Wanted, ...]
    counts: Counts
    touched: frozenset[Key]
    sought: frozenset[str] = frozenset()
    """Secrets to be read once before anything follows from this, since a key in force may be in them."""


def resolve(snapshot: Snapshot) -> Resolution:
    """Decide about everything at once."""
    return Resolver(snapshot).resolution


class Resolver:
    """Decides change by change; of a MailServer that comes or goes it judges what that may concern."""

    def __init__(self, snapshot: Snapshot) -> None:
        self._server = snapshot.server
        self._servers = snapshot.servers
        self._environment = snapshot.environment
        self._now = snapshot.now
        self._secrets = dict(snapshot.secrets)
        self._domains = {resource.name: resource for resource in snapshot.domains}
        self._domain_secrets = Counter(name for domain in snapshot.domains for name in secret_names(domain))
        """How many domains name each Secret."""
        self._others: dict[Key, Resource] = {}
        """Connectors, relay hosts and policies."""
        self._refused = 0
        self._addresses = 0
        self._told: dict[Key, Verdict | None] = {}
        self._site = self._settle_site()
        whereabouts = Whereabouts(dict(snapshot.homes), snapshot.surveyed, snapshot.standing, snapshot.held)
        self._directory = Directory(self._frame(), snapshot.mailboxes, self._secrets, whereabouts)
        self._directory.reframe(self._frame(), policy(self._server.spec))
        self._resolved_domains = self._settle_domains()
        for resource in snapshot.addresses:
            self._directory.take(resource)
        for resource in (*snapshot.connectors, *snapshot.relays, *snapshot.policies):
            self._put_other(resource)
        self._verdicts = Verdicts()
        self.resolution = self._resolution()

    def apply(self, changes: Iterable[Change], now: datetime | None = None, *, dates: bool = False) -> Resolution:
        """Take what has changed, and decide about what that touches; `dates` looks at what ends with time, too."""
        self._now = now or self._now
        first = sorted(changes, key=lambda change: not isinstance(change, Servers))  # all others are judged by it
        touched = {self._take(change) for change in first} | ({_Touch.SITE} if dates else set())
        if _Touch.SITE in touched or _Touch.BOTH in touched:
            self._site = self._settle_site()
            self._directory.reframe(self._frame(), policy(self._server.spec))
        if _Touch.DOMAINS in touched or _Touch.BOTH in touched:
            self._resolved_domains = self._settle_domains()
        self.resolution = self._resolution()
        return self.resolution

    def _take(self, change: Change) -> "_Touch":
        match change:
            case SecretContent():
                return self._take_secret(change)
            case Resource(kind="MailServer"):
                if change.name == self._server.name:
                    self._server = change
                    return _Touch.SITE
            case Resource(kind="MailDomain") | Gone(kind="MailDomain"):
                self._put_domain(change)
                return _Touch.DOMAINS
            case Resource(kind="Mailbox" | "MailAddress") | Gone(kind="Mailbox" | "MailAddress"):
                self._directory.take(change)
            case Home() | Held() | Surveyed():
                self._take_survey(change)
            case Servers():
                return self._serve(change.names)
            case Gone():
                self._others.pop((change.kind, change.name), None)
                self._told[change.kind, change.name] = None
            case Resource():
                self._put_other(change)
        return _Touch.NOTHING

    def _serve(self, servers: tuple[str, ...]) -> "_Touch":
        """Judge anew what belongs to another MailServer now that there are these, or is told something else."""
        old, self._servers = self._servers, servers
        self._directory.reframe(self._frame(), policy(self._server.spec))
        for resource in moved(self._others.values(), old, servers):
            self._put_other(resource)
        return _Touch.DOMAINS if any(moved(self._domains.values(), old, servers)) else _Touch.NOTHING

    def _take_survey(self, change: Home | Held | Surveyed) -> None:
        match change:
            case Home():
                self._directory.located(change.user, change.store)
            case Held():
                self._directory.held(change.store)
            case Surveyed():
                self._directory.surveyed()

    def _take_secret(self, secret: SecretContent) -> "_Touch":
        self._secrets[secret.name] = secret
        self._directory.secret_changed(secret.name)
        site = secret.name in secret_names(self._server)
        in_force = secret.name == filter_secret(self._server.name)
        domains = in_force or self._domain_secrets[secret.name] > 0
        if site:
            return _Touch.BOTH if domains else _Touch.SITE
        return _Touch.DOMAINS if domains else _Touch.NOTHING

    def _settle_site(self) -> Site:
        return settle_site(self._server, self._environment, self._secrets, self._now)

    def _server_verdict(self) -> Verdict:
        fault, own = self._directory.postmaster or self._directory.creators, self._site.verdict
        return fault if fault is not None and own.accepted else own

    def _frame(self) -> Frame:
        site = self._site
        return Frame(self._server.name, self._servers, site.shards, site.hash_key, site.quota, site.junk)

    def _put_domain(self, change: Resource | Gone) -> None:
        old = self._domains.pop(change.name, None)
        self._domain_secrets.subtract(secret_names(old) if old is not None else ())
        if isinstance(change, Gone):
            self._told["MailDomain", change.name] = None
        else:
            self._domains[change.name] = change
            self._domain_secrets.update(secret_names(change))

    def _settle_domains(self) -> Domains:
        mine: list[Resource] = []
        for resource in self._domains.values():
            owner = belonging(resource, self._servers)
            key = (resource.kind, resource.name)
            self._told[key] = owner if isinstance(owner, Verdict) else None
            if owner == self._server.name:
                mine.append(resource)
        resolved = resolve_domains(mine, self._secrets, self._server.name)
        self._told.update(resolved.verdicts)
        verdicts = dict(resolved.verdicts)
        self._directory.put_domains((domain, verdicts["MailDomain", domain.resource]) for domain in resolved.domains)
        return resolved

    def _put_other(self, resource: Resource) -> None:
        owner = belonging(resource, self._servers)
        key = (resource.kind, resource.name)
        self._others[key] = resource
        if isinstance(owner, Verdict):
            self._told[key] = owner
        else:
            self._told[key] = fields_verdict(resource) if owner == self._server.name else None

    def _resolution(self) -> Resolution:
        self._told.update(self._directory.settled())
        self._told["MailServer", self._server.name] = self._server_verdict()
        told, self._told = self._told, {}
        before = self._verdicts
        for key, verdict in told.items():
            self._refused += _refused(verdict) - _refused(before.get(key))
            self._addresses += _address(key, verdict) - _address(key, before.get(key))
        self._verdicts = before.succeeded((key, verdict) for key, verdict in told.items() if verdict != before.get(key))
        domains, directory = self._resolved_domains, self._directory
        return Resolution(
            server=self._server,
            platform=self._site.platform(
                directory.domains, directory.shards, directory.highest_store, directory.highest_placed
            ),
            site=self._site,
            verdicts=self._verdicts,
            wanted=(*self._site.wanted, *domains.wanted),
            counts=Counts(len(domains.domains), self._directory.count, self._addresses, self._refused),
            touched=frozenset(told),
            sought=domains.sought,
        )


def _refused(verdict: Verdict | None) -> int:
    return int(verdict is not None and not verdict.accepted)


def _address(key: Key, verdict: Verdict | None) -> int:
    return int(key[0] == "MailAddress" and verdict is not None and verdict.effective)
