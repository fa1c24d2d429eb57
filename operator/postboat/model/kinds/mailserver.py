"""MailServer: its status is made in `status/server.py`, from what the pods report."""

from typing import Final

from postboat.api.mailserver import MailServerSpec
from postboat.api.resource import Resource
from postboat.model.kinds.rules import KindRules
from postboat.model.references import internal_secret, self_signed_secret, smtp_secret

_SUPPORTED: Final = frozenset(
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
)


def _secrets(resource: Resource) -> frozenset[str]:
    spec = resource.spec
    if not isinstance(spec, MailServerSpec):
        return frozenset()
    used = {internal_secret(resource.name), self_signed_secret(resource.name), smtp_secret(resource.name)}
    if spec.tls is not None and spec.tls.secret_name is not None:
        used.add(spec.tls.secret_name)
    if spec.master_user is not None:
        used.add(spec.master_user.password_secret.name)
    return frozenset(used)


MAIL_SERVER: Final = KindRules(
    "MailServer",
    supported=_SUPPORTED,
    secrets=_secrets,
    status_fields=(
        "conditions",
        "counts",
        "endpoints",
        "hostname",
        "observedGeneration",
        "orphanCount",
        "orphans",
        "stores",
        "tls",
        "workloads",
    ),
)
