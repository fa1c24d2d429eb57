"""The fields of each kind that have an effect in this version; a new feature adds its fields here.

A path stands for everything below it.
"""

from typing import Final

from postboat.api.fields import fields_in_use, listed
from postboat.api.resource import Refusal, Resource
from postboat.model.verdict import ACCEPTED, Reason, Verdict

_PATHS: Final[dict[str, frozenset[str]]] = {
    "MailServer": frozenset(
        {
            "filter.replicas",
            "hostname",
            "imap.allowClearText",
            "imap.logActions",
            "imap.maxConnectionsPerUserIP",
            "imap.moveDeletedToTrash",
            "imap.protocols",
            "imap.replicas",
            "mailboxes.groupAddresses",
            "mailboxes.junk",
            "mailboxes.publicCreators",
            "mailboxes.quota",
            "mailboxes.quotaWarning",
            "mailboxes.reclaimPolicy",
            "masterUser",
            "paused",
            "pods.filter",
            "pods.imap",
            "pods.smtp",
            "pods.store",
            "pods.valkey",
            "postmaster",
            "service",
            "smtp.helo",
            "smtp.hideClientAddress",
            "smtp.messageSizeLimit",
            "smtp.queue",
            "smtp.queueLifetime",
            "smtp.replicas",
            "smtp.trustedNetworks",
            "storage",
            "tls.secretName",
            "valkey",
        }
    ),
    "MailAddress": frozenset({"destinations", "domain", "internal", "localPart", "server"}),
    "MailDomain": frozenset({"copyTo", "delivery", "dkim", "domain", "relay", "server", "unknownRecipients"}),
    "Mailbox": frozenset(
        {
            "access",
            "address",
            "displayName",
            "forward",
            "internal",
            "junk",
            "members",
            "owners",
            "passwordSecret",
            "quota",
            "reclaimPolicy",
            "server",
            "type",
            "username",
        }
    ),
}


def fields_verdict(resource: Resource) -> Verdict:
    """Accept an object, naming the fields that it sets and that are without effect, known or not."""
    if isinstance(resource.spec, Refusal):
        return Verdict(Reason.INVALID, resource.spec.message, resource.spec.path)
    paths = _PATHS.get(resource.kind)
    if paths is None:
        return Verdict(Reason.NOT_IN_FORCE, f"{resource.kind} is without effect in this version")
    idle = [f"spec.{path}" for path in fields_in_use(resource.spec) if not _covered(path, paths)]
    idle = sorted((*idle, *resource.unknown))
    if not idle:
        return ACCEPTED
    message = f"Without effect in this version: {listed(idle)}."
    return Verdict(Reason.FIELD_NOT_IN_FORCE, message, idle[0], effective=True)


def _covered(path: str, paths: frozenset[str]) -> bool:
    if path in paths:
        return True
    head = path
    while "." in head:
        head = head.rpartition(".")[0]
        if head in paths:
            return True
    return False
