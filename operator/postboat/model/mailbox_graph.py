"""The graph of mailboxes: members of groups, owners of public mailboxes, and forwards."""

from collections.abc import Hashable, Iterable
from dataclasses import dataclass

from postboat.api.mailbox import MailboxSpec, MailboxType
from postboat.api.values import Switch

_NOBODY: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Node:
    """A mailbox in force, as decisions about other objects see it.

    A change of anything else, such as the password, does not affect them.
    """

    resource: str
    """Name of the Mailbox object."""
    user: str
    """User name, with its domain if it is bound to one."""
    type: MailboxType
    members: tuple[str, ...] = ()
    """Of a group: names of Mailbox objects, as they are written."""
    owners: tuple[tuple[str, str], ...] = ()
    """Of a public mailbox: name of the Mailbox object and rights (Read, ReadWrite, Full)."""
    forward: tuple[str, ...] = ()
    """Addresses that mail is forwarded to, as they are written."""
    keep_copy: bool = False
    """Whether forwarded mail also stays in the mailbox."""
    address: bool | None = None
    """Whether it has an address of its own; None when the default of the MailServer applies."""
    internal: bool = False
    """Whether only users of the platform may send to it."""
    limit: int | None = None
    """Number of the store to ask whether a message fits; None without a quota, and while it has no store."""


def node(resource: str, user: str, spec: MailboxSpec, limit: int | None = None) -> Node:
    """Return the node of a Mailbox.

    Args:
        resource: Name of the Mailbox object.
        user: User name, with its domain if it is bound to one.
        limit: As in Node.
    """
    owners = tuple((owner.name, (owner.rights or "Full")) for owner in spec.owners)
    forward = spec.forward
    return Node(
        resource=resource,
        user=user,
        type=spec.effective_type,
        members=spec.members,
        owners=owners,
        forward=forward.to if forward is not None else (),
        keep_copy=forward is not None and bool(forward.keep_copy),
        address=None if spec.address is None else spec.address is Switch.ENABLED,
        internal=bool(spec.internal),
        limit=limit,
    )


class Relations:
    """All mailboxes in force, by user name and by name of the object."""

    def __init__(self) -> None:
        self._nodes: dict[str, Node] = {}
        self._users: dict[str, str] = {}
        self._groups: dict[str, set[str]] = {}

    def put(self, user: str, new: Node | None) -> set[Hashable]:
        """Insert, replace or remove a mailbox.

        Args:
            user: Its user name.
            new: The mailbox; None when there is none of that name any more.

        Returns:
            The facts that have changed, as `dependencies.Reading.seen` records them.
        """
        old = self._nodes.pop(user, None)
        if new is not None:
            self._nodes[user] = new
        if old == new:
            return set()
        changed: set[Hashable] = {("node", user)}
        if old is not None and self._users.get(old.resource) == user:
            del self._users[old.resource]
            changed.add(("mailbox", old.resource))
        if new is not None:
            self._users[new.resource] = user
            changed.add(("mailbox", new.resource))
        before, after = set(old.members if old else ()), set(new.members if new else ())
        for member in before - after:
            self._groups[member].discard(user)
            if not self._groups[member]:
                del self._groups[member]
        for member in after - before:
            self._groups.setdefault(member, set()).add(user)
        return changed | {("groups", member) for member in before ^ after}

    def node(self, user: str) -> Node | None:
        """Return the mailbox of a user name, or None."""
        return self._nodes.get(user)

    def user(self, resource: str) -> str | None:
        """Return the user name of a Mailbox object in force, or None."""
        return self._users.get(resource)

    def groups(self, resource: str) -> Iterable[str]:
        """Return the user names of the groups that list a Mailbox object as a member."""
        return self._groups.get(resource, _NOBODY)
