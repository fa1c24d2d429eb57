"""Records what a decision about an address has read, so that a change repeats only the decisions that depend on it.

A look-up without a result is recorded too.
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
    """What a MailServer says about all names."""

    group_addresses: bool = False
    """Whether groups have an address unless they say otherwise."""
    postmaster: Destination | None = None
    """Where mail to the postmaster goes when no mailbox or address has the name; None for nowhere."""
    hostname: str = ""
    """Host name of the MailServer, in lower case; "" for a refused MailServer."""
    public_creators: tuple[str, ...] = ()
    """Names of the Mailboxes whose users may create public mailboxes over IMAP."""


@dataclass(slots=True)
class Facts:
    """What decisions may read."""

    relations: Relations
    book: AddressBook
    domains: Mapping[str, Domain]
    """The domains in force, by name in A-labels."""
    policy: Policy
    claimed: Callable[[str], bool]
    """Returns whether a Mailbox claims a user name, in force or not."""
    kept: dict[str, bool] = field(default_factory=dict)
    """For user names, whether mail stays in the mailbox, as far as it was found out since the last change."""


class Reading:
    """The questions of one decision, with a record of them.

    Attributes:
        seen: The facts that were read: tuples of a topic and its arguments, such as `("node", user)`.
    """

    def __init__(self, facts: Facts) -> None:
        self._facts = facts
        self.seen: set[Hashable] = set()
        self.kept = facts.kept

    def node(self, user: str) -> Node | None:
        """Return the mailbox in force under a user name, or None."""
        self.seen.add(("node", user))
        return self._facts.relations.node(user)

    def claimed(self, user: str) -> bool:
        """Return whether a Mailbox in one domain claims a user name, in force or not."""
        self.seen.add(("node", user))
        return self._facts.claimed(user)

    def mailbox(self, resource: str) -> Node | None:
        """Return the mailbox in force of a Mailbox object, or None.

        Args:
            resource: Name of the object.
        """
        self.seen.add(("mailbox", resource))
        user = self._facts.relations.user(resource)
        return None if user is None else self.node(user)

    def groups(self, resource: str) -> list[str]:
        """Return the user names of the groups that list a Mailbox as a member, sorted.

        Args:
            resource: Name of the Mailbox object.
        """
        self.seen.add(("groups", resource))
        return sorted(self._facts.relations.groups(resource))

    def public_creators(self) -> tuple[str, ...]:
        """Return the names of Mailboxes in `spec.mailboxes.publicCreators`, as they are written."""
        self.seen.add(("policy", "creators"))
        return self._facts.policy.public_creators

    def creates(self, resource: str) -> bool:
        """Return whether a Mailbox is listed in `spec.mailboxes.publicCreators`.

        Args:
            resource: Name of the Mailbox object.
        """
        self.seen.add(("groups", resource))
        return resource in self._facts.policy.public_creators

    def address(self, local: str, domain: str) -> AddressNode | None:
        """Return the MailAddress in force for an address, or None.

        Args:
            local: Local part, normalised.
            domain: Domain in A-labels; "" for the address in all local domains.
        """
        self.seen.add(("address", local, domain))
        return self._facts.book.node(local, domain)

    def domain(self, name: str) -> Domain | None:
        """Return the domain in force of that name (A-labels), or None."""
        self.seen.add(("domain", name))
        return self._facts.domains.get(name)

    def domain_absence(self, name: str) -> Verdict | None:
        """Return why the platform has no addresses in a domain (A-labels); None when it has."""
        self.seen.add(("domain", name))
        return absence(name, self._facts.domains)

    def any_domain(self) -> bool:
        """Return whether there is a local domain; the decision is repeated when the set of domains changes."""
        self.seen.add(("domains",))
        return any(domain.relay is None for domain in self._facts.domains.values())

    def group_addresses(self) -> bool:
        """Return whether groups have an address unless they say otherwise."""
        self.seen.add(("policy", "groups"))
        return self._facts.policy.group_addresses

    def hostname(self) -> str:
        """Return the host name of the MailServer."""
        self.seen.add(("policy", "hostname"))
        return self._facts.policy.hostname

    def postmaster(self) -> Destination | None:
        """Return where mail to the postmaster goes when no mailbox or address has the name; None for nowhere."""
        self.seen.add(("policy", "postmaster"))
        return self._facts.policy.postmaster
