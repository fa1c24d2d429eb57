"""Which MailDomains are in force, and their effective settings.

Of two objects for one domain the older one is in force; a fault of one domain does not affect another.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Final

from postboat.api.maildomain import MailDomainSpec
from postboat.api.resource import Refusal, Resource
from postboat.model import names
from postboat.model.platform import Domain, Wanted
from postboat.model.references import signs
from postboat.model.relays import Relays
from postboat.model.signing import Signing, settle
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
    """The result for all MailDomains of a MailServer."""

    domains: tuple[Domain, ...]
    """The domains in force, sorted by name."""
    verdicts: tuple[tuple[Key, Verdict], ...]
    wanted: tuple[Wanted, ...]
    """DKIM keys that have to be generated."""
    sought: frozenset[str] = frozenset()
    """Names of Secrets to read once, since a key in force may be in them."""


def absence(name: str, domains: Mapping[str, Domain]) -> Verdict | None:
    """Return why the platform has no addresses in a domain; None when it has.

    Args:
        name: A domain as `names.domain` returns it.
        domains: The domains in force, by that name.
    """
    domain = domains.get(name)
    if domain is not None and domain.relay is None:
        return None
    what = "no MailDomain in force states" if domain is None else "another server has all addresses of"
    return Verdict(Reason.DOMAIN_NOT_FOUND, f"{what} {name}", "spec.domain")


def age(resource: Resource) -> tuple[str, str, str]:
    """Return a sort key that puts older objects first; an object that is in no cluster is the youngest."""
    return resource.created or "9999", resource.uid, resource.name


def resolve_domains(
    resources: Iterable[Resource],
    secrets: Mapping[str, SecretContent],
    server: str,
    own_verdict: Callable[[Resource], Verdict],
) -> Domains:
    """Decide about all MailDomains of a MailServer.

    Args:
        resources: The MailDomains that belong to it.
        secrets: Contents of Secrets by name.
        server: Name of the MailServer.
        own_verdict: Returns the verdict about the fields of one object.
    """
    owners: dict[str, str] = {}
    relays = Relays(secrets)
    domains: list[Domain] = []
    verdicts: list[tuple[Key, Verdict]] = []
    wanted: list[Wanted] = []
    sought: set[str] = set()
    signed = 0
    for resource in sorted(resources, key=age):
        verdict, domain, signing = _judge(resource, owners, secrets, (relays, server, own_verdict))
        signed += domain is not None and domain.dkim is not None
        if domain is not None and domain.dkim is not None and signed > _MOST_KEYS:
            verdict, domain = _UNSIGNED, replace(domain, dkim=None)
        verdicts.append(((resource.kind, resource.name), verdict))
        if domain is not None:
            owners[domain.name] = resource.name
            domains.append(domain)
            wanted.extend(signing.wanted)
            sought.update(signing.sought)
    found = tuple(sorted(domains, key=lambda domain: domain.name))
    return Domains(found, tuple(verdicts), tuple(wanted), frozenset(sought))


def _judge(
    resource: Resource,
    owners: Mapping[str, str],
    secrets: Mapping[str, SecretContent],
    around: tuple[Relays, str, Callable[[Resource], Verdict]],
) -> tuple[Verdict, Domain | None, Signing]:
    relays, server, own_verdict = around
    spec = resource.spec
    if not isinstance(spec, MailDomainSpec):
        message, path = (spec.message, spec.path) if isinstance(spec, Refusal) else ("this is no MailDomain", "")
        return Verdict(Reason.INVALID, message, path), None, Signing()
    if resource.deleting:
        return DELETING, None, Signing()
    name = names.domain(spec.domain or resource.name)
    if name is None or names.reserved(name):
        return Verdict(Reason.INVALID, "the domain is not a valid DNS name", "spec.domain"), None, Signing()
    if name in owners:
        message = f"domain {name} belongs to the older MailDomain {owners[name]}"
        return Verdict(Reason.CONFLICT, message, "spec.domain"), None, Signing()
    unknown = spec.unknown_recipients
    domain = Domain(
        resource=resource.name,
        name=name,
        spellings=names.spellings(name),
        dkim=None,
        catch_all_mailbox=(unknown.mailbox if unknown is not None else None) or "",
        copy_to=spec.copy_to,
    )
    signing = settle(name, resource, secrets, server) if signs(spec) else Signing()
    domain = replace(domain, dkim=signing.key)
    verdict = signing.fault or own_verdict(resource)
    if spec.relay is None:
        return verdict, domain, signing
    relay, fault = relays.settle(spec.relay)
    return fault if fault is not None and verdict.accepted else verdict, replace(domain, relay=relay), signing
