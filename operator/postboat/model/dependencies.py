"""Records what a decision about an address has read, so that a change judges again only what depends on it.

A look-up that found nothing is recorded as well.
"""

from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass, field

from postboat.model.addresses import AddressBook, AddressNode, Destination
from postboat.model.domains import absence
from postboat.model.mailbox_graph import Node, Relations
from postboat.model.platform import Domain
from postboat.model.verdict import Verdict


@dataclass(frozen=True, slots=True)
class Policy:
    """What the MailServer says about all addresses, and which Mailboxes may make public ones over IMAP."""

    group_addresses: bool = False
    postmaster: Destination | None = None
    hostname: str = ""
    public_creators: tuple[str, ...] = ()


@dataclass(slots=True)
class Facts:
    """All that can be looked at."""

    relations: Relations
    book: AddressBook
    domains: Mapping[str, Domain]
    policy: Policy
    claimed: Callable[[str], bool]
    """Whether a Mailbox claims a user name, be it in force or not."""
    kept: dict[str, bool] = field(default_factory=dict)
    """Whether mail stays with a user, as far as that was found out since anything changed."""


class Reading:
    """One look, and all that it has seen."""

    def __init__(self, facts: Facts) -> None:
        self._facts = facts
        self.seen: set[Hashable] = set()
        self.kept = facts.kept

    def node(self, user: str) -> Node | None:
        """Find a mailbox by its user name."""
        self.seen.add(("node", user))
        return self._facts.relations.node(user)

    def claimed(self, user: str) -> bool:
        """Tell whether a Mailbox in one domain claims a user name, be it in force or not."""
        self.seen.add(("node", user))
        return self._facts.claimed(user)

    def mailbox(self, resource: str) -> Node | None:
        """Find a mailbox by the name of its object."""
        self.seen.add(("mailbox", resource))
        user = self._facts.relations.user(resource)
        return None if user is None else self.node(user)

    def groups(self, resource: str) -> list[str]:
        """Name the groups that list a Mailbox, by their user names."""
        self.seen.add(("groups", resource))
        return sorted(self._facts.relations.groups(resource))

    def public_creators(self) -> tuple[str, ...]:
        """Name the Mailboxes that may make public mailboxes, as they are written."""
        self.seen.add(("policy", "creators"))
        return self._facts.policy.public_creators

    def creates(self, resource: str) -> bool:
        """Tell whether a Mailbox is named among those that may make public mailboxes, which is like a group of them."""
        self.seen.add(("groups", resource))
        return resource in self._facts.policy.public_creators

    def address(self, local: str, domain: str) -> AddressNode | None:
        """Find the MailAddress that has an address; the empty domain means all of them."""
        self.seen.add(("address", local, domain))
        return self._facts.book.node(local, domain)

    def domain(self, name: str) -> Domain | None:
        """Find a domain by its normalised name."""
        self.seen.add(("domain", name))
        return self._facts.domains.get(name)

    def domain_absence(self, name: str) -> Verdict | None:
        """Say why there can be no address of ours in a domain, None when there can."""
        self.seen.add(("domain", name))
        return absence(name, self._facts.domains)

    def any_domain(self) -> bool:
        """Tell whether there is a local domain at all; whoever asks is asked again when the set is another one."""
        self.seen.add(("domains",))
        return any(domain.relay is None for domain in self._facts.domains.values())

    def group_addresses(self) -> bool:
        """Whether groups have an address unless they say otherwise."""
        self.seen.add(("policy", "groups"))
        return self._facts.policy.group_addresses

    def hostname(self) -> str:
        """Give the name of the server itself."""
        self.seen.add(("policy", "hostname"))
        return self._facts.policy.hostname

    def postmaster(self) -> Destination | None:
        """Where mail to the postmaster goes when nobody has that name."""
        self.seen.add(("policy", "postmaster"))
        return self._facts.policy.postmaster
