"""What mailboxes say about each other: members of groups and owners of public mailboxes.

A decision reads through a `Reading`, which remembers every fact it looked at, found or not.
"""

from collections.abc import Hashable, Iterable
from dataclasses import dataclass

from postboat.api.mailbox import MailboxSpec, MailboxType
from postboat.model.platform import Owner
from postboat.model.verdict import Reason, Verdict

_NOBODY: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Node:
    """A mailbox that counts, as others see it; what others do not see, like a password, is no part of it."""

    resource: str
    user: str
    type: MailboxType
    members: tuple[str, ...] = ()
    owners: tuple[tuple[str, str], ...] = ()


def node(resource: str, user: str, spec: MailboxSpec) -> Node:
    """Take from a Mailbox what others see of it."""
    owners = tuple((owner.name, (owner.rights or "Full")) for owner in spec.owners)
    return Node(resource, user, spec.effective_type, spec.members, owners)


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


class Reading:
    """One decision's look at the relations, and all that it has seen."""

    def __init__(self, relations: Relations) -> None:
        self._relations = relations
        self.facts: set[Hashable] = set()

    def node(self, user: str) -> Node | None:
        """Find a mailbox by its user name."""
        self.facts.add(("node", user))
        return self._relations.node(user)

    def mailbox(self, resource: str) -> Node | None:
        """Find a mailbox by the name of its object."""
        self.facts.add(("mailbox", resource))
        user = self._relations.user(resource)
        return None if user is None else self.node(user)

    def groups(self, resource: str) -> list[str]:
        """Name the groups that list a Mailbox, by their user names."""
        self.facts.add(("groups", resource))
        return sorted(self._relations.groups(resource))


def groups_of(start: Node, reading: Reading) -> tuple[str, ...]:
    """Name all groups that a mailbox is in, directly or through others."""
    found: set[str] = set()
    waiting = [start]
    while waiting:
        for user in reading.groups(waiting.pop().resource):
            group = reading.node(user)
            if group is not None and user not in found:
                found.add(user)
                waiting.append(group)
    return tuple(sorted(found))


def members_of(group: Node, reading: Reading) -> tuple[tuple[str, ...], Verdict | None]:
    """Name all users of a group, those of groups in it among them, and say what is wrong with its members."""
    users: set[str] = set()
    seen = {group.user}
    waiting = [group]
    fault: Verdict | None = None
    cycle = False
    while waiting:
        inner = waiting.pop()
        for index, name in enumerate(inner.members):
            member = reading.mailbox(name)
            if member is None:
                if inner is group and fault is None:
                    fault = _unknown(name, f"spec.members[{index}]")
            elif member.type is MailboxType.USER:
                users.add(member.user)
            elif member.type is MailboxType.GROUP and member.user not in seen:
                seen.add(member.user)
                waiting.append(member)
            cycle = cycle or (member is not None and member.user == group.user)
    return tuple(sorted(users)), fault or (_circular() if cycle else None)


def owners_of(public: Node, reading: Reading) -> tuple[tuple[Owner, ...], Verdict | None]:
    """Name the owners of a public mailbox and their rights, and say what is wrong with them."""
    owners: list[Owner] = []
    fault: Verdict | None = None
    for index, (name, rights) in enumerate(public.owners):
        path = f"spec.owners[{index}].name"
        owner = reading.mailbox(name)
        if owner is None:
            fault = fault or _unknown(name, path)
        elif owner.type is MailboxType.PUBLIC:
            message = f"Mailbox {name} is public and can own nothing: name a Group or a User"
            fault = fault or Verdict(Reason.INVALID, message, path, effective=True)
        else:
            owners.append(Owner(owner.user, owner.type is MailboxType.GROUP, rights))
    return tuple(sorted(owners, key=lambda owner: owner.user)), fault


def _unknown(name: str, path: str) -> Verdict:
    message = f"there is no Mailbox {name} in force: it is left out, the rest counts"
    return Verdict(Reason.UNKNOWN_MAILBOX, message, path, effective=True)


def _circular() -> Verdict:
    message = "the group leads back to itself through its members; everybody in it still gets each message once"
    return Verdict(Reason.CYCLE, message, "spec.members", effective=True)
