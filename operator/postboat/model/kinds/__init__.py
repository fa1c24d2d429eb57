"""The rules of the seven kinds, one module each; whoever needs to know something of a kind asks this table."""

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
"""The kinds whose few objects are decided about together; all others are in `server_config` and `directory`."""
LASTING: Final = frozenset().union(*(rules.lasting for rules in RULES.values()))
"""The lasting fields of all kinds."""


def secret_names(resource: Resource) -> frozenset[str]:
    """Name every Secret that the decision about an object may read."""
    return RULES[resource.kind].secrets(resource)


def fields_verdict(resource: Resource) -> Verdict:
    """Accept an object, naming the fields that it sets and that are without effect, known or not."""
    return RULES[resource.kind].verdict(resource)
