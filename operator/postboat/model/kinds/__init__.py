"""The rules of the seven kinds, one module each, in one table."""

from typing import Final

from postboat.api.resource import Resource
from postboat.model.kinds.mailaddress import MAIL_ADDRESS
from postboat.model.kinds.mailbox import MAILBOX
from postboat.model.kinds.maildomain import MAIL_DOMAIN
from postboat.model.kinds.mailserver import MAIL_SERVER
from postboat.model.kinds.relayhost import RELAY_HOST
from postboat.model.kinds.rules import KindRules
from postboat.model.verdict import Verdict

RULES: Final = {
    rules.kind: rules
    for rules in (
        MAIL_SERVER,
        MAIL_DOMAIN,
        MAILBOX,
        MAIL_ADDRESS,
        KindRules("Connector"),
        RELAY_HOST,
        KindRules("FilterPolicy"),
    )
}
SETTLED_TOGETHER: Final = tuple(kind for kind in RULES if kind not in {"MailServer", "Mailbox", "MailAddress"})
"""The kinds whose objects are decided about together, since there are few.

`server_config` and `directory` decide about the others.
"""
LASTING: Final = frozenset().union(*(rules.lasting for rules in RULES.values()))
"""The lasting status fields of all kinds."""


def secret_names(resource: Resource) -> frozenset[str]:
    """Return the names of all Secrets that the decision about an object may read, existing or not."""
    return RULES[resource.kind].secrets(resource)


def fields_verdict(resource: Resource) -> Verdict:
    """Return the verdict about the fields of an object: accepted, and which of them have no effect in this version."""
    return RULES[resource.kind].verdict(resource)
