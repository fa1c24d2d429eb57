"""TLS of Postfix and Dovecot: the cipher suites of both, and the policies of Postfix for other servers.

Policies are values of smtp_tls_policy_maps, see postconf(5).
"""

from collections.abc import Iterator, Mapping, Sequence
from hashlib import sha256
from typing import Final

from postboat.render.template import ACTIVE

CIPHERS: Final = (
    "ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-RSA-AES128-GCM-SHA256:"
    "ECDHE-ECDSA-AES256-GCM-SHA384:ECDHE-RSA-AES256-GCM-SHA384:"
    "ECDHE-ECDSA-CHACHA20-POLY1305:ECDHE-RSA-CHACHA20-POLY1305"
)
"""Mozilla's "intermediate" list without finite-field Diffie-Hellman."""
POLICIES: Final[Mapping[str, str]] = {
    "Opportunistic": "may",
    "None": "none",
    "Required": "encrypt",
    "Verified": "secure match=nexthop",
}
"""The policy of each level of `tls`; the first one also holds for all servers that no object names."""
VERIFIED: Final = POLICIES["Verified"]
DANE: Final = "DANE"
"""The level of relay hosts alone: TLSA records that DNSSEC vouches for, or nothing is sent (RFC 7672)."""
_TO_RELAY_HOSTS: Final[Mapping[str, str]] = {**POLICIES, DANE: "dane-only"}
UNKNOWN_HOST: Final = r"{ /^5(\.4\.4 Host or domain name not found.*)/ 4$$1 }"
"""An outcome of a delivery (smtp_delivery_status_filter): mail waits for a host that DNS does not know (yet)."""
_BY_NAME: Final = r"regexp:{ { /^(\[[^]:]*[a-z][^].:]*\]:[0-9]+)$$/ $$1 } }"
"""Matches next hops that are host names: an IP address has a colon, or no letter."""
_WITH_SERVER_NAME: Final = "regexp:{ { /^none/ none }, { /^(.*)/ $$1 servername=nexthop } }"


def policy(level: str, authority: bytes) -> str:
    """Return the policy for a relay host.

    Args:
        level: `None`, `Opportunistic`, `Required`, `Verified` or `DANE`.
        authority: CA certificates, PEM: only these are trusted, whatever the level; b"" for the public ones.
    """
    return trusting_only(authority_file(authority)) if authority else _TO_RELAY_HOSTS[level]


def with_server_names(tables: Sequence[str]) -> Iterator[str]:
    """Yield the tables for `smtp_tls_policy_maps` that also send SNI to next hops that are host names (RFC 6066, 3).

    Args:
        tables: Tables of policies by next hop, as `TYPE:NAME`.
    """
    yield from (f"pipemap:{{ {_BY_NAME}, {table}, {_WITH_SERVER_NAME} }}" for table in tables)
    yield from tables


def trusting_only(file: str) -> str:
    """Return the policy that trusts only the CA certificates in a file.

    Args:
        file: Name of a file of the active configuration.
    """
    return f"{VERIFIED} tafile={ACTIVE}/{file}"


def authority_file(authority: bytes) -> str:
    """Return the name of the file with these CA certificates; equal ones have one file.

    Args:
        authority: PEM.
    """
    return f"relay-{sha256(authority).hexdigest()}.pem"
