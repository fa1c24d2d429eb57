"""The graph of mailboxes: members of groups, owners of public mailboxes, and forwards."""

from collections.abc import Hashable, Iterable
from dataclasses import dataclass

from postboat.api.mailbox import MailboxSpec, MailboxType
from postboat.api.values import Switch

_NOBODY: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Node:
    """A mailbox that counts, as others see it; what others do not see, like a password, is no part of it."""

    resource: str
    user: str
    type: MailboxType
    members: tuple[str, ...] = ()
    owners: tuple[tuple[str, str], ...] = ()
    forward: tuple[str, ...] = ()
    keep_copy: bool = False
    address: bool | None = None
    internal: bool = False
    limit: int | None = None
    """The store that knows whether a message still fits; None without a quota, and while there is no store."""


def node(resource: str, user: str, spec: MailboxSpec, limit: int | None = None) -> Node:
    """Take from a Mailbox what others see of it; `limit` is as in Node."""
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
    """All mailboxes that count, by user name and by the name of their object."""

    def __init__(self) -> None:
        self._nodes: dict[str, Node] = {}
        self._users: dict[str, str] = {}
        self._groups: dict[str, set[str]] = {}

    def put(self, user: str, new: Node | None) -> set[Hashable]:
        """Take a mailbox as it is now, None when there is none of that name; give the facts that are different."""
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
        """Find a mailbox by its user name."""
        return self._nodes.get(user)

    def user(self, resource: str) -> str | None:
        """Find the user name of a Mailbox that counts."""
        return self._users.get(resource)

    def groups(self, resource: str) -> Iterable[str]:
        """Name the groups that list a Mailbox, by their user names."""
        return self._groups.get(resource, _NOBODY)
