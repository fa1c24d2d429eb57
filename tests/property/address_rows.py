"""The rows about addresses, written address by address and domain by domain: what general rows have to come to."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from postboat.model import names
from postboat.model.platform import Account
from postboat.model.routes import POSTMASTER
from postboat.render import public
from postboat.render.tables import LEAVES, LED_ON

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from postboat.model.platform import Domain, Platform, PublicMailbox, Route

TABLES = ("mailboxes", "aliases", "quotas", "refused", "internal", "leaving", "forwards", "addresses", "own")
"""Tables that hold addresses; among the users of a store, `users`, there is one in each row."""
Rows = set[tuple[str, ...]]
_LOOKED_UP = re.compile(r"[a-z0-9._-]+@.+")


class AddressRows:
    """All rows of one platform."""

    def __init__(self, platform: Platform) -> None:
        self.platform = platform
        self.routes = [route for shard in platform.directory for route in shard.routes if not route.waits]
        self.apart = {(route.local, route.domain) for route in self.routes if route.domain}

    def of(self, table: str) -> Rows:
        """Give the rows of one of `TABLES`, or `users` of a store."""
        made: Iterator[tuple[str, ...]] = getattr(self, {"addresses": "_addresses_of_others"}.get(table, f"_{table}"))()
        return set(made)

    def _domains(self, route: Route) -> list[Domain]:
        if route.domain:
            return [domain for domain in self.platform.local_domains if domain.name == route.domain]
        return [domain for domain in self.platform.local_domains if (route.local, domain.name) not in self.apart]

    def _addresses(self, route: Route) -> Iterator[tuple[str, Domain]]:
        for domain in self._domains(route):
            yield from ((f"{route.local}@{form}", domain) for form in domain.spellings)

    def _asked(self, route: Route) -> Iterator[str]:
        yield from (address for address, _ in self._addresses(route))
        if (route.local, route.domain) == (POSTMASTER, ""):
            yield f"{POSTMASTER}@{names.POSTMASTER_DOMAIN}"

    def _elsewhere(self, targets: Iterable[str]) -> bool:
        domains = {target.rpartition("@")[2] for target in targets} - {names.MAILBOX_DOMAIN}
        return any(self.platform.domain(name) is None for name in domains)

    def _mailboxes(self) -> Iterator[tuple[str, ...]]:
        for place in (place for shard in self.platform.directory for place in shard.places):
            user, canonical = place.user, names.canonical(place.user)
            leading = [route for route in self.routes if route.local == user and canonical in route.targets]
            found = sorted(domain.name for route in leading for domain in self._domains(route))
            first = f"{user}@{found[0] if found else self.platform.hostname}"
            yield canonical, user if names.domain_of(user) else first

    def _aliases(self) -> Iterator[tuple[str, ...]]:
        for route in self.routes:
            if route.targets:
                assert len(route.targets) <= 8, "a longer list would be written otherwise"
                yield from ((address, ",".join(route.targets)) for address in self._asked(route))
        for domain in self.platform.domains:
            if domain.copies:
                yield f"{domain.name}@{names.COPY_DOMAIN}", ",".join(domain.copies)
            if domain.catch_all and domain.relay is None:
                yield from ((f"@{form}", ",".join(domain.catch_all)) for form in domain.spellings)

    def _quotas(self) -> Iterator[tuple[str, ...]]:
        for route in self.routes:
            if route.limit is not None:
                name = f"store{route.limit.store}_quota"
                yield from ((address, name) for address in self._asked(route) if _LOOKED_UP.fullmatch(address))

    def _addresses_of_others(self) -> Iterator[tuple[str, ...]]:
        for route in self.routes:
            if route.limit is not None and route.limit.user != route.local:
                user = route.limit.user
                yield from ((address, user) for address in self._asked(route) if _LOOKED_UP.fullmatch(address))

    def _refused(self) -> Iterator[tuple[str, ...]]:
        own = () if self.platform.domain(self.platform.hostname) is not None else (self.platform.hostname,)
        for name in (names.COPY_DOMAIN, names.LIST_DOMAIN, names.MAILBOX_DOMAIN, *own):
            yield name, "554 5.7.1 Relay access denied"
        yield names.UNICODE_DOMAIN, "553 5.1.3 Write the domain in ASCII, beginning with xn--"
        for route in self.routes:
            if not route.targets:
                found = (address for address, domain in self._addresses(route) if domain.catch_all)
                yield from ((address, "550 5.1.1 User unknown") for address in found)

    def _internal(self) -> Iterator[tuple[str, ...]]:
        for route in self.routes:
            if route.internal and route.targets:
                yield from ((address, "554 5.7.1 Access denied") for address in self._asked(route))

    def _leaving(self) -> Iterator[tuple[str, ...]]:
        for domain in self.platform.domains:
            targets = (*domain.copies, *domain.catch_all)
            if domain.relay is not None or any(names.mailbox_user(target) is None for target in targets):
                yield from ((form, LEAVES) for form in domain.spellings)
        for route in self.routes:
            if any(names.mailbox_user(target) is None for target in route.targets):
                yield from ((address, LEAVES) for address in self._asked(route))

    def _forwards(self) -> Iterator[tuple[str, ...]]:
        away = [domain for domain in self.platform.local_domains if self._elsewhere(domain.catch_all)]
        yield from ((form, LED_ON) for domain in away for form in domain.spellings)
        for route in self.routes:
            if self._elsewhere(route.targets):
                yield from ((address, LED_ON) for address in self._asked(route))
            else:
                yield from ((address, "DUNNO") for address, domain in self._addresses(route) if domain in away)

    def _own(self) -> Iterator[tuple[str, ...]]:
        users = {account.user for shard in self.platform.directory for account in shard.accounts}
        for route in self.routes:
            if not route.targets:
                continue
            for address, _ in self._addresses(route):
                if route.local == POSTMASTER:
                    yield f"@{POSTMASTER}/{address}", "office"
                if route.owner and route.owner != route.local:
                    yield f"{route.owner}/{address}", "own"
                if route.owner != route.local and route.local in users:
                    yield f"{route.local}/{address}", "shared"

    def _users(self) -> Iterator[tuple[str, ...]]:
        for shard in self.platform.directory:
            for mailbox in (*shard.accounts, *shard.publics):
                junk = "junk" if mailbox.junk.move else "inbox"
                uid = mailbox.uid if isinstance(mailbox, Account) else ""
                first = mailbox.user, str(mailbox.quota), junk, str(mailbox.junk.retention)
                yield *first, self._own_address(mailbox), uid, *public.columns(mailbox)

    def _own_address(self, mailbox: Account | PublicMailbox) -> str:
        user = mailbox.user
        if names.domain_of(user):
            return user
        own = (route for route in self.routes if (route.local, route.domain, route.owner) == (user, "", user))
        found = [domain.name for route in own for domain in self._domains(route)]
        return f"{user}@{min(found, default=self.platform.hostname)}"
