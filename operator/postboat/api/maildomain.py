"""A mail domain: which domain it is, and what becomes of mail to it and from it.

The domain is `spec.domain`, or the name of the object where that is absent.
"""

from enum import StrEnum
from typing import Annotated

from pydantic import Field, StringConstraints

from postboat.api.base import Model, Rule
from postboat.api.conditions import Sentence, Status, Timestamp, Word
from postboat.api.listing import AS_SET, keyed_by
from postboat.api.values import (
    TEXT,
    DomainName,
    Duration,
    EmailAddress,
    Flag,
    Host,
    ObjectName,
    OutgoingTls,
    Port,
    SecretKeyRef,
    Selector,
    ServerName,
)

Markdown = Annotated[str, StringConstraints(pattern=TEXT, min_length=1, max_length=16384)]


class Delivery(StrEnum):
    """Where mail to the domain goes."""

    LOCAL = "Local"
    RELAY = "Relay"


class UnknownAction(StrEnum):
    """What becomes of mail to an address that does not exist."""

    REJECT = "Reject"
    DELIVER = "Deliver"


class DomainRelay(Model):
    """The mail server that takes over mail to the domain."""

    host: Host
    """Host name or IP address of the other mail server; no MX lookup is made."""
    port: Port | None = None
    """Port of the other mail server; 25 when absent."""
    tls: OutgoingTls | None = None
    """None, Opportunistic (when absent), Required (encrypt, any certificate) or Verified (it must match the host)."""
    ca_secret: SecretKeyRef | None = None
    """Certificates (PEM) of the authority that signed the other server's certificate; public ones when absent."""


class UnknownRecipients(Model):
    """What becomes of mail to an address of the domain that does not exist."""

    action: UnknownAction
    """Reject refuses it with 550 5.1.1; Deliver gives it to a catch-all mailbox."""
    mailbox: ObjectName | None = None
    """Name of the Mailbox that takes it, with action Deliver."""

    constraints = (
        Rule(
            cel="(self.action == 'Deliver') == has(self.mailbox)",
            message="write mailbox (name of the catch-all Mailbox) with action Deliver, and leave it out with Reject",
            holds=lambda unknown: (unknown.action is UnknownAction.DELIVER) == (unknown.mailbox is not None),
            field="mailbox",
        ),
    )


class Disclaimer(Model):
    """A legal notice that is attached to mail sent from the domain."""

    markdown: Markdown
    """Text of the notice in Markdown; it is attached as plain text and as HTML, and leaves signed mail whole."""


class Dkim(Model):
    """The signature under mail that users of the domain submit on ports 587 and 465."""

    enabled: Flag | None = None
    """Sign mail from this domain; true when absent."""
    selector: Selector | None = None
    """Selector of the key in the DNS; `default` when absent. A new selector makes a new key."""
    secret_name: ObjectName | None = None
    """Secret with the private key under SELECTOR.key (PEM, PKCS#8); NAME-dkim when absent, which the operator makes.
    A Secret that is named here is only read."""


class DmarcPolicy(StrEnum):
    """What receivers are asked to do with mail that fails DMARC."""

    NONE = "none"
    QUARANTINE = "quarantine"
    REJECT = "reject"


class Dmarc(Model):
    """The DMARC record to be published for the domain."""

    policy: DmarcPolicy | None = None
    """What receivers should do with mail that fails: none, quarantine or reject."""
    reports_to: Annotated[tuple[EmailAddress, ...], Field(max_length=8), AS_SET] = ()
    """Addresses that get the aggregate reports."""


class MtaStsMode(StrEnum):
    """How strictly senders must insist on TLS to the domain."""

    NONE = "none"
    TESTING = "testing"
    ENFORCE = "enforce"


class MtaSts(Model):
    """The MTA-STS policy to be published for the domain."""

    mode: MtaStsMode
    """none, testing or enforce."""
    max_age: Duration | None = None
    """How long senders remember the policy, like 7d."""


class DomainDns(Model):
    """What the DNS records of the domain should say, beyond MX and DKIM."""

    spf: Annotated[str, StringConstraints(pattern=r"^v=spf1 [ -~]*$", max_length=450)] | None = None
    """The SPF record, when it should not be the one the operator proposes."""
    dmarc: Dmarc | None = None
    """The DMARC record."""
    mta_sts: MtaSts | None = None
    """The MTA-STS policy."""
    tls_reports_to: Annotated[tuple[EmailAddress, ...], Field(max_length=8), AS_SET] = ()
    """Addresses that get the TLS reports (TLS-RPT)."""


class MailDomainSpec(Model):
    """What a mail domain should be."""

    server: ServerName | None = None
    """Name of the MailServer in this namespace; the oldest one when absent."""
    domain: DomainName | None = None
    """The domain, like example.com; the name of the object when absent. It never changes."""
    delivery: Delivery | None = None
    """Local delivers to mailboxes of this platform, Relay passes mail on to another server; Local when absent."""
    relay: DomainRelay | None = None
    """The other server, with delivery Relay."""
    copy_to: Annotated[tuple[EmailAddress, ...], Field(max_length=32), AS_SET] = ()
    """Addresses that get a hidden copy of all mail to the domain. In some countries this is against privacy laws."""
    unknown_recipients: UnknownRecipients | None = None
    """What becomes of mail to addresses that do not exist; refused when absent. For delivery Local."""
    disclaimer: Disclaimer | None = None
    """Legal notice attached to mail that users send from the domain."""
    dkim: Dkim | None = None
    """DKIM signature of mail that users send from the domain."""
    dns: DomainDns | None = None
    """What the DNS records of the domain should say; they are shown in the status."""
    filter_policy: ObjectName | None = None
    """Name of the FilterPolicy for mail to the domain; that of the MailServer when absent."""

    constraints = (
        Rule(
            cel="(has(self.delivery) && self.delivery == 'Relay') == has(self.relay)",
            message="write relay (with host, the other mail server) with delivery Relay, and leave it out otherwise",
            holds=lambda spec: (spec.delivery is Delivery.RELAY) == (spec.relay is not None),
            field="relay",
        ),
        Rule(
            cel="!has(self.unknownRecipients) || !has(self.delivery) || self.delivery != 'Relay'",
            message="leave out unknownRecipients with delivery Relay: the other server knows its recipients",
            holds=lambda spec: spec.unknown_recipients is None or spec.delivery is not Delivery.RELAY,
            field="unknownRecipients",
        ),
    )


class DkimStatus(Model):
    """The key that signs, and what the DNS must say about it."""

    selector: Word | None = None
    """Selector of the key in force."""
    name: Word | None = None
    """Name of the TXT record."""
    record: Sentence | None = None
    """Text of the TXT record."""
    secret_name: Word | None = None
    """Secret that holds the private key."""
    created: Timestamp | None = None
    """When the key was made; not told in this version."""


class DnsRecord(Model):
    """One record that the DNS of the domain should hold."""

    name: Word
    """Name of the record."""
    type: Word
    """Type of the record, like MX or TXT."""
    value: Sentence
    """Data of the record."""


class MailDomainStatus(Status):
    """What is known about a mail domain."""

    domain: Word | None = None
    """The domain in force."""
    delivery: Word | None = None
    """The delivery in force: Local or Relay."""
    dkim: DkimStatus | None = None
    """The DKIM key and its DNS record."""
    records: Annotated[tuple[DnsRecord, ...], Field(max_length=32), keyed_by("name", "type", "value")] = ()
    """The records that the DNS should hold; not told in this version."""
