"""Renders a folder of YAML without a cluster: the objects that the operator would apply, and the files inside them.

It goes the same way as the running operator, so the bytes are the same; nothing is read from anywhere else.
"""

from __future__ import annotations

import base64
import datetime as dt
import json
import sys
from dataclasses import dataclass, field
from gzip import decompress
from typing import TYPE_CHECKING, Any

import yaml

from postboat.api import GROUP, Resource, parse
from postboat.controller.planner import desired
from postboat.controller.reconcile.keys import PASSWORDS
from postboat.controller.watch.change_buffer import NamespaceCache
from postboat.controller.watch.snapshot import Assembly, assemble, surroundings
from postboat.model.platform import Environment, Wanted, WantedKind
from postboat.model.snapshot import SecretContent

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from postboat.objects.plan import Plan
    from postboat.settings import Settings

SUFFIXES = frozenset({".yaml", ".yml", ".json"})
DEFAULT_NAMESPACE = "default"
PAIRS = ("ca", "client", "smtp", "store")


@dataclass(slots=True)
class Folder:
    """What was found in the files, by namespace."""

    caches: dict[str, NamespaceCache] = field(default_factory=dict)
    secrets: dict[str, dict[str, SecretContent]] = field(default_factory=dict)


def render_folder(source: Path, target: Path | None, settings: Settings) -> int:
    """Render every MailServer of a folder; the result is the exit status."""
    try:
        folder = read(source)
    except (OSError, ValueError, yaml.YAMLError) as failure:
        sys.stderr.write(f"{source} cannot be read: {failure}\n")
        return 2
    environment = surroundings(settings)
    for namespace, cache in sorted(folder.caches.items()):
        for server in sorted(cache.of_kind("MailServer"), key=lambda resource: resource.name):
            plan = settle(server, cache, folder.secrets.get(namespace, {}), environment)
            tell(server, plan)
            if target is None:
                yaml.safe_dump_all((dict(item.body) for item in plan.objects), sys.stdout, sort_keys=True)
            else:
                write(plan, server, target)
    return 0


def read(source: Path) -> Folder:
    """Read all resources and Secrets of a folder, at any depth."""
    folder = Folder()
    paths = [source] if source.is_file() else sorted(path for path in source.rglob("*") if path.suffix in SUFFIXES)
    for path in paths:
        for document in yaml.safe_load_all(path.read_text()):
            for raw in _objects(document):
                _take(folder, raw)
    return folder


def settle(
    server: Resource, cache: NamespaceCache, secrets: Mapping[str, SecretContent], environment: Environment
) -> Plan:
    """Plan one MailServer; keys that the folder lacks are replaced by words, so that the rest can be seen."""
    known = dict(secrets)
    now = dt.datetime.now(dt.UTC)
    plan = desired(assemble(server, Assembly(cache, known, environment, now)))
    if plan.platform is None and plan.wanted:
        for wanted in plan.wanted:
            known[wanted.name] = _placeholder(wanted, server.namespace, known.get(wanted.name))
        plan = desired(assemble(server, Assembly(cache, known, environment, now)))
    return plan


def tell(server: Resource, plan: Plan) -> None:
    """Say on stderr what is refused, in part or as a whole, and what is missing."""
    where = f"{server.namespace}/{server.name}"
    for wanted in plan.wanted:
        sys.stderr.write(f"{where}: Secret {wanted.name} is not in the folder; the operator would make it\n")
    for (kind, name), verdict in sorted(plan.verdicts.items()):
        if not verdict.accepted or verdict.path:
            path = f" ({verdict.path})" if verdict.path else ""
            sys.stderr.write(f"{where}: {kind} {name}: {verdict.reason}{path}: {verdict.message}\n")


def write(plan: Plan, server: Resource, target: Path) -> None:
    """Write each object to a file of its own, and each rendered file beside them."""
    base = target / server.namespace
    for item in plan.objects:
        path = base / "objects" / f"{item.kind.lower()}-{item.name}.yaml"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(yaml.safe_dump(json.loads(json.dumps(item.body)), sort_keys=True))
    if plan.files is None:
        return
    for unit, files in plan.files.units.items():
        for file in files:
            path = base / "files" / f"{server.name}-{unit}" / file.path
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(file.content)
    for (number, key), shard in plan.files.shards.items():
        path = base / "files" / f"{server.name}-directory" / key / f"{number:02d}"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(decompress(shard.content))


def _objects(document: Any) -> Iterator[dict[str, Any]]:  # noqa: ANN401 - any YAML
    if not isinstance(document, dict):
        return
    if str(document.get("kind", "")).endswith("List") and isinstance(document.get("items"), list):
        for item in document["items"]:
            yield from _objects(item)
    elif isinstance(document.get("metadata"), dict):
        yield document


def _take(folder: Folder, raw: dict[str, Any]) -> None:
    namespace = raw["metadata"].setdefault("namespace", DEFAULT_NAMESPACE)
    if str(raw.get("apiVersion", "")).startswith(f"{GROUP}/"):
        folder.caches.setdefault(namespace, NamespaceCache()).update((parse(raw),))
    elif raw.get("kind") == "Secret":
        content = _secret(raw, namespace)
        folder.secrets.setdefault(namespace, {})[content.name] = content


def _secret(raw: dict[str, Any], namespace: str) -> SecretContent:
    entries = {name: base64.b64decode(value or "") for name, value in (raw.get("data") or {}).items()}
    entries |= {name: str(value).encode() for name, value in (raw.get("stringData") or {}).items()}
    return SecretContent(namespace, raw["metadata"]["name"], exists=True, data=entries, type=raw.get("type", "Opaque"))


def _placeholder(wanted: Wanted, namespace: str, held: SecretContent | None) -> SecretContent:
    match wanted.kind:
        case WantedKind.INTERNAL:
            names = [*PASSWORDS, *(f"{pair}.{part}" for pair in PAIRS for part in ("crt", "key"))]
        case WantedKind.SELF_SIGNED:
            names = ["ca.crt", "tls.crt", "tls.key"]
        case WantedKind.DKIM:
            names = []
    entries = {name: f"placeholder-{name}\n".encode() if "." in name else b"placeholder" for name in names}
    entries |= held.data if held is not None else {}
    return SecretContent(namespace, wanted.name, exists=True, data=entries)
