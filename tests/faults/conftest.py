"""What the cases with a whole operator have in common."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING

import pytest

from postboat.cluster.client import Client
from postboat.cluster.connection import Connection

from .platform import NODE, Platform, eventually
from .stage import RESOURCES, install_definitions
from .test_reflector import KUBECONFIG, NAMESPACE_TYPE

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture(scope="module")
def client() -> Client:
    if not KUBECONFIG:
        pytest.skip("no KUBECONFIG: this test needs a real API server")
    client = Client(Connection(KUBECONFIG))
    if any(True for _ in client.pages(NODE)):
        pytest.skip("this test plays the pods itself, so it needs an API server without nodes")
    install_definitions(client)
    return client


@pytest.fixture
def platform(client: Client, tmp_path: Path) -> Iterator[Platform]:
    name = f"operator-{uuid.uuid4().hex[:8]}"
    client.create(NAMESPACE_TYPE, {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})
    platform = Platform(client, name, tmp_path / "operator.log")
    platform.password("pw", "a password")
    platform.put("MailServer", "mail", hostname="mail.example.test")
    platform.put("MailDomain", "example.test")
    try:
        eventually(lambda: platform.ready("MailServer", "mail"))
        yield platform
        assert platform.operators[0].complaints() == []
    finally:
        platform.stop()
        for kind in RESOURCES.values():
            client._json("DELETE", kind.path(name), timeout=60)
        client.delete(NAMESPACE_TYPE, "", name)
