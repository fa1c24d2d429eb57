"""Which MailDomains count, and what each of them is.

Of two objects for one domain the older counts; a domain never fails because of another one.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Final

from postboat.api.maildomain import MailDomainSpec
from postboat.api.resource import Refusal, Resource
from postboat.model import names, signing
from postboat.model.in_force import fields_verdict
from postboat.model.platform import Domain, Wanted, WantedKind
from postboat.model.references import dkim_secret, signs
from postboat.model.relays import Relays
from postboat.model.snapshot import SecretContent
from postboat.model.verdict import DELETING, Key, Reason, Verdict

_MOST_KEYS: Final = 400
"""So many keys of 2048 bits fit into the one Secret that the filter mounts."""
_UNSIGNED: Final = Verdict(
    Reason.TOO_LARGE,
    f"{_MOST_KEYS} older domains sign already, and no more keys fit: mail is delivered, but not signed",
    "spec.dkim",
    effective=True,
)


@dataclass(frozen=True, slots=True)
class Domains:
    """The domains that count, what became of each object, and the DKIM keys that are still to be made."""

    domains: tuple[Domain, ...]
    verdicts: tuple[tuple[Key, Verdict], ...]
    wanted: tuple[Wanted, ...]


def age(resource: Resource) -> tuple[str, str, str]:
    """Order objects by age; an object that is in no cluster yet is the youngest."""
    return resource.created or "9999", resource.uid, resource.name


def resolve_domains(resources: Iterable[Resource], secrets: Mapping[str, SecretContent]) -> Domains:
    """Decide about all MailDomains of a server."""
    owners: dict[str, str] = {}
    relays = Relays(secrets)
    domains: list[Domain] = []
    verdicts: list[tuple[Key, Verdict]] = []
    wanted: list[Wanted] = []
    signed = 0
    for resource in sorted(resources, key=age):
        verdict, domain = _judge(resource, owners, secrets, relays)
        signed += domain is not None and domain.dkim is not None
        if domain is not None and domain.dkim is not None and signed > _MOST_KEYS:
            verdict, domain = _UNSIGNED, replace(domain, dkim=None)
        verdicts.append(((resource.kind, resource.name), verdict))
        if domain is not None:
            owners[domain.name] = resource.name
            domains.append(domain)
            wanted.extend(() if verdict is _UNSIGNED else _wanted(resource, domain))
    return Domains(tuple(sorted(domains, key=lambda domain: domain.name)), tuple(verdicts), tuple(wanted))


def _judge(
    resource: Resource, owners: Mapping[str, str], secrets: Mapping[str, SecretContent], relays: Relays
) -> tuple[Verdict, Domain | None]:
    spec = resource.spec
    if not isinstance(spec, MailDomainSpec):
        message, path = (spec.message, spec.path) if isinstance(spec, Refusal) else ("this is no MailDomain", "")
        return Verdict(Reason.INVALID, message, path), None
    if resource.deleting:
        return DELETING, None
    name = names.domain(spec.domain or resource.name)
    if name is None or names.reserved(name):
        return Verdict(Reason.INVALID, "the domain can have no form in the DNS", "spec.domain"), None
    if name in owners:
        message = f"domain {name} belongs to the older MailDomain {owners[name]}"
        return Verdict(Reason.CONFLICT, message, "spec.domain"), None
    unknown = spec.unknown_recipients
    domain = Domain(
        resource=resource.name,
        name=name,
        spellings=names.spellings(name),
        dkim=None,
        catch_all_mailbox=(unknown.mailbox if unknown is not None else None) or "",
        copy_to=spec.copy_to,
    )
    verdict, domain = _signed(domain, resource, spec, secrets)
    if spec.relay is None:
        return verdict, domain
    relay, fault = relays.settle(spec.relay)
    return fault if fault is not None and verdict.accepted else verdict, replace(domain, relay=relay)


def _signed(
    domain: Domain, resource: Resource, spec: MailDomainSpec, secrets: Mapping[str, SecretContent]
) -> tuple[Verdict, Domain]:
    if not signs(spec):
        return fields_verdict(resource), domain
    if fault := signing.unpublishable(domain.name, spec):
        return fault, domain
    key = signing.from_secret(secrets.get(dkim_secret(resource.name, spec)), resource.name, spec)
    if isinstance(key, Verdict):
        return key, domain
    return fields_verdict(resource), replace(domain, dkim=key)


def _wanted(resource: Resource, domain: Domain) -> Iterator[Wanted]:
    spec = resource.spec
    if not isinstance(spec, MailDomainSpec) or not signs(spec) or domain.dkim is not None:
        return
    if signing.unpublishable(domain.name, spec):
        return
    yield Wanted(WantedKind.DKIM, dkim_secret(resource.name, spec), selector=signing.selector(spec))
