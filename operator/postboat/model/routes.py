"""Where mail to an address goes: the look-up of one address, and the final list of recipients.

No place is visited twice, so the list is finite, has no duplicates and does not depend on an order.

A `local` is a local part and a `domain` a domain as `names` normalises them.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from postboat.api.mailbox import MailboxType
from postboat.model import names
from postboat.model.addresses import AddressNode, Destination
from postboat.model.dependencies import Reading
from postboat.model.mailbox_graph import Node
from postboat.model.names import canonical
from postboat.model.verdict import Reason, Verdict

MOST_TARGETS = 5000
"""Recipients that one message may have after expansion; Postfix has the same limit."""
POSTMASTER = "postmaster"

Stop = Node | AddressNode | str
"""A place on the way of a message; text is an address on another server."""


@dataclass(slots=True)
class Reach:
    """All places that can be reached from a start."""

    stops: dict[object, Stop] = field(default_factory=dict)
    """The places by a key of each."""
    again: bool = False
    """Whether the origin was reached again."""

    @property
    def ends(self) -> bool:
        """Return whether anybody receives the message in the end."""
        return any(_ends(stop) for stop in self.stops.values())


@dataclass(frozen=True, slots=True)
class Unknown:
    """The result for a local address or a Mailbox that does not exist."""

    message: str
    """What does not exist, as a part of a sentence."""


def look_up(local: str, domain: str, reading: Reading) -> Stop | Destination | Unknown:
    """Return what an address in a local domain stands for.

    What is in that domain only comes before what is in all local domains.

    Args:
        local: Local part, normalised; "" finds nothing.
        domain: A local domain, in A-labels.
        reading: Answers questions and records them.
    """
    user = names.bound(local, domain)
    own = reading.node(user)
    if own is not None and addressed(own, reading):
        return own
    exact = reading.address(local, domain)
    if exact is not None:
        return exact
    if reading.claimed(user):
        return Unknown(f"{user} is no address of this server")
    return _in_all_domains(local, domain, reading)


def _in_all_domains(local: str, domain: str, reading: Reading) -> Stop | Destination | Unknown:
    node = reading.node(local)
    on = node is not None and addressed(node, reading)
    general = reading.address(local, "")
    if general is not None and not on:
        return general
    if node is not None and on:
        return node
    if local == POSTMASTER and (destination := reading.postmaster()) is not None:
        return destination
    catch_all = reading.domain(domain)
    if node is not None or catch_all is None or not catch_all.catch_all_mailbox:
        return Unknown(f"{local}@{domain} is no address of this server")
    return Destination(mailbox=catch_all.catch_all_mailbox)


def addressed(node: Node, reading: Reading) -> bool:
    """Return whether a mailbox has an address of its own: in every local domain, or in the one that it is bound to."""
    if node.address is not None:
        return node.address
    return reading.group_addresses() if node.type is MailboxType.GROUP else True


def resolved(destination: Destination, reading: Reading) -> Stop | Unknown:
    """Return the place that a destination leads to, or Unknown."""
    if destination.mailbox:
        node = reading.mailbox(destination.mailbox)
        return node or Unknown(f"there is no Mailbox {destination.mailbox} in force")
    local, _, host = destination.address.rpartition("@")
    domain = names.domain(host)
    if domain is None or names.reserved(domain):
        return Unknown(f"{destination.address} is no address that mail can be sent to")
    known = reading.domain(domain)
    if known is None and domain == reading.hostname():
        return Unknown(f"{destination.address} is at the host of this server, which is no MailDomain")
    if known is None or known.relay is not None:
        return f"{local}@{domain}"
    found = look_up(names.local_part(local) or "", domain, reading)
    if found == destination:  # the postmaster of the MailServer, said to be reached at the postmaster's address
        return Unknown(f"{destination.address} leads back to itself")
    return resolved(found, reading) if isinstance(found, Destination) else found


def steps(stop: Stop, reading: Reading) -> Iterator[Stop | Unknown]:
    """Yield the places that a message goes on to from a place; nothing from one where it ends."""
    match stop:
        case AddressNode():
            yield from (resolved(destination, reading) for destination in stop.destinations)
        case Node(type=MailboxType.GROUP):
            yield from (resolved(Destination(mailbox=name), reading) for name in stop.members)
        case Node():
            yield from (resolved(Destination(address=address), reading) for address in stop.forward)
        case _:
            return


def reach(starts: Iterable[Stop | Unknown], reading: Reading, origin: Stop | None = None) -> Reach:
    """Return all places that can be reached.

    Args:
        starts: The first places; Unknown ones are left out.
        origin: A place that is not followed but noted in `Reach.again`; None for none.
    """
    found = Reach()
    waiting = [start for start in starts if not isinstance(start, Unknown)]
    while waiting:
        stop = waiting.pop()
        if origin is not None and stop == origin:
            found.again = True
            continue
        key = _key(stop)
        if key in found.stops:
            continue
        found.stops[key] = stop
        waiting.extend(step for step in steps(stop, reading) if not isinstance(step, Unknown))
    return found


def keeps(user: Node, reading: Reading) -> tuple[bool, bool]:
    """Return whether mail stays in the mailbox of a user, and whether his forward leads back to it.

    Args:
        user: A mailbox of the type User.
    """
    if not user.forward:
        return True, False
    first = list(steps(user, reading))
    others = [stop for stop in first if stop != user]
    found = reach(others, reading, user)
    kept = user.keep_copy or len(others) < len(first) or found.again or not found.ends
    return kept, found.again


def targets(starts: Iterable[Stop | Unknown], reading: Reading) -> tuple[str, ...]:
    """Return the addresses of all recipients, sorted and unique.

    Returns:
        `names.canonical` of a mailbox, or an address elsewhere.
    """
    found: dict[str, str] = {}
    for stop in reach(starts, reading).stops.values():
        target = ""
        match stop:
            case str():
                target = stop
            case Node(type=MailboxType.PUBLIC):
                target = canonical(stop.user)
            case Node(type=MailboxType.USER):
                target = canonical(stop.user) if _gets(stop, reading) else ""
            case _:
                continue
        if target:
            folded = target.lower()
            found[folded] = min(target, found.get(folded, target))
    return tuple(found[folded] for folded in sorted(found))


def faults(destinations: Iterable[Destination], path: str, key: bool, reading: Reading) -> Verdict | None:  # noqa: FBT001
    """Return a verdict about the first destination that leads to nobody; None when there is none.

    Args:
        path: Path of the list in the spec; the index is added.
        key: Whether the entries are objects, so that `.mailbox` or `.address` is added to the path.
    """
    for index, destination in enumerate(destinations):
        found = resolved(destination, reading)
        if isinstance(found, Unknown):
            last = (".mailbox" if destination.mailbox else ".address") if key else ""
            message = f"{found.message}: it is left out, the rest counts"
            return Verdict(Reason.UNKNOWN_MAILBOX, message, f"{path}[{index}]{last}", effective=True)
    return None


def _gets(user: Node, reading: Reading) -> bool:
    """Return whether mail stays in the mailbox of a user who was reached.

    All that the answer depends on was recorded on the way, so it may be cached without its own record.
    """
    if user.keep_copy or not user.forward:
        return True
    if user.user not in reading.kept:
        reading.kept[user.user] = keeps(user, reading)[0]
    return reading.kept[user.user]


def _key(stop: Stop) -> object:
    match stop:
        case Node():
            return "mailbox", stop.user
        case AddressNode():
            return "address", stop.local, stop.domain
        case str():
            return "outside", stop.lower()


def _ends(stop: Stop) -> bool:
    return isinstance(stop, str) or (isinstance(stop, Node) and stop.type is not MailboxType.GROUP)
