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
        missing = f"there is no MailServer {named} in this namespace"
        return named if named in servers else Verdict(Reason.SERVER_NOT_FOUND, missing, "spec.server")
    if isinstance(spec, Refusal):
        return Verdict(Reason.INVALID, spec.message, spec.path)
    if len(servers) == 1:
        return next(iter(servers))
    if servers:
        message = "this namespace has several MailServers: name one of them"
        return Verdict(Reason.SERVER_AMBIGUOUS, message, "spec.server")
    return Verdict(Reason.SERVER_NOT_FOUND, "there is no MailServer in this namespace yet", "spec.server")
