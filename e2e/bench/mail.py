"""Delivery and reading, in turns with the same daemons started by hand: what the platform adds is the ratio."""

from __future__ import annotations

import secrets
import shutil
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from e2e.bench.figures import Figure
from e2e.bench.reference import IMAPS, SMTP, Reference
from e2e.bench.traffic import SESSIONS, Server, deliver, read
from e2e.platform import Platform
from e2e.processes import container_processes
from tools.install import built_images

LOOPBACK = "127.0.0.1"
ADMITTED = {"podSelector": {}, "policyTypes": ["Ingress"], "ingress": [{"ports": [{"port": 11332}]}]}
"""The reference asks the same filter, from the node."""


@dataclass(frozen=True)
class Load:
    """So many pairs of turns, and in each turn messages to deliver and seconds of reading."""

    pairs: int
    messages: int
    seconds: float


def compare(platform: Platform, load: Load, say: Callable[[str], None]) -> list[Figure]:
    """Medians over all pairs, each beside the reference's."""
    accounts = [platform.add_mailbox() for _ in range(SESSIONS)]
    recipients = [f"{account.user}@{platform.domains[0]}" for account in accounts]
    passwords = [(account.user, account.password) for account in accounts]
    archives = {name: Path(image["archive"]) for name, image in built_images().items()}
    folder = Path(tempfile.mkdtemp(prefix="postboat-reference-"))
    meta = {"name": "reference", "namespace": platform.namespace}
    policy = {"apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy", "metadata": meta, "spec": ADMITTED}
    platform.kube.apply(policy)
    turns: dict[str, dict[str, list[float]]] = {"platform": {}, "reference": {}}
    try:
        with Reference(platform, folder, archives) as reference:
            servers = {
                "platform": _of(platform),
                "reference": Server((LOOPBACK, SMTP), (LOOPBACK, IMAPS), reference.mail),
            }
            for server in servers.values():
                deliver(server, recipients, SESSIONS, secrets.token_hex(4))  # everything is there and warm
            for number in range(load.pairs):
                for name, server in servers.items():
                    taken, delivered = deliver(server, recipients, load.messages, secrets.token_hex(4))
                    short, long = read(server, passwords, load.seconds)
                    found = {"taken": taken, "delivered": delivered, "short sessions": short, "commands": long}
                    say(f"{number + 1}/{load.pairs} {name}: {', '.join(f'{k} {v:.1f}/s' for k, v in found.items())}")
                    for what, value in found.items():
                        turns[name].setdefault(what, []).append(value)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    sizes = {"taken": load.messages, "delivered": load.messages}
    return [
        Figure(what, sizes.get(what, SESSIONS), median(values), "1/s", median(turns["reference"][what]))
        for what, values in turns["platform"].items()
    ]


def _of(platform: Platform) -> Server:
    """The platform from outside; its volume by way of a process that has it."""
    (pod,) = platform.kube.pods(platform.namespace, "store", platform.name)
    (agent,) = (one for one in container_processes(pod)["dovecot"] if one.inner == 1)
    smtp, imap = (platform.service_address(f"{platform.name}-{name}") for name in ("smtp", "imap"))
    return Server((smtp, 25), (imap, 993), Path(f"/proc/{agent.pid}/root/srv/mail"))
