"""The rules of the seven kinds, one module each; whoever needs to know something of a kind asks this table."""

from typing import Final

from postboat.api.fields import fields_in_use, listed
from postboat.api.resource import Refusal, Resource
from postboat.model.kinds.mailaddress import MAIL_ADDRESS
from postboat.model.kinds.mailbox import MAILBOX
from postboat.model.kinds.maildomain import MAIL_DOMAIN
from postboat.model.kinds.mailserver import MAIL_SERVER
from postboat.model.kinds.rules import KindRules
from postboat.model.verdict import ACCEPTED, Reason, Verdict

RULES: Final = {
    rules.kind: rules
    for rules in (
        MAIL_SERVER,
        MAIL_DOMAIN,
        MAILBOX,
        MAIL_ADDRESS,
        KindRules("Connector"),
        KindRules("RelayHost"),
        KindRules("FilterPolicy"),
    )
}
LASTING: Final = frozenset().union(*(rules.lasting for rules in RULES.values()))
"""The lasting fields of all kinds."""


def secret_names(resource: Resource) -> frozenset[str]:
    """Name every Secret that the decision about an object may read."""
    return RULES[resource.kind].secrets(resource)


def fields_verdict(resource: Resource) -> Verdict:
    """Accept an object, naming the fields that it sets and that are without effect, known or not."""
    if isinstance(resource.spec, Refusal):
        return Verdict(Reason.INVALID, resource.spec.message, resource.spec.path)
    supported = RULES[resource.kind].supported
    if supported is None:
        return Verdict(Reason.NOT_IN_FORCE, f"{resource.kind} is without effect in this version")
    idle = [f"spec.{path}" for path in fields_in_use(resource.spec) if not _covered(path, supported)]
    idle = sorted((*idle, *resource.unknown))
    if not idle:
        return ACCEPTED
    message = f"Without effect in this version: {listed(idle)}."
    return Verdict(Reason.FIELD_NOT_IN_FORCE, message, idle[0], effective=True)


def _covered(path: str, paths: frozenset[str]) -> bool:
    parts = path.split(".")
    return any(".".join(parts[:length]) in paths for length in range(1, len(parts) + 1))
