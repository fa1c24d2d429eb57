"""Members of groups, owners of public mailboxes, and who may create some; groups may contain groups."""

from collections.abc import Iterable

from postboat.api.mailbox import MailboxType
from postboat.model.dependencies import Reading
from postboat.model.mailbox_graph import Node
from postboat.model.platform import Owner
from postboat.model.verdict import Reason, Verdict


def groups_of(start: Node, reading: Reading) -> tuple[str, ...]:
    """Return the user names of all groups that a mailbox is in, directly or through others, sorted."""
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
    """Return the user names of all users in a group, sorted, and a verdict about its members, or None.

    Users of groups inside the group are included.
    """
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
    """Return the owners of a public mailbox, sorted by user name, and a verdict about them, or None."""
    owners: list[Owner] = []
    fault: Verdict | None = None
    for index, (name, rights) in enumerate(public.owners):
        path = f"spec.owners[{index}].name"
        owner = reading.mailbox(name)
        if owner is None:
            fault = fault or _unknown(name, path)
        elif owner.type is MailboxType.PUBLIC:
            message = f"Mailbox {name} is public and cannot own mail: name a Group or a User"
            fault = fault or Verdict(Reason.INVALID, message, path, effective=True)
        else:
            owners.append(Owner(owner.user, owner.type is MailboxType.GROUP, rights))
    return tuple(sorted(owners, key=lambda owner: owner.user)), fault


def creates(person: Node, groups: Iterable[str], reading: Reading) -> bool:
    """Return whether a user may create public mailboxes, by himself or as a member of a group.

    Args:
        groups: User names of all groups that he is in.
    """
    nodes = (person, *(reading.node(group) for group in groups))
    return any(node is not None and reading.creates(node.resource) for node in nodes)


def creators_fault(reading: Reading) -> Verdict | None:
    """Return a verdict about the first wrong entry of `spec.mailboxes.publicCreators`; None when all are right."""
    for index, name in enumerate(reading.public_creators()):
        path = f"spec.mailboxes.publicCreators[{index}]"
        creator = reading.mailbox(name)
        if creator is None:
            return _unknown(name, path)
        if creator.type is MailboxType.PUBLIC:
            message = f"Mailbox {name} is public and cannot create folders: name a Group or a User"
            return Verdict(Reason.INVALID, message, path, effective=True)
    return None


def _unknown(name: str, path: str) -> Verdict:
    message = f"there is no Mailbox {name} in force: it is left out, the rest counts"
    return Verdict(Reason.UNKNOWN_MAILBOX, message, path, effective=True)


def _circular() -> Verdict:
    message = "the group leads back to itself through its members; everybody in it still gets each message once"
    return Verdict(Reason.CYCLE, message, "spec.members", effective=True)
