"""Mailbox: a person's, a public one, or a group."""

from typing import Any, Final

from postboat.api.mailbox import MailboxSpec
from postboat.api.quantity import write_quantity
from postboat.api.resource import Resource
from postboat.model import names
from postboat.model.kinds.rules import KindRules
from postboat.model.platform import UNPLACED, Group, Platform
from postboat.model.verdict import Verdict

_SUPPORTED: Final = frozenset(
    {
        "access",
        "address",
        "displayName",
        "domain",
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
)


def _secrets(resource: Resource) -> frozenset[str]:
    spec = resource.spec
    if not isinstance(spec, MailboxSpec) or spec.password_secret is None:
        return frozenset()
    return frozenset({spec.password_secret.name})


def _facts(resource: Resource, _verdict: Verdict, platform: Platform) -> dict[str, Any]:
    spec = resource.spec
    if not isinstance(spec, MailboxSpec):
        return {}
    mailbox = platform.mailbox(names.mailbox(spec.username or resource.name, spec.domain) or "")
    if mailbox is None or mailbox.resource != resource.name:
        return MAILBOX.kept(resource)
    facts = {"username": mailbox.user, "type": spec.effective_type.value}
    if isinstance(mailbox, Group):
        return facts
    facts["quota"] = write_quantity(mailbox.quota)
    return facts if mailbox.store == UNPLACED else facts | {"store": mailbox.store}


MAILBOX: Final = KindRules(
    "Mailbox",
    supported=_SUPPORTED,
    secrets=_secrets,
    facts=_facts,
    status_fields=("conditions", "observedGeneration", "quota", "store", "type", "username"),
    lasting=frozenset({"store"}),
)
"""The mail lies on `store`."""
