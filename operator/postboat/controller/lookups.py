"""Single reads from the API server that a plan needs beside the watches: volume claims and addresses.

They are made when a watch has told that the object changed, never in a rhythm.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from postboat.cluster.types import SERVICE, STATEFUL_SET, Json, Key
from postboat.model.platform import Volume

if TYPE_CHECKING:
    from postboat.cluster.client import Client
    from postboat.controller.world import World


def volume_claims(client: Client, world: World, server: Key) -> dict[str, Volume]:
    """Read the volumes that the StatefulSets of a platform were made with: nobody can change them."""
    found = {}
    for kind, child in world.children.of_instance(server.namespace, server.name):
        if kind is STATEFUL_SET:
            raw = client.get(STATEFUL_SET, server.namespace, child.name)
            templates = ((raw or {}).get("spec") or {}).get("volumeClaimTemplates") or ()
            if templates:
                found[child.name] = _volume(templates[0])
    return found


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


def _volume(template: Json) -> Volume:
    spec = template["spec"]
    return Volume(spec["resources"]["requests"]["storage"], spec.get("storageClassName"))
