"""Leads mail clients of this process to the Services of a cluster, under the host name that the certificate names.

The embedded cluster routes its Services to the host; into any other cluster kubectl forwards a port for each.
"""

from __future__ import annotations

import json
import os
import re
import socket
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from typing import Any
from unittest import mock

from e2e.cluster.steps import StepError
from tools.install import Cluster

Place = tuple[str, int]
SERVICES = {587: "smtp", 993: "imap"}
FORWARDING = re.compile(r"^Forwarding from 127\.0\.0\.1:(\d+) ")


@contextmanager
def routed(routes: Mapping[Place, Place]) -> Iterator[None]:
    """Connect this process to another place wherever it asks for one of those named."""
    real = socket.create_connection

    def connect(address: Place, *rest: Any, **named: Any) -> socket.socket:  # noqa: ANN401
        return real(routes.get(address, address), *rest, **named)

    with mock.patch.object(socket, "create_connection", connect):
        yield


@contextmanager
def forwarded(cluster: Cluster, namespace: str, service: str, port: int) -> Iterator[Place]:
    """Forward a local port to a Service for the length of the block."""
    command = [str(cluster.kubectl), "-n", namespace, "port-forward", f"service/{service}", f":{port}"]
    environment = os.environ | {"KUBECONFIG": str(cluster.kubeconfig)}
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as process:
        try:
            line = process.stdout.readline() if process.stdout else ""
            if not (match := FORWARDING.match(line)):
                raise StepError(f"kubectl port-forward to {service}:{port} did not start: {line}")
            yield "127.0.0.1", int(match[1])
        finally:
            process.terminate()


def cluster_address(cluster: Cluster, namespace: str, service: str) -> str:
    """Return the address of a Service inside the cluster."""
    found = json.loads(cluster.run(cluster.kubectl, "-n", namespace, "get", "service", service, "-o", "json"))
    return str(found["spec"]["clusterIP"])


@contextmanager
def platform(cluster: Cluster, namespace: str, name: str, hostname: str) -> Iterator[None]:
    """Make the ports of a mail platform reachable under its host name."""
    with ExitStack() as stack:
        routes: dict[Place, Place] = {}
        for port, component in SERVICES.items():
            service = f"{name}-{component}"
            if cluster.embedded:
                routes[hostname, port] = cluster_address(cluster, namespace, service), port
            else:
                routes[hostname, port] = stack.enter_context(forwarded(cluster, namespace, service, port))
        stack.enter_context(routed(routes))
        yield
