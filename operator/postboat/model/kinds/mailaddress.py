"""MailAddress: one address, in one domain or in all local ones, and where its mail goes."""

from typing import Any, Final

from postboat.api.mailaddress import MailAddressSpec
from postboat.api.resource import Resource
from postboat.model import names
from postboat.model.kinds.rules import KindRules
from postboat.model.platform import Platform
from postboat.model.verdict import Verdict

_SUPPORTED: Final = frozenset({"destinations", "domain", "internal", "localPart", "server"})
_MOST_ADDRESSES: Final = 32
"""So many does the schema allow; the count is that of all."""


def _facts(resource: Resource, _verdict: Verdict, platform: Platform) -> dict[str, Any]:
    spec = resource.spec
    if not isinstance(spec, MailAddressSpec):
        return {}
    local = names.local_part(spec.local_part or resource.name)
    only = names.domain(spec.domain) if spec.domain is not None else None
    own = {route.domain for route in platform.directory[names.shard(local or "")].routes if route.local == local}
    found = [
        f"{local}@{domain.name}"
        for domain in platform.local_domains
        if (domain.name == only if only is not None else domain.name not in own)
    ]
    return {"addresses": found[:_MOST_ADDRESSES], "addressCount": len(found)}


MAIL_ADDRESS: Final = KindRules(
    "MailAddress",
    supported=_SUPPORTED,
    facts=_facts,
    status_fields=("addressCount", "addresses", "conditions", "observedGeneration"),
)
