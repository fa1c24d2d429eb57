"""A custom resource as the rest of the operator sees it: frozen, and with the needed fields only.

A spec that does not validate is a `Refusal`: a value, never an exception.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from postboat.api.connector import ConnectorSpec
from postboat.api.filterpolicy import FilterPolicySpec
from postboat.api.mailaddress import MailAddressSpec
from postboat.api.mailbox import MailboxSpec
from postboat.api.maildomain import MailDomainSpec
from postboat.api.mailserver import MailServerSpec
from postboat.api.relayhost import RelayHostSpec

Spec: TypeAlias = (
    MailServerSpec | MailDomainSpec | MailboxSpec | MailAddressSpec | ConnectorSpec | RelayHostSpec | FilterPolicySpec
)


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a spec is not valid."""

    path: str
    """Path of the field, such as `spec.domain`."""
    message: str
    """What to write instead, without the value."""


@dataclass(frozen=True, slots=True)
class Resource:
    """One custom resource."""

    kind: str
    namespace: str
    name: str
    uid: str
    """Empty for an object that is in no cluster."""
    generation: int
    """`metadata.generation`; 0 for an object that is in no cluster."""
    created: str
    """`metadata.creationTimestamp`, RFC 3339 in UTC, so that strings compare like times.

    Empty for an object that is in no cluster.
    """
    deleting: bool
    """Whether it has a deletion timestamp."""
    spec: Spec | Refusal
    """The validated spec, or why it is not valid."""
    status: Mapping[str, Any] = field(default_factory=dict, hash=False)
    """The status as JSON; {} when there is none."""
    annotations: Mapping[str, str] = field(default_factory=dict, hash=False)
    """Only those that begin with `postboat.dev/`."""
    finalizers: tuple[str, ...] = ()
    """Only those that begin with `postboat.dev/`."""
    unknown: tuple[str, ...] = ()
    """Paths of fields that are set and have no model in this version, such as `spec.forward.when`.

    They are sorted; list entries have no index.
    """
