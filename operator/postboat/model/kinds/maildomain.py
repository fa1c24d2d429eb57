"""MailDomain: a domain of the platform, or one that another server gets."""

from collections.abc import Sequence
from typing import Any, Final

from postboat.api.maildomain import Delivery, MailDomainSpec
from postboat.api.resource import Resource
from postboat.model import names
from postboat.model.domains import resolve_domains
from postboat.model.kinds.rules import Around, KindRules, Settled
from postboat.model.platform import Platform
from postboat.model.references import dkim_secret, filter_secret, signs
from postboat.model.signing import record_name
from postboat.model.verdict import Verdict

_SUPPORTED: Final = frozenset({"copyTo", "delivery", "dkim", "domain", "relay", "server", "unknownRecipients"})


def _secrets(resource: Resource) -> frozenset[str]:
    spec = resource.spec
    if not isinstance(spec, MailDomainSpec):
        return frozenset()
    used = {dkim_secret(resource.name, spec)} if signs(spec) else set()
    if spec.relay is not None and spec.relay.ca_secret is not None:
        used.add(spec.relay.ca_secret.name)
    return frozenset(used)


def _platform_secrets(server: str) -> frozenset[str]:
    return frozenset({filter_secret(server)})  # the keys in force are there


def _settle(resources: Sequence[Resource], around: Around) -> Settled:
    found = resolve_domains(resources, around.secrets, around.server, MAIL_DOMAIN.verdict)
    return Settled(found.domains, found.verdicts, found.wanted, found.sought)


def _facts(resource: Resource, verdict: Verdict, platform: Platform) -> dict[str, Any]:
    spec = resource.spec
    if not isinstance(spec, MailDomainSpec):
        return {}
    domain = platform.domain(names.domain(spec.domain or resource.name) or "")
    if domain is None or domain.resource != resource.name:
        return {}
    delivery = Delivery.LOCAL if domain.relay is None else Delivery.RELAY
    facts = {"domain": domain.name, "delivery": delivery.value}
    if domain.dkim is None:
        return facts | (MAIL_DOMAIN.kept(resource) if verdict.path == "spec.dkim" and not verdict.accepted else {})
    dkim = {
        "selector": domain.dkim.selector,
        "name": record_name(domain.dkim.selector, domain.name),
        "record": domain.dkim.record,
        "secretName": domain.dkim.secret,
    }
    return facts | {"dkim": dkim}


MAIL_DOMAIN: Final = KindRules(
    "MailDomain",
    supported=_SUPPORTED,
    secrets=_secrets,
    facts=_facts,
    status_fields=("conditions", "delivery", "dkim", "domain", "observedGeneration"),
    lasting=frozenset({"dkim"}),
    settle=_settle,
    part="domains",
    platform_secrets=_platform_secrets,
)
"""The DNS speaks of the key in `dkim`."""
