"""An object of the API as the rest of the operator sees it: frozen, and no larger than it must be.

A spec that does not validate is a `Refusal`: a value like any other, never an exception.
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
    """Why a spec is not valid: the field, and a sentence with the cure and without the value."""

    path: str
    message: str


@dataclass(frozen=True, slots=True)
class Resource:
    """One object: what it is called, what it wants, what its status says so far."""

    kind: str
    namespace: str
    name: str
    uid: str
    generation: int
    created: str
    """RFC 3339 in UTC, so that strings compare like times; empty for an object that is in no cluster."""
    deleting: bool
    spec: Spec | Refusal
    status: Mapping[str, Any] = field(default_factory=dict, hash=False)
    annotations: Mapping[str, str] = field(default_factory=dict, hash=False)
    """Only those of `postboat.dev`."""
    finalizers: tuple[str, ...] = ()
    """Only those of `postboat.dev`."""
    unknown: tuple[str, ...] = ()
    """Paths of fields like `spec.forward.when` that are set and have no model here, sorted; lists have no index."""
