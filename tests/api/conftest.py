"""One API server, its definitions, and a namespace for all of these tests."""

import os
import secrets
from collections.abc import Iterator

import pytest
from kubernetes.config import new_client_from_config

from tests.api.server import Server


@pytest.fixture(scope="session")
def server() -> Iterator[Server]:
    kubeconfig = os.environ.get("POSTBOAT_KUBECONFIG") or os.environ.get("KUBECONFIG")
    if not kubeconfig:
        pytest.skip("needs an API server: set POSTBOAT_KUBECONFIG or KUBECONFIG")
    server = Server(new_client_from_config(config_file=kubeconfig), f"postboat-api-{secrets.token_hex(3)}")
    namespace = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": server.namespace}}
    assert server.ask("POST", "/api/v1/namespaces", namespace).taken
    server.install()
    yield server
    server.ask("DELETE", f"/api/v1/namespaces/{server.namespace}")
