"""Which MailAddresses are in force, by local part and domain.

Of two objects for one address the older one is in force; `routes` decides where it leads.
"""

from collections.abc import Hashable, Iterable
from dataclasses import dataclass
from typing import Final

from postboat.api.mailaddress import MailAddressSpec
from postboat.api.resource import Refusal, Resource
from postboat.model import names
from postboat.model.belonging import belonging
from postboat.model.domains import age
from postboat.model.kinds import fields_verdict
from postboat.model.verdict import DELETING, Key, Reason, Verdict

_ROUTING: Final = frozenset("!%")
"""Postfix takes no mail for such an address from outside, lest a server behind it passes it on to anybody."""
_COMMENT: Final = "#"
"""What begins with it is no entry to postmap."""
Claim = tuple[str, str]
"""Local part and domain as `names` normalises them; the domain is "" for all local domains."""


@dataclass(frozen=True, slots=True)
class Destination:
    """Where mail goes; one of the two fields is set, the other is ""."""

    mailbox: str = ""
    """Name of a Mailbox object."""
    address: str = ""
    """An address as it is written."""


@dataclass(frozen=True, slots=True)
class AddressNode:
    """A MailAddress in force, as the look-up of addresses sees it."""

    resource: str
    """Name of the object."""
    local: str
    """Local part, normalised."""
    domain: str
    """Domain in A-labels; "" for all local domains."""
    destinations: tuple[Destination, ...]
    internal: bool
    """Whether only users of the platform may send to it."""


def claimed(resource: Resource, server: str, servers: tuple[str, ...]) -> Claim | Verdict | None:
    """Return the address that a MailAddress claims, a verdict that says why it claims none, or None.

    Args:
        server: Name of the MailServer that decides.
        servers: Names of all MailServers of the namespace, oldest first.

    Returns:
        None when the object belongs to another MailServer.
    """
    owner = belonging(resource, servers)
    if isinstance(owner, Verdict) or owner != server:
        return owner if isinstance(owner, Verdict) else None
    spec = resource.spec
    if not isinstance(spec, MailAddressSpec):
        message, path = (spec.message, spec.path) if isinstance(spec, Refusal) else ("this is no MailAddress", "")
        return Verdict(Reason.INVALID, message, path)
    if resource.deleting:
        return DELETING
    local = _local_part(spec.local_part or resource.name, written=spec.local_part or "")
    domain = names.domain(spec.domain) if spec.domain is not None else ""
    if domain is None:
        return Verdict(Reason.INVALID, "the domain is not a valid DNS name", "spec.domain")
    return local if isinstance(local, Verdict) else (local, domain)


def _local_part(name: str, *, written: str) -> str | Verdict:
    local = names.local_part(name)
    if local is None or names.DELIMITER in written:
        message = "write the part before the @ without a +tag: every tag of an address is part of it by itself"
        return Verdict(Reason.INVALID, message, "spec.localPart")
    if _ROUTING & set(local) or local.startswith(_COMMENT):
        message = (
            "write the part before the @ without ! and %, and no # first: Postfix takes no mail for such an address"
        )
        return Verdict(Reason.INVALID, message, "spec.localPart")
    return local


class AddressBook:
    """All MailAddresses of a namespace, as one MailServer sees them."""

    def __init__(self) -> None:
        self._resources: dict[str, Resource] = {}
        self._claims: dict[str, Claim] = {}
        self._claimants: dict[Claim, dict[str, Resource]] = {}
        self._nodes: dict[Claim, AddressNode] = {}
        self._domains: dict[str, set[str]] = {}
        self._dirty: set[Claim] = set()

    def put(self, resource: Resource, server: str, servers: tuple[str, ...]) -> Verdict | None:
        """Insert or replace a MailAddress.

        Args:
            server: Name of the MailServer that decides.
            servers: Names of all MailServers of the namespace, oldest first.

        Returns:
            The verdict when the object alone decides it; None when it claims an address, or belongs to another
            MailServer.
        """
        self.remove(resource.name)
        self._resources[resource.name] = resource
        claim = claimed(resource, server, servers)
        if claim is None or isinstance(claim, Verdict):
            return claim
        self._claims[resource.name] = claim
        self._claimants.setdefault(claim, {})[resource.name] = resource
        self._dirty.add(claim)
        return None

    def remove(self, name: str) -> bool:
        """Remove a MailAddress by the name of the object; return whether it was there."""
        known = self._resources.pop(name, None) is not None
        claim = self._claims.pop(name, None)
        if claim is not None:
            del self._claimants[claim][name]
            if not self._claimants[claim]:
                del self._claimants[claim]
            self._dirty.add(claim)
        return known

    def resources(self) -> tuple[Resource, ...]:
        """Return all objects, in force or not."""
        return tuple(self._resources.values())

    def settled(self) -> tuple[set[Claim], set[Hashable]]:
        """Decide who has each address whose claims have changed since the last call.

        Returns:
            The addresses that were decided again, and the facts that have changed, as `dependencies.Reading.seen`
            records them.
        """
        dirty, self._dirty = self._dirty, set()
        facts: set[Hashable] = set()
        for claim in dirty:
            facts |= self._settle(claim)
        return dirty, facts

    def node(self, local: str, domain: str) -> AddressNode | None:
        """Return the MailAddress in force for an address, or None.

        Args:
            local: Local part, normalised.
            domain: Domain in A-labels; "" for the address in all local domains.
        """
        return self._nodes.get((local, domain))

    def domains(self, local: str) -> Iterable[str]:
        """Return the domains in which a local part has a MailAddress in force; "" stands for all local domains."""
        return self._domains.get(local, ())

    def verdicts(self, local: str, domain: str) -> Iterable[tuple[Key, Verdict]]:
        """Yield a verdict for each MailAddress that claims an address: the oldest wins, the others are in conflict.

        Args:
            local: Local part of an address that is claimed, normalised.
            domain: Domain in A-labels; "" for all local domains.
        """
        claimants = self._claimants.get((local, domain), {})
        winner, *losers = sorted(claimants.values(), key=age)
        yield ("MailAddress", winner.name), fields_verdict(winner)
        text = f"address {local}@{domain or 'every domain'} belongs to the older MailAddress {winner.name}"
        for loser in losers:
            yield ("MailAddress", loser.name), Verdict(Reason.CONFLICT, text, "spec.localPart")

    def _settle(self, claim: Claim) -> set[Hashable]:
        local, domain = claim
        claimants = self._claimants.get(claim, {})
        old = self._nodes.pop(claim, None)
        new = _node(min(claimants.values(), key=age), claim) if claimants else None
        scopes = self._domains.setdefault(local, set())
        if new is None:
            scopes.discard(domain)
        else:
            self._nodes[claim] = new
            scopes.add(domain)
        if not scopes:
            del self._domains[local]
        return set() if old == new else {("address", local, domain)}


def _node(resource: Resource, claim: Claim) -> AddressNode:
    spec = resource.spec
    assert isinstance(spec, MailAddressSpec)  # noqa: S101 -- claimed() lets nothing else through
    destinations = tuple(Destination(to.mailbox or "", to.address or "") for to in spec.destinations)
    return AddressNode(resource.name, *claim, destinations, internal=bool(spec.internal))
