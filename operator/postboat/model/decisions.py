"""Decides about one user name and about one domain, from all that leads to and from them: routes and verdicts.

The unit of a decision is a user name, since a Mailbox and the MailAddresses of its name depend on each other: a local
part, or for a Mailbox in one domain its address.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from postboat.api.mailbox import MailboxType
from postboat.model import names
from postboat.model.addresses import AddressBook, AddressNode, Destination
from postboat.model.dependencies import Reading
from postboat.model.mailbox_graph import Node
from postboat.model.platform import Domain, Limit, Route
from postboat.model.routes import (
    MOST_TARGETS,
    POSTMASTER,
    Stop,
    Unknown,
    addressed,
    faults,
    keeps,
    reach,
    resolved,
    steps,
    targets,
)
from postboat.model.verdict import Key, Reason, Verdict

_NAMED = 3
"""So many addresses are named in a message that could name hundreds."""


@dataclass(frozen=True, slots=True)
class MailboxDecision:
    """What is decided about a Mailbox because of other objects."""

    fault: Verdict | None
    """What is wrong with where its mail comes from or goes to; None when nothing is."""
    addresses: str = ""
    """A sentence about addresses of its name that others have or claim in vain; "" when there is none."""


@dataclass(frozen=True, slots=True)
class NameDecision:
    """What is decided about a user name."""

    routes: tuple[Route, ...] = ()
    """One route for each domain, sorted; "" stands for all local domains."""
    verdicts: tuple[tuple[Key, Verdict], ...] = ()
    """Verdicts about MailAddresses."""
    mailbox: MailboxDecision | None = None
    """What is decided about the mailbox of that name; None when there is none."""
    postmaster: Verdict | None = None
    """What is wrong with `spec.postmaster` of the MailServer; None when nothing is."""


def decide_name(name: str, book: AddressBook, users: Iterable[str], reading: Reading) -> NameDecision:
    """Decide about a local part in all local domains, and about MailAddresses of it in single domains.

    Args:
        name: The local part, normalised.
        users: User names `name@domain` that Mailboxes in one domain claim; `decide_bound` decides about these domains.
    """
    node = reading.node(name)
    rival = node if node is not None and addressed(node, reading) else None
    bound = {names.domain_of(user) for user in users}
    domains = [domain for domain in book.domains(name) if domain not in bound]
    claims = _claims(name, domains, {"": rival} if rival is not None else {}, book, reading)
    routes = claims.routes
    postmaster = None
    if rival is not None:
        routes[""] = _route(name, "", (rival,), rival.internal, reading)
    elif "" not in routes:
        destination = reading.postmaster() if name == POSTMASTER else None
        if destination is not None:
            routes[""] = _route(name, "", (resolved(destination, reading),), False, reading)  # noqa: FBT003
            postmaster = _postmaster(destination, routes[""], reading)
        elif node is not None:
            routes[""] = Route(name, "", (), internal=False)
    others = {domain for domain, route in routes.items() if domain and not route.waits}
    told = _told(_taken(rival, others | bound, reading)) if rival is not None else ""
    addresses = " ".join(filter(None, (told, *claims.refused)))
    mailbox = None if node is None else MailboxDecision(_mailbox(node, rival is not None, reading), addresses)
    ordered = tuple(routes[domain] for domain in sorted(routes))
    return NameDecision(ordered, tuple(claims.verdicts.items()), mailbox, postmaster)


def decide_bound(user: str, book: AddressBook, reading: Reading) -> NameDecision:
    """Decide about a user name in one domain that a Mailbox claims, and a MailAddress of the same address.

    Args:
        user: `local@domain`, as `names.bound` returns it.
    """
    name, domain = names.local_of(user), names.domain_of(user)
    node = reading.node(user)
    holder = node if node is not None and addressed(node, reading) else None
    domains = [domain] if domain in book.domains(name) else []
    claims = _claims(name, domains, {domain: holder} if holder is not None else {}, book, reading)
    waits = reading.domain_absence(domain) is not None
    route = claims.routes.get(domain) or Route(name, domain, (), internal=False, waits=waits)
    if holder is not None:
        route = _route(name, domain, (holder,), holder.internal, reading)
    fault = None if node is None else _mailbox(node, holder is not None, reading)
    mailbox = None if node is None else MailboxDecision(fault, " ".join(claims.refused))
    return NameDecision((route,), tuple(claims.verdicts.items()), mailbox)


@dataclass(frozen=True, slots=True)
class _Claims:
    """What becomes of MailAddresses: routes by domain, verdicts, and what a Mailbox says of those that it refuses."""

    routes: dict[str, Route]
    verdicts: dict[Key, Verdict]
    refused: list[str]


def _claims(
    name: str, domains: Iterable[str], holders: Mapping[str, Node], book: AddressBook, reading: Reading
) -> _Claims:
    """Decide about the MailAddresses of a local part.

    Args:
        holders: The mailboxes that have the address, by domain; "" for all local domains.
    """
    claims = _Claims({}, {}, [])
    for domain in domains:
        claims.verdicts.update(book.verdicts(name, domain))
        address = reading.address(name, domain)
        if address is None:
            continue
        fault, route = _address(address, holders.get(domain), reading)
        key = ("MailAddress", address.resource)
        claims.verdicts[key] = _first(claims.verdicts[key], fault)
        if route is not None:
            claims.routes[domain] = route
        elif domain in holders:
            what = f"{name}@{domain}" if domain else "its name in every domain"
            claims.refused.append(f"MailAddress {address.resource} also has {what}, but is refused.")
    return claims


def _taken(rival: Node, domains: Iterable[str], reading: Reading) -> Iterator[str]:
    """Yield the addresses of a mailbox in all domains that other objects have, with these objects."""
    for domain in sorted(domains):
        address = names.bound(rival.user, domain)
        holder, other = reading.node(address), reading.address(rival.user, domain)
        if holder is not None and addressed(holder, reading):
            yield f"{address} (Mailbox {holder.resource})"
        elif other is not None and rival not in reach(steps(other, reading), reading).stops.values():
            yield f"{address} (MailAddress {other.resource})"


def _told(found: Iterable[str]) -> str:
    taken = tuple(found)
    more = f" and {len(taken) - _NAMED} more" if len(taken) > _NAMED else ""
    return f"Mail to {', '.join(taken[:_NAMED])}{more} is not delivered to this Mailbox." if taken else ""


def decide_domain(domain: Domain, reading: Reading) -> tuple[Domain, Verdict | None]:
    """Return a domain completed with its catch-all and copies, and a verdict about them, or None."""
    catch_all = [Destination(mailbox=domain.catch_all_mailbox)] if domain.catch_all_mailbox else []
    copies = [Destination(address=address) for address in domain.copy_to]
    fault = faults(copies, "spec.copyTo", key=False, reading=reading)
    complete = replace(
        domain,
        catch_all=_targets(_resolved(catch_all, reading), reading),
        copies=_targets(_resolved(copies, reading), reading),
    )
    if catch_all and not complete.catch_all:
        message = f"mail for Mailbox {domain.catch_all_mailbox} reaches nobody: unknown recipients are refused"
        path = "spec.unknownRecipients.mailbox"
        fault = Verdict(Reason.UNKNOWN_MAILBOX, message, path, effective=True)
    return complete, fault


def _address(address: AddressNode, holder: Node | None, reading: Reading) -> tuple[Verdict | None, Route | None]:
    if address.domain and (absence := reading.domain_absence(address.domain)) is not None:
        return absence, Route(address.local, address.domain, (), address.internal, waits=True)
    if holder is not None:
        cure = "another localPart" if address.domain else "another localPart, or a domain"
        message = f"Mailbox {holder.resource} has this address: use spec.forward of the Mailbox, or {cure}"
        return Verdict(Reason.CONFLICT, message, "spec.localPart"), None
    if not address.domain:
        reading.any_domain()
    path = "spec.destinations"
    fault = faults(address.destinations, path, key=True, reading=reading)
    found = reach(steps(address, reading), reading, address)
    route = _route(address.local, address.domain, (address,), address.internal, reading)
    if not route.targets:
        if fault is None and found.again and not found.ends:
            message = "the address leads back to itself and to nobody else: mail to it is refused"
            return Verdict(Reason.CYCLE, message, path), route
        return _nobody(found.ends, fault, path), route
    if fault is None and found.again:
        message = "the address leads back to itself; everybody else it leads to still gets each message once"
        fault = Verdict(Reason.CYCLE, message, path, effective=True)
    return fault, route


def _mailbox(node: Node, on: bool, reading: Reading) -> Verdict | None:  # noqa: FBT001 - whether it has an address
    if node.type is MailboxType.USER and node.forward:
        to = [Destination(address=address) for address in node.forward]
        fault = faults(to, "spec.forward.to", key=False, reading=reading)
        if fault is None and keeps(node, reading)[1]:
            message = "the forward leads back to the mailbox through others: a copy stays here, so that nothing is lost"
            fault = Verdict(Reason.CYCLE, message, "spec.forward", effective=True)
        return fault
    if node.type is MailboxType.GROUP and on and not _targets((node,), reading):
        return replace(_nobody(reach((node,), reading).ends, None, "spec.members"), effective=True)
    return None


def _postmaster(destination: Destination, route: Route, reading: Reading) -> Verdict | None:
    if route.targets:
        return None
    found = resolved(destination, reading)
    message = found.message if isinstance(found, Unknown) else "it has no destination"
    field = "mailbox" if destination.mailbox else "address"
    return Verdict(
        Reason.UNKNOWN_MAILBOX,
        f"{message}: mail to the postmaster is refused",
        f"spec.postmaster.{field}",
        effective=True,
    )


def _nobody(ends: bool, fault: Verdict | None, path: str) -> Verdict:  # noqa: FBT001 - whether anybody is reached
    if ends:
        message = f"more than {MOST_TARGETS} addresses would get each message: mail to it is refused"
        return Verdict(Reason.TOO_LARGE, message, path)
    if fault is not None:
        message = fault.message.partition(": ")[0]
        return Verdict(fault.reason, f"{message}, and there is no other destination: mail to it is refused", fault.path)
    return Verdict(Reason.UNKNOWN_MAILBOX, "it has no destination: mail to it is refused", path)


def _route(
    local: str,
    domain: str,
    starts: Iterable[Stop | Unknown],
    internal: bool,  # noqa: FBT001 - as it is written
    reading: Reading,
) -> Route:
    first = tuple(starts)
    found = _targets(first, reading)
    owner = "" if local == POSTMASTER else _owner(first, reading)
    own = names.bound(local, domain) if domain and reading.claimed(names.bound(local, domain)) else local
    return Route(local, domain, found, internal, _limit(own, found, reading), owner)


def _owner(starts: Iterable[Stop | Unknown], reading: Reading) -> str:
    """Return the user whose own address it is, since it leads to his mailbox only; "" for none.

    It may lead there through other addresses. The address of the postmaster belongs to nobody. Where a user forwards
    his mail to does not matter.
    """
    seen: list[Stop | Unknown] = []
    waiting = list(starts)
    while len(waiting) == 1 and waiting[0] not in seen:
        stop = waiting[0]
        if isinstance(stop, Node):
            return stop.user if stop.type is MailboxType.USER else ""
        if not isinstance(stop, AddressNode):
            return ""
        seen.append(stop)
        waiting = [step for step in steps(stop, reading) if not isinstance(step, Unknown)]
    return ""


def _limit(own: str, found: Sequence[str], reading: Reading) -> Limit | None:
    user = names.mailbox_user(found[0]) if len(found) == 1 else own if names.canonical(own) in found else None
    node = reading.node(user) if user is not None else None
    return Limit(node.user, node.limit) if node is not None and node.limit is not None else None


def _targets(starts: Iterable[Stop | Unknown], reading: Reading) -> tuple[str, ...]:
    found = targets(starts, reading)
    return () if len(found) > MOST_TARGETS else found


def _resolved(destinations: Iterable[Destination], reading: Reading) -> list[Stop | Unknown]:
    return [resolved(destination, reading) for destination in destinations]


def _first(own: Verdict, fault: Verdict | None) -> Verdict:
    return fault if fault is not None and own.accepted else own
