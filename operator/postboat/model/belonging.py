"""To which MailServer an object belongs.

An object that names none belongs to the oldest one of its namespace, so that another one takes nothing away from it.
"""

from collections.abc import Iterable, Iterator, Sequence

from postboat.api.mailserver import MailServerSpec
from postboat.api.resource import Refusal, Resource
from postboat.model.verdict import Reason, Verdict


def belonging(resource: Resource, servers: Sequence[str]) -> str | Verdict:
    """Give the name of the MailServer among these, the oldest first, that an object belongs to, or why there is none.

    A refused spec no longer tells a server, so its object counts to all of them.
    """
    spec = resource.spec
    if isinstance(spec, MailServerSpec):
        return resource.name
    named = None if isinstance(spec, Refusal) else spec.server
    if named is not None:
        missing = f"there is no MailServer {named} in this namespace"
        return named if named in servers else Verdict(Reason.SERVER_NOT_FOUND, missing, "spec.server")
    if isinstance(spec, Refusal):
        return Verdict(Reason.INVALID, spec.message, spec.path)
    if servers:
        return servers[0]
    return Verdict(Reason.SERVER_NOT_FOUND, "there is no MailServer in this namespace yet", "spec.server")


def is_unowned(resource: Resource, servers: Sequence[str]) -> bool:
    """Return whether an object belongs to no MailServer; MailServers of the namespace report other faults themselves.

    Args:
        servers: Names of the MailServers of its namespace, oldest first.
    """
    where = belonging(resource, servers)
    return isinstance(where, Verdict) and (where.reason is Reason.SERVER_NOT_FOUND or not servers)


def moved(resources: Iterable[Resource], old: Sequence[str], new: Sequence[str]) -> Iterator[Resource]:
    """Give the objects that belong elsewhere with these MailServers than with those, or are told something else."""
    return (resource for resource in resources if belonging(resource, old) != belonging(resource, new))
