"""How other servers are reached, in the words of Postfix (smtp_tls_policy_maps in postconf(5))."""

from collections.abc import Iterator, Mapping, Sequence
from hashlib import sha256
from typing import Final

from postboat.render.template import ACTIVE

WAYS: Final[Mapping[str, str]] = {
    "Opportunistic": "may",
    "None": "none",
    "Required": "encrypt",
    "Verified": "secure match=nexthop",
}
"""The policy of each level; the first one is how every other server is reached, too."""
VERIFIED: Final = WAYS["Verified"]
DANE: Final = "DANE"
"""The level of relay hosts alone: TLSA records that DNSSEC vouches for, or nothing is sent (RFC 7672)."""
_TO_RELAY_HOSTS: Final[Mapping[str, str]] = {**WAYS, DANE: "dane-only"}
UNKNOWN_HOST: Final = r"{ /^5(\.4\.4 Host or domain name not found.*)/ 4$$1 }"
"""An outcome of a delivery (smtp_delivery_status_filter): mail waits for a host that DNS does not know (yet)."""
_BY_NAME: Final = r"regexp:{ { /^(\[[^]:]*[a-z][^].:]*\]:[0-9]+)$$/ $$1 } }"
"""Finds next hops that are names: an address has a colon, or no letter."""
_TOLD: Final = "regexp:{ { /^none/ none }, { /^(.*)/ $$1 servername=nexthop } }"


def policy(level: str, authority: bytes) -> str:
    """Give the policy of a level of a relay host; with `authority` (PEM), only its certificates are trusted."""
    return trusting(authority_file(authority)) if authority else _TO_RELAY_HOSTS[level]


def telling_names(tables: Sequence[str]) -> Iterator[str]:
    """Give tables of policies for `smtp_tls_policy_maps`: a host that is a name is told its name (SNI; RFC 6066, 3)."""
    yield from (f"pipemap:{{ {_BY_NAME}, {table}, {_TOLD} }}" for table in tables)
    yield from tables


def trusting(file: str) -> str:
    """Give the policy that trusts what a file of the active configuration signs, and nothing else."""
    return f"{VERIFIED} tafile={ACTIVE}/{file}"


def authority_file(authority: bytes) -> str:
    """Name the file with certificates that servers are trusted by; equal ones are one file."""
    return f"relay-{sha256(authority).hexdigest()}.pem"
