"""The tables of the directory: name, driver, columns, and the rows that a shard has in them.

No row but those of the domains themselves depends on which domains there are: what holds in several is a general row,
and an address in one domain is a general row of that one. A new table is one entry of `TABLES`; agents learn of it by
the manifest and build it without being changed.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from re import compile as pattern
from typing import Final

from postboat.agent import ports
from postboat.agent.general import AWAY, CATCH_ALL, EACH, FIRST, MARK, PLACE
from postboat.model import names
from postboat.model.platform import UNPLACED, Account, Domain, Place, Platform, PublicMailbox, Relay, Route, Shard
from postboat.model.routes import POSTMASTER
from postboat.render import public, relayhosts
from postboat.render.tls import POLICIES, authority_file, trusting_only

Row = tuple[str, ...]
KEYS: Final = ("smtp", "edge", "store")
_OURS_ALONE: Final = (names.COPY_DOMAIN, names.LIST_DOMAIN, names.MAILBOX_DOMAIN)
"""Domains that mail travels under inside the platform; to everybody else they are foreign."""
_NO_ACCESS: Final = ","
_LONG: Final = 8
"""A longer list of targets is written once, and the address in every domain leads there."""
_LOOKED_UP: Final = pattern(r"[a-z0-9._-]+")
"""Local parts of the addresses that Dovecot looks up: it is told to take no name with any other character for one."""
_NOWHERE: Final = "+"
"""The limits of a general row that is about no domain."""
_UNKNOWN: Final = "550 5.1.1 User unknown"
_NOT_YET: Final = "450 4.3.0 The address is not in place yet"
"""What Postfix answers for an address that nobody has, and for one whose domain has just become ours."""
LEAVES: Final = "PREPEND X-Postboat-Leaves: yes"
"""What Postfix does with a message that users send to a recipient elsewhere: `submission.lua` reads it."""
LED_ON: Final = "PREPEND X-Postboat-Led-On: yes"
"""What Postfix does with a message to an address that leads to another server: `headers.lua` reads it."""


@dataclass(frozen=True, slots=True)
class Directory:
    """What the rows of one shard come from: its mailboxes and routes, and the domains if it is the one that holds them.

    `relayed` are the names of the domains that other servers deliver, `apart` those in which a local part has a route
    of its own, be they ours or not. `owners` are the users of all domains whose own address leads to them alone,
    `senders` those whose mail leaves by a relay host.
    """

    platform: Platform
    shard: Shard
    domains: tuple[Domain, ...]
    first: bool
    relayed: AbstractSet[str]
    apart: Mapping[str, AbstractSet[str]]
    owners: AbstractSet[str]
    senders: tuple[tuple[str, str], ...]

    @property
    def stored(self) -> tuple[Account | PublicMailbox, ...]:
        """The mailboxes that keep mail on a store: those of users and public ones."""
        return (*self.shard.accounts, *self.shard.publics)


def _general(directory: Directory, route: Route, *columns: str, which: str = EACH) -> Row:
    """Write a row for each form of an address; one of the columns ends with `PLACE`, where the domain goes.

    In domains where its local part has a route of its own there is none, be they ours already or not: so nobody gets
    the mail of somebody else while the one shard knows of a new domain and the other does not.
    """
    limits = f"+{route.domain}" if route.domain else _but(directory.apart.get(route.local, ()))
    return (MARK, which, limits, *columns)


def _but(domains: Iterable[str]) -> str:
    """Write the limits of a row that is about all domains but some."""
    return f"-{','.join(sorted(domains))}" if domains else ""


@dataclass(frozen=True, slots=True)
class Table:
    """One table of one kind of container; the first column is the primary key."""

    name: str
    driver: str
    key: str
    columns: tuple[str, ...]
    rows: Callable[[Directory], Iterable[Row]]


def _domains(directory: Directory) -> Iterable[Row]:
    return ((spelling, "local") for domain in _here(directory) for spelling in domain.spellings)


def _mailboxes(directory: Directory) -> Iterable[Row]:
    """Write by which address a store hears of a mailbox: the first of its name that leads to it, or one at our host.

    A mailbox in one domain has only one address, by which the store finds it, too.
    """
    leading: dict[str, set[str]] = {}
    for route in directory.shard.routes:
        if names.canonical(route.local) in route.targets:
            leading.setdefault(route.local, set()).add(route.domain)
    for place in directory.shard.places:
        if names.domain_of(place.user):
            yield names.canonical(place.user), place.user
            continue
        found, apart = leading.get(place.user, set()), directory.apart.get(place.user, frozenset())
        limits = _but(apart - found) if "" in found else f"+{','.join(sorted(found))}"
        yield MARK, FIRST, limits, names.canonical(place.user), f"{place.user}{PLACE}"


def _asked(directory: Directory, route: Route, *columns: str) -> Iterator[Row]:
    """Write a row about every form of an address that a client may name.

    The postmaster needs no domain (RFC 5321, 4.5.1).
    """
    yield _general(directory, route, f"{route.local}{PLACE}", *columns)
    if (route.local, route.domain) == (POSTMASTER, ""):
        yield f"{POSTMASTER}@{names.POSTMASTER_DOMAIN}", *columns


def _aliases(directory: Directory) -> Iterable[Row]:
    for route in directory.shard.routes:
        targets = ",".join(route.targets)
        if len(route.targets) > _LONG and not route.domain:
            shared = f"{route.local}@{names.LIST_DOMAIN}"
            yield shared, targets
            targets = shared
        if targets:
            yield from _asked(directory, route, targets)
    for domain in directory.domains:
        if domain.copies:
            yield _copy_address(domain), ",".join(domain.copies)
        if domain.catch_all and domain.relay is None:
            yield from ((f"@{spelling}", ",".join(domain.catch_all)) for spelling in domain.spellings)


def _refused(directory: Directory) -> Iterable[Row]:
    """Write the names that exist without an address, since a catch-all would take mail to them, and foreign domains.

    Mail to an address in a domain that is not ours yet waits where the shard with the domains is the first to know.
    """
    if directory.first:
        platform = directory.platform
        own = () if platform.domain(platform.hostname) is not None else (platform.hostname,)
        yield from ((domain, "554 5.7.1 Relay access denied") for domain in (*_OURS_ALONE, *own))
        yield names.UNICODE_DOMAIN, "553 5.1.3 Write the domain in ASCII, beginning with xn--"
    for route in directory.shard.routes:
        if not route.targets:
            reply, which = (_NOT_YET, EACH) if route.waits else (_UNKNOWN, CATCH_ALL)
            yield _general(directory, route, f"{route.local}{PLACE}", reply, which=which)


def _internal(directory: Directory) -> Iterable[Row]:
    for route in directory.shard.routes:
        if route.internal and route.targets:
            yield from _asked(directory, route, "554 5.7.1 Access denied")


def _copies(directory: Directory) -> Iterable[Row]:
    for domain in directory.domains:
        if domain.copies:
            yield from ((f"@{spelling}", _copy_address(domain)) for spelling in domain.spellings)


def _copy_address(domain: Domain) -> str:
    return f"{domain.name}@{names.COPY_DOMAIN}"


def _leaving(directory: Directory) -> Iterable[Row]:
    """Write the recipients of ours whose mail, or a copy of it, goes on to another server."""
    for domain in directory.domains:
        if domain.relay is not None or _outside((*domain.copies, *domain.catch_all)):
            yield from ((spelling, LEAVES) for spelling in domain.spellings)
    for route in directory.shard.routes:
        if _outside(route.targets):
            yield from _asked(directory, route, LEAVES)


def _outside(targets: Iterable[str]) -> bool:
    return any(names.mailbox_user(target) is None for target in targets)


def _forwards(directory: Directory) -> Iterable[Row]:
    """Write the addresses of ours whose mail goes on to servers that are not ours: marked mail is refused there.

    Whoever has an address beside a catch-all that leads there is told from it by a row of his own.
    """
    for domain in directory.domains:
        if leads_all_away(domain, directory.relayed):
            yield from ((spelling, LED_ON) for spelling in domain.spellings)
    for route in directory.shard.routes:
        if leads_elsewhere(route.targets, directory.relayed):
            yield from _asked(directory, route, LED_ON)
        else:
            yield _general(directory, route, f"{route.local}{PLACE}", "DUNNO", which=AWAY)


def leads_all_away(domain: Domain, relayed: AbstractSet[str]) -> bool:
    """Tell whether a local domain leads mail to unknown recipients to another server."""
    return domain.relay is None and leads_elsewhere(domain.catch_all, relayed)


def leads_elsewhere(targets: Iterable[str], relayed: AbstractSet[str]) -> bool:
    """Tell whether mail to one of them leaves the platform: a relayed domain is a part of it, on another server.

    Targets in local domains are none: they have been followed to mailboxes.
    """
    return not {target.rpartition("@")[2] for target in targets} <= relayed | {names.MAILBOX_DOMAIN}


def _relayed(directory: Directory) -> Iterable[Row]:
    for domain in directory.domains:
        if domain.relay is not None:
            yield from ((spelling, "reject_unverified_recipient") for spelling in domain.spellings)


def _transports(directory: Directory) -> Iterable[Row]:
    for domain in directory.domains:
        if domain.relay is not None:
            yield from ((spelling, f"relay:{_next_hop(domain.relay)}") for spelling in domain.spellings)
    for place in directory.shard.places:
        yield names.canonical(place.user), _way_to_the_store(directory.platform, place)


def _way_to_the_store(platform: Platform, place: Place) -> str:
    """Return transport and next hop of a mailbox; mail waits while it has no store.

    The port tells a mailbox in one domain from one in all, whatever the tables of the store hold at that moment.
    """
    if place.store == UNPLACED:
        return "retry:4.3.0 The mailbox is not in place yet"
    port = ports.LMTP_ONE_DOMAIN if names.domain_of(place.user) else ports.LMTP
    return f"{transport(place.store)}:inet:[{platform.store_host(place.store)}]:{port.number}"


def transport(store: int) -> str:
    """Return the Postfix service that delivers to a store: each has its own, so a store that hangs delays no other."""
    return f"store{store}"


def _tls_policies(directory: Directory) -> Iterable[Row]:
    """Yield the CA certificates of relays; all other policies follow from the next hop alone."""
    relays = {domain.relay for domain in directory.domains if domain.relay is not None and domain.relay.authority}
    return ((_next_hop(relay), trusting_only(authority_file(relay.authority))) for relay in relays)


def _senders(directory: Directory) -> Iterable[Row]:
    return directory.senders


def _relay_policies(directory: Directory) -> Iterable[Row]:
    return relayhosts.policies(directory.platform.relay_hosts) if directory.first else ()


def _credentials(directory: Directory) -> Iterable[Row]:
    return relayhosts.credentials(directory.platform.relay_hosts) if directory.first else ()


def _next_hop(relay: Relay) -> str:
    """Return the next hop with as many zeros before the port as its TLS policy has places in the list of policies.

    Postfix looks up a policy by the text of the next hop, and the zeros do not change the port.
    """
    zeros = list(POLICIES).index(relay.tls)
    if relay.waits or relay.authority:
        zeros = len(POLICIES) + (0 if relay.waits else 1 + relay.rank)
    return f"[{relay.host}]:{'0' * zeros}{relay.port}"


def policy_patterns() -> tuple[tuple[str, str], ...]:
    """Return patterns of next hops with the policy of each.

    A policy follows from the text of the next hop and not from a row, since queued mail can outlive the row. Where the
    row with the CA certificates of a relay is missing, only the platform's own CA is trusted: verification fails, and
    mail is deferred.
    """
    fixed = ((rf"/^\[.*\]:{'0' * zeros}[1-9]/", policy) for zeros, policy in tuple(enumerate(POLICIES.values()))[1:])
    return (*fixed, (rf"/^\[.*\]:{'0' * len(POLICIES)}/", trusting_only("ca.pem")))


def _here(directory: Directory) -> Iterator[Domain]:
    return (domain for domain in directory.domains if domain.relay is None)


def _quotas(directory: Directory) -> Iterable[Row]:
    """Lead each address of a mailbox with a limit to the restriction class of its store; others cost no question."""
    for route in directory.shard.routes:
        if route.limit is not None and _LOOKED_UP.fullmatch(route.local):
            yield from _asked(directory, route, quota_class(route.limit.store))


def _limited_addresses(directory: Directory) -> Iterable[Row]:
    """Write whose mailbox a store is asked about where the address has another name."""
    for route in directory.shard.routes:
        limit = route.limit
        if limit is not None and limit.user != route.local and _LOOKED_UP.fullmatch(route.local):
            yield from _asked(directory, route, limit.user)


def _own_addresses(directory: Directory) -> Iterable[Row]:
    """Write which addresses are a user's own beside those of his name, which of his name are not, and the postmaster's.

    Keys begin with the user, so that a look-up of one user reads his rows alone.
    """
    users = {account.user for account in directory.shard.accounts}
    for route in directory.shard.routes:
        if not route.targets:
            continue
        address = f"{route.local}{PLACE}"
        if route.local == POSTMASTER:
            yield _general(directory, route, f"@{POSTMASTER}/{address}", "office")
        if route.owner and route.owner != route.local:
            yield _general(directory, route, f"{route.owner}/{address}", "own")
        if route.owner != route.local and route.local in users:
            yield _general(directory, route, f"{route.local}/{address}", "shared")


def quota_class(store: int) -> str:
    """Name the restriction class of Postfix that asks a store whether a mailbox takes a message."""
    return f"store{store}_quota"


def _login_domains(directory: Directory) -> Iterable[Row]:
    """Write all forms: Dovecot compares them as they are, and folds nothing beyond ASCII."""
    return (
        (form, domain.name)
        for domain in _here(directory)
        for form in sorted({*domain.spellings, names.unicode(domain.name)})
    )


def _submitters(directory: Directory) -> Iterable[Row]:
    """Write who may send as long as a session lasts: who is gone, or may no more, has his next recipient refused."""
    return ((place.user, "permit_sasl_authenticated") for place in directory.shard.places if place.sends)


def _edge_users(directory: Directory) -> Iterable[Row]:
    """Write who logs in how, and names with which nobody does: one in all domains would be found by them else."""
    for account in directory.shard.accounts:
        if account.store == UNPLACED:
            if names.domain_of(account.user):
                yield account.user, "", "", _NO_ACCESS
            continue  # an edge that does not know a user yet lets the mail wait
        access = "".join(f",{protocol}" for protocol in account.access) + ","
        yield account.user, account.password, directory.platform.store_host(account.store), access
    for mailbox in directory.shard.publics:
        yield mailbox.user, "", directory.platform.store_host(mailbox.store), _NO_ACCESS
    for user in directory.shard.withheld:
        yield user, "", "", _NO_ACCESS


def _store_users(directory: Directory) -> Iterable[Row]:
    """Write what a store knows of each mailbox, with one address of a user that is his own, by the order of domains.

    Without one it is a name at our host. A user in one domain is called by his one address, which nobody else has who
    would be written to by it.
    """
    for mailbox in directory.stored:
        user, (spam, retention) = mailbox.user, _junk(mailbox)
        uid = mailbox.uid if isinstance(mailbox, Account) else ""
        first, last = (user, str(mailbox.quota), spam, retention), (uid, *public.columns(mailbox))
        if names.domain_of(user):
            yield *first, user, *last
        else:
            limits = _but(directory.apart.get(user, ())) if user in directory.owners else _NOWHERE
            yield MARK, FIRST, limits, *first, f"{user}{PLACE}", *last


def _junk(mailbox: Account | PublicMailbox) -> tuple[str, str]:
    """Give the script that runs before the user's own, and the seconds that mail stays in Junk; 0 is for ever."""
    return "junk" if mailbox.junk.move else "inbox", str(mailbox.junk.retention)


