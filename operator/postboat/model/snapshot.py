"""All that a decision about one mail platform may depend on, frozen at one moment.

The clock is part of it, because a certificate expires; nothing that depends on the clock enters a rendered byte.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from postboat.api.resource import Resource
from postboat.model.platform import Environment

__all__ = ["Environment", "Gone", "Held", "Home", "Resource", "SecretContent", "Servers", "Snapshot", "Surveyed"]


@dataclass(frozen=True, slots=True)
class SecretContent:
    """A Secret as it was read; one that does not exist is a fact as well."""

    namespace: str
    name: str
    exists: bool
    data: Mapping[str, bytes]
    type: str = "Opaque"
    refused: str = ""
    """What the server said when the platform wanted to make it or to add to it; nothing of its content."""
    version: str = field(default="", compare=False)
    """The resourceVersion that was read."""


@dataclass(frozen=True, slots=True)
class Gone:
    """An object that exists no more."""

    kind: str
    name: str


@dataclass(frozen=True, slots=True)
class Home:
    """The store that holds mail of a user; None when none does any more."""

    user: str
    store: int | None


@dataclass(frozen=True, slots=True)
class Held:
    """The highest store that holds mail of anybody or lately had a mailbox in force; -1 when none does."""

    store: int


@dataclass(frozen=True, slots=True)
class Surveyed:
    """Every store has told what it holds, or has had the time for it: who has no home has no mail."""


@dataclass(frozen=True, slots=True)
class Servers:
    """The names of all MailServers of the namespace, the oldest first: one has come or gone."""

    names: tuple[str, ...]


Change = Resource | SecretContent | Gone | Home | Held | Surveyed | Servers
"""What the world may tell an incremental resolver: an object as it is now or that it is gone, and where mail lies."""


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The MailServer, every object of its namespace, and the Secrets that any of them names.

    `servers` are the names of all MailServers of the namespace, the oldest first; `objects` are all others, by kind.
    """

    server: Resource
    servers: tuple[str, ...]
    objects: Mapping[str, tuple[Resource, ...]]
    secrets: Mapping[str, SecretContent]
    environment: Environment
    now: datetime
    homes: Mapping[str, int] = field(default_factory=dict)
    """The stores that hold mail, by user, as far as they have told."""
    surveyed: bool = True
    standing: int = 0
    """How many stores there are now."""
    held: int | None = -1
    """The highest store that has something to keep; None while not all that stand have told."""

    def of_kind(self, kind: str) -> tuple[Resource, ...]:
        """Give the objects of a kind."""
        return self.objects.get(kind, ())
