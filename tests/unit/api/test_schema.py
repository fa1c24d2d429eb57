"""The definitions in `crds/` say what the models say, and only what a structural schema should."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from postboat.api import GROUP, KINDS, VERSION, fields_in_use, parse
from postboat.api.fields import fields_at
from postboat.api.schema import crds, definition, model_schema
from tests.unit.api.generated import raw_object

FOLDER = Path(__file__).parents[3] / "crds"
LARGEST = 262_144
Schema = dict[str, Any]

every_kind = pytest.mark.parametrize("name", KINDS)


def whole(name: str) -> Schema:
    schema: Schema = definition(KINDS[name])["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
    return schema


def nodes(schema: Schema, path: str = "") -> Iterator[tuple[str, Schema]]:
    yield path, schema
    for name, inner in schema.get("properties", {}).items():
        yield from nodes(inner, f"{path}.{name}")
    for word in ("items", "additionalProperties"):
        if word in schema:
            yield from nodes(schema[word], f"{path}[]")


def fields(name: str) -> Iterator[tuple[str, Schema]]:
    return ((path, node) for path, node in nodes(whole(name)) if path.startswith((".spec", ".status")))


def test_the_folder_holds_what_the_models_say() -> None:
    assert {path.name: path.read_text() for path in FOLDER.glob("*.yaml")} == dict(crds())


def test_writing_twice_gives_the_same_bytes() -> None:
    assert crds() == crds()


@every_kind
def test_a_definition_fits_into_an_annotation(name: str) -> None:
    assert len(json.dumps(definition(KINDS[name]))) < LARGEST
    assert len(crds()[f"{GROUP}_{KINDS[name].plural}.yaml"]) < LARGEST


@every_kind
def test_the_names_are_those_of_the_contract(name: str) -> None:
    written = yaml.safe_load(crds()[f"{GROUP}_{KINDS[name].plural}.yaml"])["spec"]
    assert written["group"] == GROUP
    assert written["names"]["categories"] == ["mail"]
    assert written["names"]["shortNames"] == list(KINDS[name].short_names)
    assert [version["name"] for version in written["versions"]] == [VERSION]
    assert written["versions"][0]["subresources"] == {"status": {}}


@every_kind
def test_no_field_has_a_default_or_takes_null(name: str) -> None:
    for path, node in fields(name):
        unwanted = {"default", "nullable", "title", "anyOf", "allOf", "oneOf", "$ref"}
        assert not node.keys() & (unwanted - {"default"} if path == ".status" else unwanted), path


@every_kind
def test_a_status_that_nobody_wrote_says_so(name: str) -> None:
    (status,) = (node for path, node in fields(name) if path == ".status")
    assert status["default"] == {"observedGeneration": -1}
    assert status["properties"]["observedGeneration"]["minimum"] == -1


@every_kind
def test_everything_is_bounded(name: str) -> None:
    for path, node in fields(name):
        match node.get("type"):
            case "string":
                assert "enum" in node or "maxLength" in node, path
            case "integer" | "number":
                assert {"minimum", "maximum"} <= node.keys(), path
            case "array":
                assert "maxItems" in node, path
            case "object" if "additionalProperties" in node:
                assert "maxProperties" in node, path


@every_kind
def test_every_list_says_how_it_is_merged(name: str) -> None:
    for path, node in fields(name):
        if node.get("type") == "array":
            assert node["x-kubernetes-list-type"] in {"set", "map", "atomic"}, path
        if node.get("x-kubernetes-list-type") == "map":
            assert set(node["x-kubernetes-list-map-keys"]) <= set(node["items"]["required"]), path
        if node.get("x-kubernetes-list-type") == "set" and node["items"]["type"] == "object":
            assert node["items"]["x-kubernetes-map-type"] == "atomic", path


@every_kind
def test_every_field_is_described(name: str) -> None:
    for path, node in fields(name):
        if not path.endswith("[]"):
            assert len(node.get("description", "")) > 3, path
            assert node["description"].endswith((".", ")")), path


@every_kind
def test_every_pattern_is_anchored_and_every_line_without_control_characters(name: str) -> None:
    for path, node in fields(name):
        if "pattern" in node:
            assert re.match(r"\^.*\$\Z", node["pattern"]), path
        elif node.get("type") == "string" and path.startswith(".spec"):
            assert "enum" in node, path


@every_kind
def test_every_rule_teaches(name: str) -> None:
    for path, node in nodes(whole(name)):
        for rule in node.get("x-kubernetes-validations", ()):
            assert "\n" not in rule["message"], path
            assert re.search(r"write|leave|make|needs|never|must not", rule["message"]), rule
            if "fieldPath" in rule:
                place = node
                for step in rule["fieldPath"].lstrip(".").split("."):
                    place = place["properties"][step]


@every_kind
def test_columns_and_selectors_show_fields_that_exist(name: str) -> None:
    version = definition(KINDS[name])["spec"]["versions"][0]
    known = {path.replace("[]", "") for path, _ in nodes(whole(name))}
    for column in version["additionalPrinterColumns"]:
        path = re.sub(r"\[[^]]*\]", "", column["jsonPath"])
        assert path in known or path == ".metadata.creationTimestamp", column
    for field in version["selectableFields"]:
        assert field["jsonPath"] in known, field


@every_kind
def test_a_status_has_conditions_and_a_generation(name: str) -> None:
    status = model_schema(KINDS[name].status_model)["properties"]
    assert status["observedGeneration"]["format"] == "int64"
    assert status["conditions"]["x-kubernetes-list-map-keys"] == ["type"]
    assert set(status["conditions"]["items"]["properties"]) == {
        "type",
        "status",
        "reason",
        "message",
        "lastTransitionTime",
        "observedGeneration",
    }


def test_names_of_fields_follow_the_conventions_of_kubernetes() -> None:
    for name in KINDS:
        for path, _ in fields(name):
            assert re.fullmatch(r"[a-z][A-Za-z0-9]*(\[\])*", path.rsplit(".", 1)[-1]), path


def test_the_fields_in_use_are_listed_by_their_paths() -> None:
    spec = {
        "hostname": "mail.example.com",
        "smtp": {"queue": {"size": "2Gi"}, "relayFrom": ["192.0.2.1"], "trustedNetworks": [], "authOnPort25": False},
        "tls": {"additional": [{"secretName": "a"}, {"secretName": "b"}]},
        "pods": {"smtp": {"resources": {"requests": {"cpu": "1"}}}},
        "imap": {},
    }
    parsed = parse(raw_object(KINDS["MailServer"], "mail", spec)).spec
    assert isinstance(parsed, KINDS["MailServer"].spec_model)
    assert fields_in_use(parsed) == (
        "hostname",
        "pods.smtp.resources.requests",
        "smtp.authOnPort25",
        "smtp.queue.size",
        "smtp.relayFrom",
        "tls.additional.secretName",
    )


@every_kind
def test_the_models_know_the_fields_of_the_schema(name: str) -> None:
    properties = model_schema(KINDS[name].spec_model)["properties"]
    assert fields_at(KINDS[name].spec_model, ()) == frozenset(properties)


@pytest.mark.parametrize(
    ("name", "path"),
    [
        ("MailServer", "smtp.copyAllTo"),
        ("MailServer", "smtp.authOnPort25"),
        ("MailServer", "imap.maxConnectionsPerUserIP"),
        ("MailServer", "accounts.kerberos.keytabSecret.name"),
        ("MailServer", "proxyProtocol.trustedNetworks"),
        ("MailServer", "filter.webInterface.passwordSecret.key"),
        ("MailDomain", "unknownRecipients.mailbox"),
        ("MailDomain", "disclaimer.markdown"),
        ("Mailbox", "junk.retention"),
        ("Mailbox", "owners.rights"),
        ("MailAddress", "destinations.address"),
        ("Connector", "remote.masterUser.passwordSecret"),
        ("Connector", "deleteAfterDelivery"),
        ("RelayHost", "credentialsSecret.usernameKey"),
        ("RelayHost", "implicitTLS"),
        ("FilterPolicy", "antispam.dnsbl.zone"),
        ("FilterPolicy", "rules.allowFrom"),
        ("FilterPolicy", "quarantine.notify"),
    ],
)
def test_the_schema_has_the_fields_of_the_contract(name: str, path: str) -> None:
    known = {place.replace("[]", "") for place, _ in fields(name)}
    assert f".spec.{path}" in known
