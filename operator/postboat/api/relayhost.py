"""A next hop for mail that leaves the platform, chosen by the sender's address or domain, or for all other mail.

An address beats its domain, and both beat the default.
"""

import re
from typing import Annotated, Final

from pydantic import Field

from postboat.api.base import Model, Rule
from postboat.api.conditions import Sentence, Status, Timestamp, Word
from postboat.api.listing import AS_SET
from postboat.api.values import (
    Count,
    Flag,
    Host,
    ObjectName,
    Port,
    RelayHostTls,
    SecretKey,
    SecretKeyRef,
    SenderPattern,
    ServerName,
)

_PROTECTED: Final = frozenset({None, RelayHostTls.REQUIRED, RelayHostTls.VERIFIED, RelayHostTls.DANE})
"""Levels that never fall back to clear text, and the absence of one, which comes to one of them."""
_ADDRESS: Final = r"^[0-9.]+$|:"
"""What is common to IP addresses and to no host name, for Go (CEL) and Python alike."""


class CredentialsSecret(Model):
    """A Secret with the login at the relay host."""

    name: ObjectName
    """Name of the Secret."""
    username_key: SecretKey | None = None
    """Key of the user name; `username` when absent."""
    password_key: SecretKey | None = None
    """Key of the password; `password` when absent."""


class RelayHostSpec(Model):
    """What a relay host should be."""

    server: ServerName | None = None
    """Name of the MailServer in this namespace; the oldest one when absent."""
    host: Host
    """Host name or IP address of the relay host; no MX lookup is made."""
    port: Port | None = None
    """Port; 587 when absent, 465 with implicitTLS."""
    tls: RelayHostTls | None = None
    """None, Opportunistic, Required (encrypt, any certificate), Verified (the certificate must match the host) or DANE
    (it must match TLSA records of the host in a signed zone, RFC 7672; the DNS of the cluster has to validate DNSSEC).
    When absent Verified with credentials, else Required with implicitTLS, else Opportunistic."""
    implicit_tls: Flag | None = None
    """Speak TLS from the first byte (port 465) instead of STARTTLS."""
    ca_secret: SecretKeyRef | None = None
    """Certificates (PEM) of the authority that signed the relay host's certificate; public ones when absent."""
    credentials_secret: CredentialsSecret | None = None
    """Login at the relay host."""
    senders: Annotated[tuple[SenderPattern, ...], Field(max_length=500), AS_SET] = ()
    """Senders whose mail goes this way: addresses like jane@example.com, or domains like @example.com."""
    default: Flag | None = None
    """Take all mail that no other RelayHost takes by its sender."""

    constraints = (
        Rule(
            cel="(has(self.senders) && size(self.senders) > 0) || (has(self.default) && self.default)",
            message="write senders (addresses, or domains like @example.com), or default: true for all other mail",
            holds=lambda spec: bool(spec.senders) or spec.default is True,
            field="senders",
        ),
        Rule(
            cel=(
                "!has(self.implicitTLS) || !self.implicitTLS || !has(self.tls)"
                " || self.tls in ['Required', 'Verified', 'DANE']"
            ),
            message="implicitTLS needs tls Required, Verified or DANE: there is no clear text to fall back to",
            holds=lambda spec: spec.implicit_tls is not True or spec.tls in _PROTECTED,
            field="tls",
        ),
        Rule(
            cel="!has(self.credentialsSecret) || !has(self.tls) || self.tls in ['Required', 'Verified', 'DANE']",
            message="credentialsSecret needs tls Required, Verified or DANE: a password is never sent in clear text",
            holds=lambda spec: spec.credentials_secret is None or spec.tls in _PROTECTED,
            field="tls",
        ),
        Rule(
            cel=f"!has(self.tls) || self.tls != 'DANE' || !self.host.matches('{_ADDRESS}')",
            message="tls DANE needs a host name: an IP address has no TLSA records",
            holds=lambda spec: spec.tls is not RelayHostTls.DANE or not re.search(_ADDRESS, spec.host),
            field="host",
        ),
    )


class DeliveryResult(Model):
    """What became of a message."""

    time: Timestamp | None = None
    """When it was delivered, deferred or refused; written anew after ten minutes where nothing else changes."""
    code: Word | None = None
    """Enhanced status code (RFC 3463)."""
    message: Sentence | None = None
    """What the relay host said, or why it was not reached, without addresses."""


class RelayHostStatus(Status):
    """What is known about a relay host."""

    endpoint: Word | None = None
    """Host and port in force."""
    sender_count: Count | None = None
    """How many addresses and domains lead here, each spelling of a domain counted."""
    last_accepted: DeliveryResult | None = None
    """The last message that it accepted."""
    last_deferred: DeliveryResult | None = None
    """The last message that waits: it answered 4xx, TLS or the login failed, or it was not reached."""
    last_refused: DeliveryResult | None = None
    """The last message that it refused with 5xx; its sender was told."""
