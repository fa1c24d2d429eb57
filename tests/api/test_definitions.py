"""The definitions as a real API server serves them: strict about fields, explained, listed, with statuses."""

import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

from postboat.api import GROUP, KINDS
from tests.api.server import DEFINITIONS, Json, Server
from tests.unit.api.generated import raw_object

pytestmark = pytest.mark.api

MINIMAL: dict[str, tuple[str, Json]] = {
    "MailServer": ("mail", {"hostname": "mail.example.com"}),
    "MailDomain": ("example.com", {}),
    "Mailbox": ("jane", {}),
    "MailAddress": ("info", {"destinations": [{"mailbox": "jane"}, {"address": "joe@example.net"}]}),
    "Connector": (
        "jane-elsewhere",
        {
            "mailbox": "jane",
            "protocol": "IMAP",
            "remote": {"host": "imap.example.net", "username": "jane", "passwordSecret": {"name": "s", "key": "k"}},
        },
    ),
    "RelayHost": ("smarthost", {"host": "smtp.example.net", "default": True}),
    "FilterPolicy": ("cautious", {}),
}
every_kind = pytest.mark.parametrize("name", KINDS)


@every_kind
def test_a_definition_is_established(server: Server, name: str) -> None:
    found = server.ask("GET", f"{DEFINITIONS}/{KINDS[name].plural}.{GROUP}").body
    conditions = {condition["type"]: condition for condition in found["status"]["conditions"]}
    assert conditions["Established"]["status"] == "True"
    assert conditions["NamesAccepted"]["status"] == "True"
    assert conditions.get("NonStructuralSchema", {"status": "False"})["status"] == "False"


@every_kind
def test_the_least_object_is_taken_as_it_is(server: Server, name: str) -> None:
    called, spec = MINIMAL[name]
    answer = server.create(raw_object(KINDS[name], called, spec))
    assert answer.taken, answer
    assert answer.body["spec"] == spec


@every_kind
def test_an_object_that_nobody_has_judged_says_so(server: Server, name: str) -> None:
    kind, (called, spec) = KINDS[name], MINIMAL[name]
    given = {**raw_object(kind, called, spec), "status": {"observedGeneration": 1}}
    assert server.create(given, dry=False).taken
    try:
        found = server.ask("GET", server.path(kind, called)).body
        assert found["status"] == {"observedGeneration": -1}
        assert found["spec"] == spec
        assert server.ask("PATCH", f"{server.path(kind, called)}/status", {"status": None},
                          content="application/merge-patch+json").taken  # fmt: skip
        assert server.ask("GET", server.path(kind, called)).body["status"] == {"observedGeneration": -1}
    finally:
        server.delete(kind, called)


@every_kind
def test_an_unknown_field_is_refused(server: Server, name: str) -> None:
    called, spec = MINIMAL[name]
    answer = server.create(raw_object(KINDS[name], called, {**spec, "nonsense": 1}))
    assert answer.code == 400
    assert "spec.nonsense" in answer.message


@every_kind
def test_every_field_explains_itself(server: Server, name: str) -> None:
    def walk(schema: Json, path: str) -> None:
        for field, inner in schema.get("properties", {}).items():
            assert inner.get("description"), f"{path}.{field}"
            walk(inner.get("items", inner.get("additionalProperties", inner)), f"{path}.{field}")

    described = server.described()[name]
    assert described["description"]
    walk(described["properties"]["spec"], "spec")
    walk(described["properties"]["status"], "status")


def test_kubectl_explains_and_lists(server: Server, tmp_path: Path) -> None:
    kubectl = shutil.which("kubectl")
    if kubectl is None:
        pytest.skip("needs kubectl in PATH")
    kubeconfig = os.environ.get("POSTBOAT_KUBECONFIG") or os.environ["KUBECONFIG"]

    def run(*arguments: str) -> str:
        command = [
            kubectl,
            "--kubeconfig",
            kubeconfig,
            "--cache-dir",
            str(tmp_path),
            "-n",
            server.namespace,
            *arguments,
        ]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout  # noqa: S603

    assert "How long delivery is tried before a message is returned" in run("explain", "msrv.spec.smtp.queueLifetime")
    assert "write either" not in run("explain", "maddr.spec.destinations")
    for kind, (called, spec) in MINIMAL.items():
        assert server.create(raw_object(KINDS[kind], called, spec), dry=False).taken
    listed = run("get", "mail", "-o", "name")
    wide = run("get", "maddr,mbx,msrv", "-o", "wide")
    selected = run("get", "mconn", "--field-selector", "spec.mailbox=jane", "-o", "name")
    for kind, (called, _) in MINIMAL.items():
        assert f"{KINDS[kind].singular}.{GROUP}/{called}" in listed
        server.delete(KINDS[kind], called)
    assert "CERTIFICATE UNTIL" in wide
    assert "jane-elsewhere" in selected


@every_kind
def test_a_status_is_written_apart_and_ages_by_conditions(server: Server, name: str) -> None:
    kind, (called, spec) = KINDS[name], MINIMAL[name]
    assert server.create(raw_object(kind, called, spec), dry=False).taken
    condition = {
        "type": "Ready",
        "status": "True",
        "reason": "InForce",
        "message": "",
        "lastTransitionTime": "2026-01-02T03:04:05Z",
        "observedGeneration": 1,
    }
    path = f"{server.path(kind, called)}/status"
    merge = "application/merge-patch+json"
    good = server.ask(
        "PATCH",
        path,
        {"status": {"observedGeneration": 1, "conditions": [condition]}},
        content=merge,
        fieldValidation="Strict",
    )
    twice = server.ask("PATCH", path, {"status": {"conditions": [condition, condition]}}, content=merge)
    odd = server.ask("PATCH", path, {"status": {"conditions": [{**condition, "status": "Degraded"}]}}, content=merge)
    server.delete(kind, called)
    assert good.taken, good
    assert good.body["metadata"]["generation"] == 1
    assert good.body["status"]["conditions"] == [condition]
    assert (twice.code, odd.code) == (422, 422)


def test_two_hands_may_each_own_an_entry_of_a_list(server: Server) -> None:
    kind = KINDS["MailDomain"]
    for manager, address in (("one", "a@example.net"), ("other", "b@example.net")):
        body = raw_object(kind, "example.com", {"copyTo": [address]})
        body["metadata"]["namespace"] = server.namespace
        path = server.path(kind, "example.com")
        answer = server.ask("PATCH", path, body, content="application/apply-patch+yaml", fieldManager=manager)
        assert answer.taken, answer
    server.delete(kind, "example.com")
    assert answer.body["spec"]["copyTo"] == ["a@example.net", "b@example.net"]


def examples() -> list[tuple[str, Json]]:
    pages = sorted((Path(__file__).parents[2] / "docs" / "kinds").glob("*.md"))
    blocks = [(page.stem, block.split("```")[0]) for page in pages for block in page.read_text().split("```yaml\n")[1:]]
    return [(stem, document) for stem, block in blocks for document in yaml.safe_load_all(block) if document]


@pytest.mark.parametrize(("page", "document"), examples(), ids=lambda value: value if isinstance(value, str) else "")
def test_an_example_of_the_docs_applies(server: Server, page: str, document: Json) -> None:
    if document["apiVersion"].startswith(GROUP):
        answer = server.create(document)
        assert answer.taken, (page, answer.message)
        assert json.dumps(answer.body["spec"], sort_keys=True) == json.dumps(document["spec"], sort_keys=True)
    else:
        assert document["kind"] == "Secret", (page, document)
