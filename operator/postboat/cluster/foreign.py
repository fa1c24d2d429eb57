"""Finds and removes fields that other managers have set in objects of the platform.

Server-side apply leaves alone what another manager owns, and what nobody owns any more: a key beside ours, hostNetwork,
a second container. What an object is without them is known from its own body, or from a dry run of its creation under
another name, which adds the defaults of the server and what its webhooks set.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Final

from postboat.cluster.client import MANAGER
from postboat.cluster.types import (
    BY_KIND,
    CONFIG_MAP,
    SECRET,
    SERVICE,
    SERVICE_ACCOUNT,
    STATEFUL_SET,
    ApiError,
    InvalidError,
    Json,
    Key,
    ResourceType,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from postboat.cluster.client import Client
    from postboat.objects.plan import KubeObject

log = logging.getLogger(__name__)

DATA: Final = frozenset({CONFIG_MAP, SECRET})
"""Types without defaults: such an object is what its body says."""
_OTHER_FAMILY: Final = "spec.ipFamilies[0]"
"""Where the server refuses to change the first family of a Service."""
_HARMLESS: Final = frozenset({"f:metadata", "f:status"})
_NEVER: Final = frozenset({"apiVersion", "kind", "metadata", "status"})
_LEFT: Final[Mapping[ResourceType, frozenset[str]]] = {
    SERVICE: frozenset(
        {"clusterIP", "clusterIPs", "healthCheckNodePort", "ipFamilies", "ipFamilyPolicy", "loadBalancerIP"}
    ),
    SERVICE_ACCOUNT: frozenset({"imagePullSecrets", "secrets"}),
    STATEFUL_SET: frozenset({"selector", "serviceName", "podManagementPolicy", "volumeClaimTemplates"}),
}
"""What the server, a load balancer or OpenShift fill in by right, and what nobody can change."""


class Alone:
    """Applies objects so that they have no fields but those of the plan."""

    def __init__(self, client: Client) -> None:
        self._client = client

    def apply(self, item: KubeObject) -> Json:
        """Apply an object, remove the fields of other managers, and return the metadata of the result.

        An immutable ConfigMap or Secret, and a Service whose IP family changes, are deleted and created again.

        Raises:
            ApiError: The server refused one of the writes.
        """
        kind, key = identity(item.body)
        try:
            meta: Json = self._client.apply(dict(item.body), kind)["metadata"]
        except ApiError as failure:
            held = self._client.get(kind, *key) if isinstance(failure, InvalidError) else None
            if held is None or not (held.get("immutable") or (kind is SERVICE and _OTHER_FAMILY in failure.message)):
                raise
            return self._make_anew(item, held)
        if not suspicious(meta.get("managedFields") or ()):
            return meta
        live, operations = self.foreign(item)
        if live is None or not operations:
            return meta
        if live.get("immutable"):
            return self._make_anew(item, live)
        log.warning(
            "drift: removing fields that others have set in %s/%s: %s",
            item.kind,
            item.name,
            ", ".join(named(operations)),
        )
        put_right: Json = self._client.correct(kind, key.namespace, key.name, operations)["metadata"]
        return put_right

    def foreign(self, item: KubeObject) -> tuple[Json | None, list[Json]]:
        """Return the live object, and the JSON patch that removes fields of other managers.

        Returns:
            The object, None when it does not exist; and the patch, empty when there is nothing to remove.
        """
        kind, key = identity(item.body)
        live = self._client.get(kind, *key)
        if live is None or not suspicious(live["metadata"].get("managedFields") or ()):
            return live, []
        wanted = dict(item.body) if kind in DATA else self._client.fresh(dict(item.body), kind)
        return live, corrections(kind, live, wanted)

    def _make_anew(self, item: KubeObject, held: Json) -> Json:
        kind, key = identity(item.body)
        log.warning("%s/%s is immutable: deleting and creating it again", item.kind, item.name)
        self._client.delete(kind, *key, uid=held["metadata"]["uid"])
        made: Json = self._client.apply(dict(item.body), kind)["metadata"]
        return made


def suspicious(managed: Iterable[Json]) -> bool:
    """Return whether another manager owns fields outside of metadata and status.

    When the list of managers was lost, the server itself claims all fields as `before-first-apply`.

    Args:
        managed: `metadata.managedFields`.
    """
    return any(
        entry.get("manager") != MANAGER
        and not entry.get("subresource")
        and bool((entry.get("fieldsV1") or {}).keys() - _HARMLESS)
        for entry in managed
    )


def corrections(kind: ResourceType, live: Json, wanted: Json) -> list[Json]:
    """Return the JSON patch (RFC 6902) that turns the live object into the wanted one; [] when they are equal.

    Labels and annotations stay, those of pod templates too: other tools set them, and they do no harm.

    Args:
        live: The object as read; the patch fails with a conflict when it has changed since.
        wanted: The object without fields of others.
    """
    operations = list(_differences(kind, live, wanted))
    if not operations:
        return []
    meta = live["metadata"]
    kept = [entry for entry in map(_lasting, meta.get("managedFields") or ()) if entry is not None]
    return [
        # A conflict, when somebody has written since the object was read.
        {"op": "add", "path": "/metadata/resourceVersion", "value": meta["resourceVersion"]},
        {"op": "add", "path": "/metadata/managedFields", "value": kept},
        *operations,
    ]


def named(operations: Iterable[Json]) -> list[str]:
    """Return the paths that a JSON patch changes, without values and without those of metadata."""
    return [operation["path"] for operation in operations if not operation["path"].startswith("/metadata/")]


def _lasting(entry: Json) -> Json | None:
    """Return an entry of the managed fields, that of another manager reduced to metadata; None for nothing.

    Otherwise each apply would find the object suspicious again.
    """
    if entry.get("subresource") or (entry.get("manager") == MANAGER and entry.get("operation") == "Apply"):
        return entry
    fields = {name: value for name, value in (entry.get("fieldsV1") or {}).items() if name == "f:metadata"}
    return {**entry, "fieldsV1": fields} if fields else None


def _differences(kind: ResourceType, live: Json, wanted: Json) -> Iterator[Json]:
    apart = {"spec", "data", "binaryData"}
    left = _NEVER | apart | _LEFT.get(kind, frozenset())
    yield from _changes("", _without(live, left), _without(wanted, left))
    for part in ("data", "binaryData"):
        if wanted.get(part) or live.get(part):
            yield from _entries(f"/{part}", live.get(part) or {}, wanted.get(part) or {})
    if "spec" in wanted:
        spec = _LEFT.get(kind, frozenset()) | {"template", "ports"}
        yield from _changes("/spec", _without(live["spec"], spec), _without(wanted["spec"], spec))
    if kind is STATEFUL_SET:
        pods = [whole["spec"]["template"]["spec"] for whole in (live, wanted)]
        yield from _changes("/spec/template/spec", *pods)
    if kind is SERVICE and _ports(live) != _ports(wanted):
        yield {"op": "add", "path": "/spec/ports", "value": _with_node_ports(live, wanted)}


def _entries(path: str, live: Json, wanted: Json) -> Iterator[Json]:
    """Yield removals of keys that are not wanted; missing and different ones were applied before."""
    return ({"op": "remove", "path": f"{path}/{_escaped(name)}"} for name in sorted(live.keys() - wanted.keys()))


def _changes(path: str, live: Json, wanted: Json) -> Iterator[Json]:
    for name in sorted(live.keys() | wanted.keys()):
        if live.get(name) == wanted.get(name):
            continue
        at = f"{path}/{_escaped(name)}"
        yield {"op": "add", "path": at, "value": wanted[name]} if name in wanted else {"op": "remove", "path": at}


def _without(whole: Json, names: frozenset[str]) -> Json:
    return {name: value for name, value in whole.items() if name not in names}


def _ports(service: Json) -> list[Json]:
    return [_without(port, frozenset({"nodePort"})) for port in service["spec"].get("ports") or ()]


def _with_node_ports(live: Json, wanted: Json) -> list[Json]:
    """Return the wanted ports with the node ports that the server has assigned, since clients use them."""
    known = {port["name"]: port["nodePort"] for port in live["spec"].get("ports") or () if "nodePort" in port}
    return [port | ({"nodePort": known[port["name"]]} if port["name"] in known else {}) for port in _ports(wanted)]


def _escaped(name: str) -> str:
    """Return a name as a token of a JSON pointer (RFC 6901, 3)."""
    return name.replace("~", "~0").replace("/", "~1")


def identity(body: Mapping[str, object] | Json) -> tuple[ResourceType, Key]:
    """Return type and key of an object.

    Args:
        body: `apiVersion`, `kind` and `metadata` of a child; the type must be one of CHILD_TYPES.

    Raises:
        KeyError: The type is not one of a child.
        TypeError: There is no metadata.
    """
    kind = BY_KIND[str(body["apiVersion"]), str(body["kind"])]
    meta = body["metadata"]
    if not isinstance(meta, dict):
        raise TypeError("an object without metadata")
    return kind, Key(meta.get("namespace", ""), meta["name"])
