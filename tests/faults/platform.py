"""A MailServer with pods that the test plays and operators that really run, for the cases that look at the whole."""

from __future__ import annotations

import base64
import time
from typing import TYPE_CHECKING

from postboat.cluster.types import CONFIG_MAP, SECRET, STATEFUL_SET, Json, ResourceType

from .stage import RESOURCES, FakePods, RunningOperator, condition, resource
from .test_reflector import KUBECONFIG

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from postboat.cluster.client import Client

NODE = ResourceType("", "v1", "nodes", "Node", namespaced=False)


class Platform:
    """A MailServer with a domain, fake pods, and an operator."""

    def __init__(self, client: Client, namespace: str, log: Path, *, kubeconfig: str = KUBECONFIG) -> None:
        self.client, self.namespace, self.log = client, namespace, log
        self.kubeconfig = kubeconfig
        self.pods = FakePods(client, namespace, "mail")
        self.operators = [self.operator()]

    def operator(self, **environment: str) -> RunningOperator:
        return RunningOperator(self.kubeconfig, self.namespace, self.log, **environment)

    def put(self, kind: str, name: str, **spec: object) -> None:
        self.client.apply(resource(kind, self.namespace, name, **spec), RESOURCES[kind])

    def get(self, kind: str, name: str) -> Json | None:
        return self.client.get(RESOURCES[kind], self.namespace, name)

    def password(self, name: str, word: str) -> None:
        data = {"password": base64.b64encode(word.encode()).decode()}
        meta = {"namespace": self.namespace, "name": name}
        self.client.apply({"apiVersion": "v1", "kind": "Secret", "metadata": meta, "data": data}, SECRET)

    def mailbox(self, name: str, **spec: object) -> None:
        self.put("Mailbox", name, passwordSecret={"name": "pw", "key": "password"}, **spec)

    def ready(self, kind: str, name: str) -> bool:
        return condition(self.get(kind, name), "Ready") == "True"

    def versions(self) -> dict[str, str]:
        kinds = [*RESOURCES.values(), CONFIG_MAP, SECRET, STATEFUL_SET]
        return {
            f"{kind.kind}/{raw['metadata']['name']}": raw["metadata"]["resourceVersion"]
            for kind in kinds
            for raw in self.client.pages(kind, self.namespace)
        }

    def settled(self, seconds: float = 30) -> dict[str, str]:
        """Give the versions of all objects once nothing has been written for a while."""
        deadline = time.monotonic() + seconds
        before = self.versions()
        while time.monotonic() < deadline:
            time.sleep(1.5)
            now = self.versions()
            if now == before:
                return now
            before = now
        raise AssertionError("the platform does not come to rest")

    def stop(self) -> None:
        for operator in self.operators:
            if operator.process.poll() is None:
                operator.stop()
        self.pods.stop()


def eventually(condition: Callable[[], object], seconds: float = 90) -> float:
    """Wait until something is true, an operator's start included; the result is how long that took."""
    begun = time.monotonic()
    while not condition():
        assert time.monotonic() - begun < seconds, "this should have become true"
        time.sleep(0.02)
    return time.monotonic() - begun
