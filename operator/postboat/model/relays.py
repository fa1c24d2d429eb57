"""The servers that domains are relayed to: how each is reached, and which CA certificates it is verified with.

Several domains may use one server with different settings; each keeps its own.
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
"""Bytes of CA certificates for relays in the one Secret of the smtp pods."""
MOST_AUTHORITIES: Final = 200
"""Different CA files for one host and port; their number is encoded in the next hop (render.tables)."""
_PATH: Final = "spec.relay.caSecret"


class Relays:
    """Decides about the relays of a MailServer, those of older domains first; equal CA files count once.

    Args:
        secrets: Contents of Secrets by name.
    """

    def __init__(self, secrets: Mapping[str, SecretContent]) -> None:
        self._secrets = secrets
        self._size = 0
        self._authorities: set[bytes] = set()
        self._ranks: dict[tuple[str, int], dict[bytes, int]] = {}

    def settle(self, spec: DomainRelay) -> tuple[Relay, Verdict | None]:
        """Return the relay of a domain, and a verdict that says what is wrong with its CA certificates, or None.

        When the level is Verified and the CA certificates are missing, no certificate can be valid: mail waits in the
        queue.
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
