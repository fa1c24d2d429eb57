"""A cluster in a folder: YAML in, a snapshot out, with the keys that a controller would have made.

The keys are fixed files, so that golden results stay equal; they open nothing.
"""

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from postboat.api import Resource, parse
from postboat.controller.planner import NO_CLAIMS
from postboat.model.platform import Volume
from postboat.model.resolve import Resolution
from postboat.model.snapshot import Environment, SecretContent, Snapshot
from postboat.objects.plan import Plan, plan
from postboat.render.units import render

HERE = Path(__file__).parent
NOW = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)
ENVIRONMENT = Environment(
    "postboat-system",
    "cluster.local",
    {name: f"postboat/{name}:test" for name in ("postfix", "dovecot", "rspamd", "valkey")},
)


@cache
def key(name: str) -> bytes:
    """Read one of the fixed keys."""
    return (HERE / "keys" / name).read_bytes()


def internal(namespace: str, server: str) -> SecretContent:
    """Give the Secret with the platform's own keys."""
    pem = ("ca.crt", "ca.key", "store.crt", "store.key", "smtp.crt", "smtp.key", "client.crt", "client.key")
    words = (
        "master-password",
        "hash-key",
        "valkey-password",
        "rspamd-password",
        "rspamd-enable-password",
        "operator-token",
    )
    data = {name: key(name) for name in pem} | {
        name: f"test{index}{'x' * 35}".encode() for index, name in enumerate(words)
    }
    return SecretContent(namespace, f"{server}-internal", exists=True, data=data)


def self_signed(namespace: str, server: str) -> SecretContent:
    """Give the Secret with the certificate of a platform that was given none."""
    data = {"ca.crt": key("ca.crt"), "tls.crt": key("tls.crt"), "tls.key": key("tls.key")}
    return SecretContent(namespace, f"{server}-selfsigned", exists=True, data=data)


def dkim(namespace: str, name: str, selector: str = "default") -> SecretContent:
    """Give the Secret with the DKIM key of a domain."""
    return SecretContent(namespace, f"{name}-dkim", exists=True, data={f"{selector}.key": key("dkim.key")})


def planned(resolution: Resolution, before: Plan | None = None, claims: Mapping[str, Volume] = NO_CLAIMS) -> Plan:
    """Render the files of a resolution and plan its objects, from an earlier plan if there is one."""
    rendered = before.files if before is not None else None
    files = render(resolution.platform, rendered) if resolution.platform is not None else None
    return plan(resolution, files, before, claims)


def documents(path: Path) -> list[Mapping[str, Any]]:
    """Read all YAML documents of a file or folder."""
    files = sorted(path.glob("*.yaml")) if path.is_dir() else [path]
    return [document for file in files for document in yaml.safe_load_all(file.read_text()) if document]


def secret_of(raw: Mapping[str, Any]) -> SecretContent:
    """Read a Secret with stringData."""
    data = {name: value.encode() for name, value in raw.get("stringData", {}).items()}
    meta = raw["metadata"]
    return SecretContent(meta.get("namespace", "mail"), meta["name"], exists=True, data=data, type=raw.get("type", ""))


def snapshot(raws: Iterable[Mapping[str, Any]], *, made: bool = True) -> Snapshot:
    """Make a snapshot of raw objects; with `made`, the keys exist that the platform wants."""
    raws = list(raws)
    resources = [parse(raw) for raw in raws if raw["apiVersion"].startswith("postboat.dev/")]
    secrets = {content.name: content for content in (secret_of(raw) for raw in raws if raw["kind"] == "Secret")}
    servers = [resource for resource in resources if resource.kind == "MailServer"]
    server = servers[0]
    if made:
        own = [internal(server.namespace, server.name), self_signed(server.namespace, server.name)]
        own += [dkim(server.namespace, resource.name) for resource in resources if resource.kind == "MailDomain"]
        secrets = {content.name: content for content in own} | secrets
    return of(server, resources, secrets)


def of(server: Resource, resources: Iterable[Resource], secrets: Mapping[str, SecretContent]) -> Snapshot:
    """Put resources in their places."""
    objects: dict[str, list[Resource]] = {}
    for one in resources:
        if one.kind != "MailServer":
            objects.setdefault(one.kind, []).append(one)
    return Snapshot(
        server=server,
        servers=(server.name,),
        objects={kind: tuple(found) for kind, found in objects.items()},
        secrets=secrets,
        environment=ENVIRONMENT,
        now=NOW,
    )


def server(hostname: str = "mail.example.org", name: str = "mail", **spec: object) -> Resource:
    """Make a MailServer."""
    return resource("MailServer", name, {"hostname": hostname, **spec})


def resource(kind: str, name: str, spec: Mapping[str, object], created: str = "", **more: object) -> Resource:
    """Make any resource from its spec as YAML has it."""
    meta = {
        "name": name,
        "namespace": "mail",
        "uid": f"uid-{kind}-{name}",
        "generation": 1,
        "creationTimestamp": created,
    }
    return parse({"apiVersion": "postboat.dev/v1alpha1", "kind": kind, "metadata": meta, "spec": spec, **more})
