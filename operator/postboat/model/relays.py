"""The servers that domains are handed to: how each is reached, and which certificates it is trusted by.

Domains may ask for one server in different ways: each has its own, whatever another one asks for or lacks.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Final

from postboat.api.maildomain import DomainRelay
from postboat.api.values import OutgoingTls, SecretKeyRef
from postboat.model import certificates
from postboat.model.platform import Relay
from postboat.model.snapshot import SecretContent
from postboat.model.verdict import Reason, Verdict

MOST_BYTES: Final = 512 * 1024
"""So much of the one Secret of the smtp pods may be certificates that relays are trusted by."""
MOST_AUTHORITIES: Final = 200
"""So many different ones may one server be trusted by: their number is written into its next hop (render.tables)."""
_PATH: Final = "spec.relay.caSecret"


class Relays:
    """Settles the relays of a server, those of older domains first; equal certificates count once."""

    def __init__(self, secrets: Mapping[str, SecretContent]) -> None:
        self._secrets = secrets
        self._size = 0
        self._authorities: set[bytes] = set()
        self._ranks: dict[tuple[str, int], dict[bytes, int]] = {}

    def settle(self, spec: DomainRelay) -> tuple[Relay, Verdict | None]:
        """Settle the server that a domain is handed to, and tell what is wrong with its certificates.

        Without the authority that is asked for, no certificate of that server can be right: mail waits.
        """
        tls = spec.tls or OutgoingTls.OPPORTUNISTIC
        relay = Relay(spec.host.lower(), spec.port or 25, tls.value)
        if spec.ca_secret is None:
            return relay, None
        authority = self._authority(spec.ca_secret)
        if tls is not OutgoingTls.VERIFIED:  # nothing is verified, so nothing waits for it
            return relay, authority if isinstance(authority, Verdict) else None
        if not isinstance(authority, Verdict) and not self._fits(relay, authority):
            authority = _too_large(spec.ca_secret.name, relay.host)
        if isinstance(authority, Verdict):
            return replace(relay, waits=True), authority
        return self._trusting(relay, authority), None

    def _authority(self, reference: SecretKeyRef) -> bytes | Verdict:
        secret = self._secrets.get(reference.name)
        if secret is None or not secret.exists:
            message = f"there is no Secret {reference.name}: nothing can be verified with it"
            return Verdict(Reason.SECRET_NOT_FOUND, message, _PATH, effective=True)
        content = secret.data.get(reference.key, b"")
        authority = certificates.only_certificates(content)
        if authority:
            return authority
        reason = Reason.INVALID_SECRET if content else Reason.SECRET_KEY_NOT_FOUND
        message = f"Secret {reference.name} has no certificates (PEM) under {reference.key}: nothing can be verified"
        return Verdict(reason, message, _PATH, effective=True)

    def _fits(self, relay: Relay, authority: bytes) -> bool:
        ranks = self._ranks.get((relay.host, relay.port), {})
        if authority not in ranks and len(ranks) >= MOST_AUTHORITIES:
            return False
        return authority in self._authorities or self._size + len(authority) <= MOST_BYTES

    def _trusting(self, relay: Relay, authority: bytes) -> Relay:
        if authority not in self._authorities:
            self._authorities.add(authority)
            self._size += len(authority)
        ranks = self._ranks.setdefault((relay.host, relay.port), {})
        return replace(relay, authority=authority, rank=ranks.setdefault(authority, len(ranks)))


def _too_large(secret: str, host: str) -> Verdict:
    message = (
        f"the certificates in Secret {secret} do not fit beside those of older domains, {MOST_BYTES // 1024} KiB in all"
        f" and {MOST_AUTHORITIES} for one relay, so nothing can be verified:"
        f" state only the authority that signed the certificate of {host}"
    )
    return Verdict(Reason.TOO_LARGE, message, _PATH, effective=True)
