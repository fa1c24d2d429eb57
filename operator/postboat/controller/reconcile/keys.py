"""Makes the keys, certificates and passwords that a platform needs for itself.

A Secret is created, or what it lacks or has worn out is added to it; a password in use is never overwritten.
"""

from __future__ import annotations

import base64
import datetime as dt
import secrets
import string
from dataclasses import dataclass
from typing import TYPE_CHECKING

from postboat.cluster.children import INSTANCE, KEEP
from postboat.cluster.types import SECRET, ConflictError, Json
from postboat.controller.reconcile.certificates import Pair, authority, leaf, rsa_key, still_good, succession
from postboat.controller.reconcile.worker import ExpectedError
from postboat.model.certificates import signs_trusted
from postboat.model.platform import Wanted, WantedKind
from postboat.objects.meta import SERVER, owner

if TYPE_CHECKING:
    from collections.abc import Mapping

    from postboat.api import Resource
    from postboat.cluster.client import Client

PASSWORDS = (
    "master-password",
    "hash-key",
    "valkey-password",
    "rspamd-password",
    "rspamd-enable-password",
    "operator-token",
)
PASSWORD_LENGTH = 40
MANAGED = "app.kubernetes.io/managed-by"


def additions(wanted: Wanted, held: Mapping[str, bytes], now: dt.datetime) -> dict[str, bytes]:
    """Give the entries that a Secret needs beyond those it holds."""
    match wanted.kind:
        case WantedKind.INTERNAL:
            return _internal(wanted, held, now)
        case WantedKind.SELF_SIGNED:
            return _self_signed(wanted, held, now)
        case WantedKind.DKIM:
            entry = f"{wanted.selector}.key"
            return {} if held.get(entry) else {entry: rsa_key()}


@dataclass(frozen=True, slots=True)
class Renewal:
    """What was made anew in a Secret in the place of something else."""

    entries: tuple[str, ...]
    abrupt: bool
    """Nobody has trusted the one that signs now before."""


def make(client: Client, server: Resource, wanted: Wanted) -> Renewal:
    """Create the Secret, or add to it what it lacks, and tell what was there before and is another now."""
    raw = client.get(SECRET, server.namespace, wanted.name)
    now = dt.datetime.now(dt.UTC)
    if raw is None:
        client.create(SECRET, _body(server, wanted, additions(wanted, {}, now)))
        return Renewal((), abrupt=False)
    held = {name: base64.b64decode(value or "") for name, value in (raw.get("data") or {}).items()}
    missing = additions(wanted, held, now)
    if not missing:
        return Renewal((), abrupt=False)
    if (raw["metadata"].get("labels") or {}).get(MANAGED) != "postboat":
        lacks = ", ".join(sorted(missing))
        raise ExpectedError(
            f"Secret {wanted.name} exists and is not managed by postboat, which changes its own Secrets only:"
            f" add {lacks}"
        )
    meta = {"resourceVersion": raw["metadata"]["resourceVersion"], "uid": raw["metadata"]["uid"]}
    try:
        client.merge(SECRET, server.namespace, wanted.name, {"metadata": meta, "data": _encoded(missing)})
    except ConflictError as error:
        raise ExpectedError(f"Secret {wanted.name} was changed by somebody else at the same time") from error
    return renewal(held, missing)


def renewal(held: Mapping[str, bytes], made: Mapping[str, bytes]) -> Renewal:
    """Tell what of a Secret is made anew by additions to it."""
    replaced = tuple(sorted(name for name in made if held.get(name)))
    abrupt = "ca.crt" in replaced and not signs_trusted(made["ca.crt"], held["ca.crt"])
    return Renewal(replaced, abrupt)


def _internal(wanted: Wanted, held: Mapping[str, bytes], now: dt.datetime) -> dict[str, bytes]:
    made = {name: _password() for name in PASSWORDS if not held.get(name)}
    name = f"postboat internal authority of {wanted.name.removesuffix('-internal')}"
    authorities = succession(name, _pair(held, "ca"), _pair(held, "next"), now)
    for entry, pair in authorities.items():
        made |= {f"{entry}.crt": pair.certificate, f"{entry}.key": pair.key}
    ca = authorities.get("ca", _pair(held, "ca"))
    for entry, hosts in (("store", wanted.hosts), ("smtp", wanted.smtp_hosts)):
        if hosts and not still_good(_pair(held, entry), ca.certificate, hosts, now):
            fresh = leaf(ca, hosts, now)
            made |= {f"{entry}.crt": fresh.certificate, f"{entry}.key": fresh.key}
    if not still_good(_pair(held, "client"), ca.certificate, (), now):
        fresh = leaf(ca, (), now, client=True, name="edge")
        made |= {"client.crt": fresh.certificate, "client.key": fresh.key}
    return {name: value for name, value in made.items() if held.get(name) != value}


def _self_signed(wanted: Wanted, held: Mapping[str, bytes], now: dt.datetime) -> dict[str, bytes]:
    """Make an authority and a leaf; the authority's key is kept nowhere, so it can sign nothing else."""
    if still_good(_pair(held, "tls"), held.get("ca.crt", b""), wanted.hosts, now):
        return {}
    ca = authority(f"postboat self-signed for {wanted.hosts[0]}", now)
    fresh = leaf(ca, wanted.hosts, now)
    return {"ca.crt": ca.certificate, "tls.crt": fresh.certificate, "tls.key": fresh.key}


def _pair(held: Mapping[str, bytes], entry: str) -> Pair:
    return Pair(held.get(f"{entry}.crt", b""), held.get(f"{entry}.key", b""))


def _password() -> bytes:
    alphabet = string.ascii_letters + string.digits
    return "".join(secrets.choice(alphabet) for _ in range(PASSWORD_LENGTH)).encode()


def _encoded(entries: Mapping[str, bytes]) -> dict[str, str]:
    return {name: base64.b64encode(value).decode() for name, value in sorted(entries.items())}


def _body(server: Resource, wanted: Wanted, entries: Mapping[str, bytes]) -> Json:
    labels = {
        "app.kubernetes.io/name": "postboat",
        (SERVER if wanted.kind is WantedKind.DKIM else INSTANCE): server.name,
        MANAGED: "postboat",
        KEEP: "true",
        "postboat.dev/watch": "true",
    }
    meta: Json = {"namespace": server.namespace, "name": wanted.name, "labels": labels}
    if wanted.kind is not WantedKind.DKIM:
        meta["ownerReferences"] = [owner(server.name, server.uid)]
    return {"apiVersion": "v1", "kind": "Secret", "metadata": meta, "type": "Opaque", "data": _encoded(entries)}
