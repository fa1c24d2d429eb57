"""To which MailServer an object belongs.

An object that names none belongs to the only one of its namespace.
"""

from collections.abc import Collection

from postboat.api.mailserver import MailServerSpec
from postboat.api.resource import Refusal, Resource
from postboat.model.verdict import Reason, Verdict


def belonging(resource: Resource, servers: Collection[str]) -> str | Verdict:
    """Give the name of the MailServer among these that an object belongs to, or the reason why there is none.

    A refused spec no longer tells a server, so its object counts to the only one, or to all of them.
    """
    spec = resource.spec
    if isinstance(spec, MailServerSpec):
        return resource.name
    named = None if isinstance(spec, Refusal) else spec.server
    if named is not None:
        if named in servers:
            return named
        return Verdict(Reason.SERVER_NOT_FOUND, f"there is no MailServer {named} in this namespace", "spec.server")
    if isinstance(spec, Refusal):
        return Verdict(Reason.INVALID, spec.message, spec.path)
    match len(servers):
        case 0:
            return Verdict(Reason.SERVER_NOT_FOUND, "there is no MailServer in this namespace yet", "spec.server")
        case 1:
            return next(iter(servers))
        case _:
            return Verdict(
                Reason.SERVER_AMBIGUOUS, "this namespace has several MailServers: name one of them", "spec.server"
            )