def _rights(directory: Directory) -> Iterable[Row]:
    return ((mailbox.user, public.rights(mailbox)) for mailbox in directory.shard.publics)


_STORE_USER: Final = ("user", "quota", "spam", "retention", "email", "uid", *public.COLUMNS)
TABLES: Final = (
    Table("domains", "lmdb", "smtp", ("key", "value"), _domains),
    Table("mailboxes", "lmdb", "smtp", ("key", "value"), _mailboxes),
    Table("aliases", "lmdb", "smtp", ("key", "value"), _aliases),
    Table("quotas", "lmdb", "smtp", ("key", "value"), _quotas),
    Table("refused", "lmdb", "smtp", ("key", "value"), _refused),
    Table("internal", "lmdb", "smtp", ("key", "value"), _internal),
    Table("copies", "lmdb", "smtp", ("key", "value"), _copies),
    Table("relays", "lmdb", "smtp", ("key", "value"), _relayed),
    Table("leaving", "lmdb", "smtp", ("key", "value"), _leaving),
    Table("forwards", "lmdb", "smtp", ("key", "value"), _forwards),
    Table("submitters", "lmdb", "smtp", ("key", "value"), _submitters),
    Table("transports", "lmdb", "smtp", ("key", "value"), _transports),
    Table("tlspolicies", "lmdb", "smtp", ("key", "value"), _tls_policies),
    Table("relaypolicies", "lmdb", "smtp", ("key", "value"), _relay_policies),
    Table("credentials", "lmdb", "smtp", ("key", "value"), _credentials),
    Table("senders", "lmdb", "smtp", ("key", "value"), _senders),
    Table("domain", "sqlite", "edge", ("domain", "name"), _login_domains),
    Table("users", "sqlite", "edge", ("user", "password", "host", "access"), _edge_users),
    Table("users", "sqlite", "store", _STORE_USER, _store_users),
    Table("addresses", "sqlite", "store", ("address", "user"), _limited_addresses),
    Table("own", "sqlite", "store", ("address", "kind"), _own_addresses),
    Table("rights", "acl", "store", ("mailbox", "owners"), _rights),
)
