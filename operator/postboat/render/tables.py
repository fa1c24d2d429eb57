"""The tables of the directory: name, driver, columns, and the rows that a shard has in them.

A new table is one entry of `TABLES`; agents learn of it by the manifest and build it without being changed.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Final

from postboat.model.platform import UNPLACED, Domain, Platform, Shard

Row = tuple[str, ...]
KEYS: Final = ("smtp", "edge", "store")


@dataclass(frozen=True, slots=True)
class Directory:
    """What the rows of one shard come from: its accounts, and the domains if it is the shard that holds them."""

    platform: Platform
    accounts: Shard
    domains: tuple[Domain, ...]


@dataclass(frozen=True, slots=True)
class Table:
    """One table of one kind of container; the first column is the primary key."""

    name: str
    driver: str
    key: str
    columns: tuple[str, ...]
    rows: Callable[[Directory], Iterable[Row]]


def _domains(directory: Directory) -> Iterable[Row]:
    return ((spelling, "local") for domain in directory.domains for spelling in domain.spellings)


def _mailboxes(directory: Directory) -> Iterable[Row]:
    spellings = [spelling for domain in directory.platform.domains for spelling in domain.spellings]
    return ((f"{account.user}@{spelling}", account.user) for account in directory.accounts for spelling in spellings)


def _aliases(_: Directory) -> Iterable[Row]:
    return ()


def _login_domains(directory: Directory) -> Iterable[Row]:
    return ((spelling,) for domain in directory.domains for spelling in domain.spellings)


def _edge_users(directory: Directory) -> Iterable[Row]:
    for account in directory.accounts:
        if account.shard == UNPLACED:
            continue  # an edge that does not know a user yet lets the mail wait
        access = "".join(f",{protocol}" for protocol in account.access) + ","
        yield account.user, account.password, directory.platform.store_host(account.shard), access


def _store_users(directory: Directory) -> Iterable[Row]:
    return ((account.user, str(account.quota)) for account in directory.accounts)


TABLES: Final = (
    Table("domains", "lmdb", "smtp", ("key", "value"), _domains),
    Table("mailboxes", "lmdb", "smtp", ("key", "value"), _mailboxes),
    Table("aliases", "lmdb", "smtp", ("key", "value"), _aliases),
    Table("domain", "sqlite", "edge", ("domain",), _login_domains),
    Table("users", "sqlite", "edge", ("user", "password", "host", "access"), _edge_users),
    Table("users", "sqlite", "store", ("user", "quota"), _store_users),
)
