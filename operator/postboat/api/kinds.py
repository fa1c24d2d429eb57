"""The seven kinds of the API: names, models, and the columns of `kubectl get`."""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from postboat.api.base import Model, Rule
from postboat.api.conditions import Status
from postboat.api.connector import ConnectorSpec, ConnectorStatus
from postboat.api.filterpolicy import FilterPolicySpec, FilterPolicyStatus
from postboat.api.mailaddress import MailAddressSpec, MailAddressStatus
from postboat.api.mailbox import MailboxSpec, MailboxStatus
from postboat.api.maildomain import MailDomainSpec, MailDomainStatus
from postboat.api.mailserver import MailServerSpec
from postboat.api.mailserver_status import MailServerStatus
from postboat.api.naming import ADDRESS_NAMES, DOMAIN_NAMES, MAILBOX_NAMES, SERVER_NAMES
from postboat.api.relayhost import RelayHostSpec, RelayHostStatus

GROUP: Final = "postboat.dev"
VERSION: Final = "v1alpha1"


@dataclass(frozen=True, slots=True)
class Column:
    """One column of `kubectl get`."""

    name: str
    path: str
    """JSON path in the object."""
    type: str = "string"
    """`string`, `integer`, `number`, `boolean` or `date`."""
    wide: bool = False
    """Whether it is shown with `-o wide` only."""


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind."""

    kind: str
    plural: str
    singular: str
    short_names: tuple[str, ...]
    description: str
    spec_model: type[Model]
    status_model: type[Status]
    columns: tuple[Column, ...]
    """In the order of `kubectl get`."""
    selectable: tuple[str, ...] = ()
    """Names of fields of the spec, in YAML, for field selectors."""
    name_rules: tuple[Rule, ...] = ()
    """Rules between the name of an object and its fields."""


def _condition(kind: str, field: str) -> str:
    return f'.status.conditions[?(@.type=="{kind}")].{field}'


_LAST: Final = (
    Column("Ready", _condition("Ready", "status")),
    Column("Reason", _condition("Ready", "reason")),
    Column("Age", ".metadata.creationTimestamp", "date"),
    Column("Message", _condition("Accepted", "message"), wide=True),
)

_KINDS: Final = (
    Kind(
        "MailServer",
        "mailservers",
        "mailserver",
        ("msrv",),
        "A mail platform: Postfix, Dovecot, Rspamd and Valkey pods in this namespace.",
        MailServerSpec,
        MailServerStatus,
        (
            Column("Host", ".spec.hostname"),
            Column("Domains", ".status.counts.domains", "integer"),
            Column("Mailboxes", ".status.counts.mailboxes", "integer"),
            Column("Refused", ".status.counts.refused", "integer", wide=True),
            Column("Certificate until", ".status.tls.notAfter", wide=True),
            *_LAST,
        ),
        ("hostname",),
        SERVER_NAMES,
    ),
    Kind(
        "MailDomain",
        "maildomains",
        "maildomain",
        ("mdom",),
        "A mail domain: delivered to mailboxes here, or relayed to another mail server.",
        MailDomainSpec,
        MailDomainStatus,
        (
            Column("Domain", ".status.domain"),
            Column("Delivery", ".status.delivery"),
            Column("Server", ".spec.server", wide=True),
            Column("DKIM", ".status.dkim.name", wide=True),
            *_LAST,
        ),
        ("server", "domain", "delivery"),
        DOMAIN_NAMES,
    ),
    Kind(
        "Mailbox",
        "mailboxes",
        "mailbox",
        ("mbx",),
        "A mailbox: of a user, of a group (mail goes to its members), or a public one.",
        MailboxSpec,
        MailboxStatus,
        (
            Column("User", ".status.username"),
            Column("Type", ".status.type"),
            Column("Quota", ".status.quota"),
            Column("Usage", ".status.usage.bytes", "integer", wide=True),
            Column("Percent", ".status.usage.percent", "integer", wide=True),
            Column("Messages", ".status.usage.messages", "integer", wide=True),
            Column("Store", ".status.store", "integer", wide=True),
            *_LAST,
        ),
        ("server", "domain", "type", "username"),
        MAILBOX_NAMES,
    ),
    Kind(
        "MailAddress",
        "mailaddresses",
        "mailaddress",
        ("maddr",),
        "An address, in one domain or in all of them, and where mail to it goes.",
        MailAddressSpec,
        MailAddressStatus,
        (
            Column("Address", ".status.addresses[0]"),
            Column("Domain", ".spec.domain"),
            Column("Internal", ".spec.internal", "boolean"),
            Column("Addresses", ".status.addressCount", "integer", wide=True),
            Column("Destinations", ".spec.destinations", wide=True),
            *_LAST,
        ),
        ("server", "domain", "localPart"),
        ADDRESS_NAMES,
    ),
    Kind(
        "Connector",
        "connectors",
        "connector",
        ("mconn",),
        "A remote mail account whose mail is fetched regularly, or migrated with its folders.",
        ConnectorSpec,
        ConnectorStatus,
        (
            Column("Mailbox", ".spec.mailbox"),
            Column("Protocol", ".spec.protocol"),
            Column("Mode", ".spec.mode"),
            Column("Last run", ".status.lastRun", "date"),
            Column("Remote", ".spec.remote.host", wide=True),
            Column("Fetched", ".status.fetched", "integer", wide=True),
            Column("Error", ".status.error", wide=True),
            *_LAST,
        ),
        ("server", "mailbox", "mode"),
    ),
    Kind(
        "RelayHost",
        "relayhosts",
        "relayhost",
        ("mrelay",),
        "A next hop for mail of some senders, or for all other mail.",
        RelayHostSpec,
        RelayHostStatus,
        (
            Column("Host", ".status.endpoint"),
            Column("Default", ".spec.default", "boolean"),
            Column("Delivering", _condition("Delivering", "status")),
            Column("Last", _condition("Delivering", "reason")),
            Column("TLS", ".spec.tls", wide=True),
            Column("Senders", ".spec.senders", wide=True),
            *_LAST,
        ),
        ("server", "host"),
    ),
    Kind(
        "FilterPolicy",
        "filterpolicies",
        "filterpolicy",
        ("mfilter",),
        "What the filter does with mail: attachments, viruses, spam, allow and block rules, quarantine.",
        FilterPolicySpec,
        FilterPolicyStatus,
        (
            Column("Priority", ".spec.priority", "integer"),
            Column("Flag", ".spec.antispam.thresholds.flag", "number"),
            Column("Deny", ".spec.antispam.thresholds.deny", "number"),
            Column("Greylist", ".spec.antispam.thresholds.greylist", "number", wide=True),
            Column("Domains", ".status.domains", wide=True),
            *_LAST,
        ),
        ("server",),
    ),
)

KINDS: Final[Mapping[str, Kind]] = MappingProxyType({kind.kind: kind for kind in _KINDS})
"""All kinds by name."""
