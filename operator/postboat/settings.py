"""The settings of the operator process, read from the environment once at the start.

No other module reads environment variables.
"""

from __future__ import annotations

import os
import socket
from dataclasses import dataclass, field
from ipaddress import ip_network
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

IMAGES = ("postfix", "dovecot", "rspamd", "valkey")
"""Names of the images of a platform; POSTBOAT_IMAGE_POSTFIX and the like set them."""


@dataclass(frozen=True, slots=True)
class Settings:
    """The operator's own settings; those of a mail platform are in its resources."""

    namespaces: tuple[str, ...] = ()
    """Namespaces to serve; empty for all."""
    operator_namespace: str = "postboat-system"
    """Namespace of the operator and its Lease."""
    identity: str = "postboat"
    """`holderIdentity` in the Lease, unique among processes."""
    lease_name: str = "postboat"
    cluster_domain: str = "cluster.local"
    images: Mapping[str, str] = field(default_factory=dict)
    """Image references by name, see IMAGES."""
    image_pull_secrets: tuple[str, ...] = ()
    """Names of Secrets, in the namespace of each platform, for pulling these images."""
    cluster_networks: tuple[str, ...] = ()
    """Networks that pods must not reach as if they were the internet, in CIDR notation.

    They are those of nodes, pods, Services and API server.
    """
    kubeconfig: str = ""
    """Path of a file; "" for the service account of the pod."""
    api_server: str = ""
    """URL of the API server, from the environment of the pod; a kubeconfig has precedence."""
    log_level: str = "INFO"
    log_format: str = "json"
    """`json` or `text`."""
    probe_port: int = 8080
    """TCP port of the probes; 0 for none."""
    metrics_port: int = 8081
    """TCP port of the metrics; 0 for none."""
    watch_silence: float = 70.0
    """Seconds without an event or bookmark after which a watch counts as broken."""
    resync: float = 600.0
    """Seconds between two reconciles without a change, about."""
    touch_pods: bool = True
    """Whether pods are annotated so that their kubelets refresh files at once; else they do at their own interval."""


def from_environment(environment: Mapping[str, str] | None = None) -> Settings:
    """Return the settings from environment variables.

    Args:
        environment: None for the environment of the process.

    Raises:
        ValueError: A number, switch or network cannot be read.
    """
    known = os.environ if environment is None else environment
    return Settings(
        namespaces=_names(known, "POSTBOAT_NAMESPACES"),
        operator_namespace=known.get("POD_NAMESPACE", "postboat-system"),
        identity=known.get("POD_NAME", "") or f"{socket.gethostname()}-{os.getpid()}",
        lease_name=known.get("POSTBOAT_LEASE", "postboat"),
        cluster_domain=known.get("POSTBOAT_CLUSTER_DOMAIN", "cluster.local"),
        images={name: known.get(f"POSTBOAT_IMAGE_{name.upper()}", f"postboat/{name}:dev") for name in IMAGES},
        image_pull_secrets=_names(known, "POSTBOAT_IMAGE_PULL_SECRETS"),
        cluster_networks=_networks(known, "POSTBOAT_CLUSTER_NETWORKS"),
        kubeconfig=known.get("POSTBOAT_KUBECONFIG", "") or known.get("KUBECONFIG", ""),
        api_server=_api_server(known),
        log_level=known.get("POSTBOAT_LOG_LEVEL", "INFO").upper(),
        log_format=known.get("POSTBOAT_LOG_FORMAT", "json"),
        probe_port=int(known.get("POSTBOAT_PROBE_PORT", "8080")),
        metrics_port=int(known.get("POSTBOAT_METRICS_PORT", "8081")),
        watch_silence=float(known.get("POSTBOAT_WATCH_SILENCE_SECONDS", "70")),
        resync=float(known.get("POSTBOAT_RESYNC_SECONDS", "600")),
        touch_pods=_switch(known, "POSTBOAT_TOUCH_PODS", default=True),
    )


def _api_server(known: Mapping[str, str]) -> str:
    host, port = known.get("KUBERNETES_SERVICE_HOST", ""), known.get("KUBERNETES_SERVICE_PORT", "443")
    return f"https://[{host}]:{port}" if ":" in host else f"https://{host}:{port}" if host else ""


def _names(known: Mapping[str, str], name: str) -> tuple[str, ...]:
    return tuple(sorted({word.strip() for word in known.get(name, "").split(",")} - {""}))


def _networks(known: Mapping[str, str], name: str) -> tuple[str, ...]:
    try:
        return tuple(str(ip_network(word)) for word in _names(known, name))
    except ValueError as error:
        raise ValueError(f"{name}: {error}; write networks in CIDR notation, like 10.0.0.0/8") from error


def _switch(known: Mapping[str, str], name: str, *, default: bool) -> bool:
    word = known.get(name, "").strip().lower()
    if word not in {"", "true", "false"}:
        raise ValueError(f"{name}: write true or false")
    return default if not word else word == "true"
