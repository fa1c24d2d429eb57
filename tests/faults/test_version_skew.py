"""An operator older than the definitions, against an API server of its own, since others want theirs as they are.

Fields that it does not know are set on living objects of every kind that is in force: nothing of a platform may go.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
import yaml

from e2e.cluster import build
from e2e.cluster.api_only import api_server
from postboat.cluster.client import Client
from postboat.cluster.connection import Connection

from .platform import Platform, eventually
from .stage import CRD, ROOT, install_definitions
from .test_reflector import KUBECONFIG, NAMESPACE_TYPE

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from postboat.cluster.types import Json

pytestmark = [pytest.mark.api, pytest.mark.timeout(300)]
NEW = "newerThanThis"
NAME = "older"
OBJECTS: dict[tuple[str, str], dict[str, Any]] = {
    ("MailServer", "mail"): {"hostname": "mail.example.test"},
    ("MailDomain", "example.test"): {},
    ("Mailbox", "alice"): {"passwordSecret": {"name": "pw", "key": "password"}},
    ("MailAddress", "info"): {"destinations": [{"mailbox": "alice", NEW: {"word": "x"}}]},
}


def newer(document: Json) -> Json:
    """Give a definition one field more in its spec, and in each entry of `destinations`."""
    spec = document["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"]
    for schema in (spec, spec["properties"].get("destinations", {}).get("items", spec)):
        schema["properties"][NEW] = {"type": "object", "properties": {"word": {"type": "string", "maxLength": 9}}}
    return document


@pytest.fixture
def platform(tmp_path: Path) -> Iterator[Platform]:
    if not KUBECONFIG or not (build.binary_folder() / "kube-apiserver").exists():
        pytest.skip("this test starts an API server: run it by `python3 -m e2e.cluster.api_only`")
    with api_server() as kubeconfig:
        client = Client(Connection(str(kubeconfig)))
        install_definitions(client)
        client.create(NAMESPACE_TYPE, {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAME}})
        platform = Platform(client, NAME, tmp_path / "operator.log", kubeconfig=str(kubeconfig))
        try:
            platform.password("pw", "a password")
            platform.put("MailServer", "mail", hostname="mail.example.test")
            platform.put("MailDomain", "example.test")
            platform.mailbox("alice")
            platform.put("MailAddress", "info", destinations=[{"mailbox": "alice"}])
            eventually(lambda: all(platform.ready(*one) for one in OBJECTS))
            for path in sorted((ROOT / "crds").glob("*.yaml")):
                client.apply(newer(yaml.safe_load(path.read_text())), CRD)
            yield platform
            assert platform.operators[0].complaints() == []
        finally:
            platform.stop()


def test_living_objects_stay_when_they_get_fields_of_newer_definitions(platform: Platform) -> None:
    before = platform.settled()
    for (kind, name), spec in OBJECTS.items():

        def taken(kind: str = kind, name: str = name, spec: dict[str, Any] = spec) -> bool:
            """Apply until the API server goes by the newer definition."""
            platform.put(kind, name, **spec, **{NEW: {"word": "x"}})
            return NEW in (platform.get(kind, name) or {})["spec"]

        eventually(taken)
        eventually(lambda kind=kind, name=name: platform.ready(kind, name))  # type: ignore[misc]
        accepted = _accepted(platform.get(kind, name))
        assert (accepted["status"], accepted["reason"]) == ("True", "FieldNotInForce")
        assert f"spec.{NEW}" in accepted["message"]
    assert f"spec.destinations.{NEW}" in _accepted(platform.get("MailAddress", "info"))["message"]
    after = platform.settled()
    changed = {name for name in before.keys() | after.keys() if before.get(name) != after.get(name)}
    assert changed == {f"{kind}/{name}" for kind, name in OBJECTS}, "no byte of the platform"
    platform.mailbox("bob")
    platform.mailbox("second", username="alice")
    eventually(lambda: platform.ready("Mailbox", "bob"))
    eventually(lambda: _accepted(platform.get("Mailbox", "second")).get("reason") == "Conflict")


def _accepted(raw: Json | None) -> Json:
    conditions = ((raw or {}).get("status") or {}).get("conditions") or ()
    return next((one for one in conditions if one["type"] == "Accepted"), {})
