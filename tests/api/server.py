"""A real API server, asked plainly: what it answers to an object, with its status code and its words.

It is named by POSTBOAT_KUBECONFIG or KUBECONFIG.
"""

import json
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import yaml
from kubernetes.client import ApiClient, ApiException

from postboat.api import GROUP, KINDS, VERSION
from postboat.api.kinds import Kind
from postboat.api.schema import crds

Json = Any
DRY: Mapping[str, str] = {"dryRun": "All", "fieldValidation": "Strict"}
STRICT: Mapping[str, str] = {"fieldValidation": "Strict"}
PATIENCE = 60.0
DEFINITIONS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
INT_OR_STRING = '"anyOf": [{"type": "integer"}, {"type": "string"}], '  # the server spells it out
OPENAPI = f"/openapi/v3/apis/{GROUP}/{VERSION}"


@dataclass(frozen=True, slots=True)
class Answer:
    """What the server said."""

    code: int
    body: Json

    @property
    def taken(self) -> bool:
        """Whether the server accepted the object."""
        return self.code in {200, 201}

    @property
    def message(self) -> str:
        """The server's words about a refusal."""
        return str(self.body.get("message", ""))


class Server:
    """The API server and the namespace of these tests."""

    def __init__(self, client: ApiClient, namespace: str) -> None:
        self._client = client
        self.namespace = namespace

    def ask(
        self, method: str, path: str, body: Json = None, *, content: str = "application/json", **query: str
    ) -> Answer:
        """Make one request, with no retry: a refusal is an answer, too."""
        try:
            response = self._client.call_api(
                path,
                method,
                query_params=list(query.items()),
                header_params={"Accept": "application/json", "Content-Type": content},
                body=body,
                auth_settings=["BearerToken"],
                _preload_content=False,
            )
        except ApiException as refusal:
            return Answer(refusal.status, _words(refusal.body))
        raw = response[0] if isinstance(response, tuple) else response
        return Answer(raw.status, _words(raw.data))

    def path(self, kind: Kind, name: str = "") -> str:
        """Where the objects of a kind are, or one of them."""
        return f"/apis/{GROUP}/{VERSION}/namespaces/{self.namespace}/{kind.plural}" + (f"/{name}" if name else "")

    def create(self, raw: Json, *, dry: bool = True) -> Answer:
        """Create an object, or only ask whether it could be."""
        placed = {**raw, "metadata": {**raw["metadata"], "namespace": self.namespace}}
        return self.ask("POST", self.path(KINDS[raw["kind"]]), placed, **(DRY if dry else STRICT))

    def change(self, kind: Kind, name: str, spec: Json) -> Answer:
        """Ask whether fields of the spec of an object could be changed so; None removes one."""
        return self.ask("PATCH", self.path(kind, name), {"spec": spec}, content="application/merge-patch+json", **DRY)

    def delete(self, kind: Kind, name: str) -> Answer:
        """Delete an object."""
        return self.ask("DELETE", self.path(kind, name))

    def install(self) -> None:
        """Apply all definitions and wait until they are served as they are written."""
        for text in crds().values():
            document = yaml.safe_load(text)
            query = {"fieldManager": "postboat-tests", "force": "true"}
            path = f"{DEFINITIONS}/{document['metadata']['name']}"
            answer = self.ask("PATCH", path, document, content="application/apply-patch+yaml", **query)
            assert answer.taken, answer
        deadline = time.monotonic() + PATIENCE
        while list(self._not_served()):
            assert time.monotonic() < deadline, list(self._not_served())
            time.sleep(0.3)

    def described(self) -> Mapping[str, Json]:
        """Give the schemas as clients see them (this is what `kubectl explain` shows), by kind."""
        schemas = self.ask("GET", OPENAPI).body.get("components", {}).get("schemas", {})
        prefix = ".".join(reversed(GROUP.split(".")))
        return {kind: schemas.get(f"{prefix}.{VERSION}.{kind}", {}) for kind in KINDS}

    def _not_served(self) -> Iterator[str]:
        described = self.described()
        for text in crds().values():
            spec = yaml.safe_load(text)["spec"]
            written = spec["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"]
            served = described[spec["names"]["kind"]].get("properties", {}).get("spec", {})
            if _text(written) != _text(served).replace(INT_OR_STRING, ""):
                yield spec["names"]["kind"]


def _text(schema: Json) -> str:
    return json.dumps(schema, sort_keys=True)


def _words(body: str | bytes | None) -> Json:
    try:
        return json.loads(body or "{}")
    except ValueError:
        return {"message": str(body)}
