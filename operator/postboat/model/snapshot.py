"""All that a decision about one mail platform may depend on, frozen at one moment.

The time is part of it, because certificates expire; no rendered byte depends on it.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from postboat.api.resource import Resource
from postboat.model.platform import Environment

__all__ = [
    "Environment",
    "Gone",
    "HighestStore",
    "Home",
    "InventoryComplete",
    "Resource",
    "SecretContent",
    "Servers",
    "Snapshot",
]


@dataclass(frozen=True, slots=True)
class SecretContent:
    """A Secret as it was read, or the fact that it does not exist."""

    namespace: str
    name: str
    exists: bool
    data: Mapping[str, bytes]
    """Decoded values by key; empty for one that does not exist."""
    type: str = "Opaque"
    """`type` of the Secret; "" for one that does not exist."""
    refused: str = ""
    """Why the API server refused to create or change it for the platform, without its content.

    Empty when it did not.
    """
    version: str = field(default="", compare=False)
    """`metadata.resourceVersion`; "" for one that does not exist."""


@dataclass(frozen=True, slots=True)
class Gone:
    """An object that was deleted."""

    kind: str
    name: str


@dataclass(frozen=True, slots=True)
class Home:
    """The store that holds the mail of a user."""

    user: str
    """User name, with its domain if it is bound to one."""
    store: int | None
    """Number of the store, from 0; None when no store holds mail of the user any more."""


@dataclass(frozen=True, slots=True)
class HighestStore:
    """The highest store that must not be removed."""

    store: int
    """Its number, from 0: it holds mail, or had a mailbox in force recently; -1 when there is none."""


@dataclass(frozen=True, slots=True)
class InventoryComplete:
    """All stores have reported what they hold, or had time to: a user without a home has no mail."""


@dataclass(frozen=True, slots=True)
class Servers:
    """The MailServers of the namespace have changed."""

    names: tuple[str, ...]
    """Names of all of them, oldest first."""


Change = Resource | SecretContent | Gone | Home | HighestStore | InventoryComplete | Servers
"""What an incremental resolver accepts: an object as it is now or its deletion, and where mail is."""


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A MailServer, all objects of its namespace, and the Secrets that they reference."""

    server: Resource
    servers: tuple[str, ...]
    """Names of all MailServers of the namespace, oldest first."""
    objects: Mapping[str, tuple[Resource, ...]]
    """All objects but MailServers, by kind."""
    secrets: Mapping[str, SecretContent]
    """Contents of Secrets by name."""
    environment: Environment
    now: datetime
    """In UTC."""
    homes: Mapping[str, int] = field(default_factory=dict)
    """Number of the store that holds the mail of each user, as far as stores have reported."""
    inventory_complete: bool = True
    """Whether all stores have reported, see `InventoryComplete`."""
    existing_stores: int = 0
    """Replicas of the StatefulSet of the stores now; 0 when there is none."""
    highest_store: int | None = -1
    """Number of the highest store that must not be removed, -1 when there is none.

    None until all stores have reported.
    """

    def of_kind(self, kind: str) -> tuple[Resource, ...]:
        """Return the objects of a kind."""
        return self.objects.get(kind, ())
