"""How other servers are reached, in the words of Postfix (smtp_tls_policy_maps in postconf(5))."""

from collections.abc import Mapping
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


def policy(level: str, authority: bytes) -> str:
    """Give the policy of a level; with `authority` (PEM), only its certificates are trusted."""
    return trusting(authority_file(authority)) if authority else WAYS[level]


def trusting(file: str) -> str:
    """Give the policy that trusts what a file of the active configuration signs, and nothing else."""
    return f"{VERIFIED} tafile={ACTIVE}/{file}"


def authority_file(authority: bytes) -> str:
    """Name the file with certificates that servers are trusted by; equal ones are one file."""
    return f"relay-{sha256(authority).hexdigest()}.pem"
