"""All that a decision about one mail platform may depend on, frozen at one moment.

The clock is part of it, because a certificate expires; nothing that depends on the clock enters a rendered byte.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from postboat.api.resource import Resource
from postboat.model.platform import Environment

__all__ = ["Environment", "Gone", "Resource", "SecretContent", "Snapshot"]


@dataclass(frozen=True, slots=True)
class SecretContent:
    """A Secret as it was read; one that does not exist is a fact as well."""

    namespace: str
    name: str
    exists: bool
    data: Mapping[str, bytes]
    type: str = "Opaque"


@dataclass(frozen=True, slots=True)
class Gone:
    """An object that exists no more."""

    kind: str
    name: str


Change = Resource | SecretContent | Gone
"""What the world may tell an incremental resolver: an object as it is now, or that it is gone."""


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The MailServer, every object of its namespace, and the Secrets that any of them names.

    `servers` are the names of all MailServers of the namespace, for an object that names none belongs to the only one.
    """

    server: Resource
    servers: tuple[str, ...]
    domains: tuple[Resource, ...]
    mailboxes: tuple[Resource, ...]
    addresses: tuple[Resource, ...]
    connectors: tuple[Resource, ...]
    relays: tuple[Resource, ...]
    policies: tuple[Resource, ...]
    secrets: Mapping[str, SecretContent]
    environment: Environment
    now: datetime
