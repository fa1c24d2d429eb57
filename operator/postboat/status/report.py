"""The status of every kind but the MailServer, from its verdict and from what the platform made of it.

A report equal to the status that is there is None: nothing is written, and nobody's watch wakes up.
"""

from collections.abc import Mapping
from typing import Any, Final

from postboat.api.mailaddress import MailAddressSpec
from postboat.api.mailbox import MailboxSpec
from postboat.api.maildomain import Delivery, MailDomainSpec
from postboat.api.quantity import write_quantity
from postboat.api.resource import Resource
from postboat.model import names
from postboat.model.platform import UNPLACED, Group, Platform
from postboat.model.signing import record_name
from postboat.model.verdict import Verdict
from postboat.status import conditions
from postboat.status.observation import Moment

_FIELDS: Final = {
    "MailServer": (
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
    "MailAddress": ("addressCount", "addresses", "conditions", "observedGeneration"),
    "MailDomain": ("conditions", "delivery", "dkim", "domain", "observedGeneration"),
    "Mailbox": ("conditions", "observedGeneration", "quota", "store", "type", "username"),
}
LASTING: Final = frozenset({"store", "dkim"})
"""What decisions are made from later: where the mail of a Mailbox lies, and which key the DNS speaks of."""
_MOST_ADDRESSES: Final = 32
"""So many does the schema allow; the count is that of all."""
_COMMON: Final = ("conditions", "observedGeneration")


def report(  # noqa: PLR0913 - what is known of an object
    resource: Resource,
    verdict: Verdict,
    platform: Platform | None,
    moment: Moment,
    *,
    in_force: bool,
    paused: bool = False,
) -> dict[str, Any] | None:
    """Write the status of an object that belongs to a platform, or to none; None when it is there already."""
    ready = conditions.ready(verdict, in_force=in_force and verdict.effective, paused=paused)
    written = (conditions.accepted(verdict), ready)
    return unless_equal(resource, statement(resource, written, moment) | _facts(resource, verdict, platform))


def statement(resource: Resource, written: tuple[conditions.Condition, ...], moment: Moment) -> dict[str, Any]:
    """Write what all statuses have in common."""
    before = resource.status.get("conditions") or ()
    return {
        "observedGeneration": resource.generation,
        "conditions": conditions.merge(before, written, resource.generation, moment.now),
    }


def unless_equal(resource: Resource, status: dict[str, Any]) -> dict[str, Any] | None:
    """Give the status, unless the object has it already; fields that others write do not count.

    It is written as a merge patch, which takes nothing away by itself: what holds no more is None in it.
    """
    there = _own(resource)
    return None if there == status else _patch(there, status)


def _own(resource: Resource) -> dict[str, Any]:
    return {field: resource.status[field] for field in fields_of(resource.kind) if field in resource.status}


def fields_of(kind: str) -> tuple[str, ...]:
    """Name the fields of a status that are written from here."""
    return _FIELDS.get(kind, _COMMON)


def _patch(there: Mapping[str, Any], status: Mapping[str, Any]) -> dict[str, Any]:
    patch: dict[str, Any] = {field: None for field in there if field not in status}
    for field, value in status.items():
        old = there.get(field)
        patch[field] = _patch(old, value) if isinstance(old, Mapping) and isinstance(value, Mapping) else value
    return patch


def _facts(resource: Resource, verdict: Verdict, platform: Platform | None) -> dict[str, Any]:
    if not verdict.effective:
        return _placement(resource)
    if platform is None:
        return {field: value for field, value in _own(resource).items() if field not in _COMMON}
    match resource.spec:
        case MailboxSpec():
            return _mailbox(resource, resource.spec, platform)
        case MailDomainSpec():
            return _domain(resource, resource.spec, platform, verdict)
        case MailAddressSpec():
            return _address(resource, resource.spec, platform)
        case _:
            return {}


def _placement(resource: Resource) -> dict[str, Any]:
    """Keep what a status alone remembers: the store that holds the mail, the key that the DNS speaks of."""
    fields = LASTING & set(fields_of(resource.kind))
    return {field: resource.status[field] for field in fields if resource.status.get(field) is not None}


def _mailbox(resource: Resource, spec: MailboxSpec, platform: Platform) -> dict[str, Any]:
    mailbox = platform.mailbox(names.user(spec.username or resource.name) or "")
    if mailbox is None or mailbox.resource != resource.name:
        return _placement(resource)
    facts = {"username": mailbox.user, "type": spec.effective_type.value}
    if isinstance(mailbox, Group):
        return facts
    facts["quota"] = write_quantity(mailbox.quota)
    return facts if mailbox.shard == UNPLACED else facts | {"store": mailbox.shard}


def _domain(resource: Resource, spec: MailDomainSpec, platform: Platform, verdict: Verdict) -> dict[str, Any]:
    domain = platform.domain(names.domain(spec.domain or resource.name) or "")
    if domain is None or domain.resource != resource.name:
        return {}
    delivery = Delivery.LOCAL if domain.relay is None else Delivery.RELAY
    facts = {"domain": domain.name, "delivery": delivery.value}
    if domain.dkim is None:
        return facts | (_placement(resource) if verdict.path == "spec.dkim" and not verdict.accepted else {})
    dkim = {
        "selector": domain.dkim.selector,
        "name": record_name(domain.dkim.selector, domain.name),
        "record": domain.dkim.record,
        "secretName": domain.dkim.secret,
    }
    return facts | {"dkim": dkim}


def _address(resource: Resource, spec: MailAddressSpec, platform: Platform) -> dict[str, Any]:
    local = names.local_part(spec.local_part or resource.name)
    only = names.domain(spec.domain) if spec.domain is not None else None
    own = {route.domain for route in platform.directory[names.shard(local or "")].routes if route.local == local}
    found = [
        f"{local}@{domain.name}"
        for domain in platform.local_domains
        if (domain.name == only if only is not None else domain.name not in own)
    ]
    return {"addresses": found[:_MOST_ADDRESSES], "addressCount": len(found)}
