"""Reads of the API server beside the informers: StatefulSets, shards that manifests name, addresses of Services.

They are made when an informer has reported a change of the object, and never periodically.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from postboat.agent.errors import ActivationError
from postboat.agent.manifest import MANIFEST, parse
from postboat.cluster.types import CONFIG_MAP, SERVICE, STATEFUL_SET, Json, Key
from postboat.model.platform import Volume
from postboat.render.units import SHARD_KEYS

if TYPE_CHECKING:
    from collections.abc import Mapping

    from postboat.cluster.client import Client
    from postboat.controller.watch.informers import Informers
    from postboat.render.files import ShardKey


@dataclass(frozen=True, slots=True)
class Standing:
    """What stands of a platform: the volumes of its StatefulSets, which nobody can change, and how many stores."""

    claims: Mapping[str, Volume] = field(default_factory=dict)
    stores: int = 0


def standing(client: Client, informers: Informers, server: Key) -> Standing:
    """Read what the StatefulSets of a platform are like now."""
    claims, stores = {}, 0
    for kind, child in informers.children.of_instance(server.namespace, server.name):
        if kind is STATEFUL_SET:
            raw = client.get(STATEFUL_SET, server.namespace, child.name)
            spec = (raw or {}).get("spec") or {}
            templates = spec.get("volumeClaimTemplates") or ()
            if templates:
                claims[child.name] = _volume(templates[0], spec["selector"]["matchLabels"])
            if child.name == f"{server.name}-store":
                stores = int(spec.get("replicas") or 0)
    return Standing(claims, stores)


def named_shards(client: Client, server: Key) -> frozenset[ShardKey]:
    """Read which shards the manifests that the pods have now name."""
    found: set[ShardKey] = set()
    for unit, key in SHARD_KEYS.items():
        raw = client.get(CONFIG_MAP, server.namespace, f"{server.name}-{unit}") or {}
        content = (raw.get("data") or {}).get(MANIFEST)
        if content:
            try:
                found |= {(int(name), key) for name in parse(content.encode()).shards}
            except (ActivationError, ValueError):
                continue  # somebody else wrote it, so it says nothing
    return frozenset(found)


def addresses(client: Client, server: Key) -> dict[str, str]:
    """Read the hosts or addresses that a load balancer has given to the client Services."""
    found = {}
    for name in ("smtp", "imap"):
        raw = client.get(SERVICE, server.namespace, f"{server.name}-{name}") or {}
        ingress = ((raw.get("status") or {}).get("loadBalancer") or {}).get("ingress") or [{}]
        host = ingress[0].get("hostname") or ingress[0].get("ip")
        if host:
            found[name] = str(host)
    return found


def _volume(template: Json, selector: Mapping[str, str]) -> Volume:
    spec, labels = template["spec"], (template.get("metadata") or {}).get("labels") or {}
    return Volume(spec["resources"]["requests"]["storage"], spec.get("storageClassName"), selector, labels)
