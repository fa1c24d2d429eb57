"""Makes the snapshot of one MailServer: everything of its namespace at one moment."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from postboat.model.domains import age
from postboat.model.kinds import RULES
from postboat.model.platform import Environment
from postboat.model.snapshot import Snapshot

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from postboat.api import Resource
    from postboat.controller.watch.change_buffer import NamespaceCache
    from postboat.model.snapshot import SecretContent
    from postboat.settings import Settings


@dataclass(frozen=True, slots=True)
class Assembly:
    """What a snapshot is made of; the fields are as in `model.snapshot.Snapshot`."""

    cache: NamespaceCache
    secrets: Mapping[str, SecretContent]
    """Contents of Secrets by name."""
    environment: Environment
    now: datetime
    homes: Mapping[str, int] = field(default_factory=dict)
    inventory_complete: bool = True
    existing_stores: int = 0
    highest_store: int | None = -1


def surroundings(settings: Settings) -> Environment:
    """Return the properties of the cluster, from the settings of the operator."""
    return Environment(
        settings.operator_namespace,
        settings.cluster_domain,
        dict(settings.images),
        settings.image_pull_secrets,
        settings.cluster_networks,
    )


def assemble(server: Resource, assembly: Assembly) -> Snapshot:
    """Return a frozen snapshot of all that a decision about one MailServer may depend on."""
    cache = assembly.cache
    return Snapshot(
        server=server,
        servers=tuple(resource.name for resource in sorted(cache.of_kind("MailServer"), key=age)),
        objects={kind: cache.of_kind(kind) for kind in RULES if kind != "MailServer"},
        secrets=assembly.secrets,
        environment=assembly.environment,
        now=assembly.now,
        homes=assembly.homes,
        inventory_complete=assembly.inventory_complete,
        existing_stores=assembly.existing_stores,
        highest_store=assembly.highest_store,
    )
