"""Objects become resources, and whatever is wrong with them becomes a refusal that helps and keeps secrets."""

import json
import tracemalloc
from collections.abc import Iterator

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from postboat.api import GROUP, KINDS, Refusal, Resource, parse
from postboat.api.mailbox import MailboxSpec, MailboxType
from postboat.api.maildomain import MailDomainSpec
from postboat.api.parse import _validated
from postboat.api.schema import model_schema
from tests.unit.api.generated import ANYTHING, Json, raw_object, specs

RELAXED = settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much]
)


def refusal(kind: str, spec: Json, name: str = "example.com") -> Refusal:
    parsed = parse(raw_object(KINDS[kind], name, spec)).spec
    assert isinstance(parsed, Refusal), parsed
    return parsed


@given(ANYTHING, ANYTHING, ANYTHING, st.sampled_from([*KINDS, "Pod", None, 7]))
@RELAXED
def test_whatever_an_object_holds_parsing_never_raises(metadata: Json, spec: Json, status: Json, kind: Json) -> None:
    assert isinstance(parse({"kind": kind, "metadata": metadata, "spec": spec, "status": status}), Resource)


@pytest.mark.parametrize("kind", KINDS)
@given(data=st.data())
@RELAXED
def test_a_nearly_right_spec_is_taken_or_refused(kind: str, data: st.DataObject) -> None:
    spec = data.draw(specs(KINDS[kind]))
    parsed = parse(raw_object(KINDS[kind], "example.com", spec)).spec
    if isinstance(parsed, Refusal):
        assert parsed.message
        assert parsed.path.startswith(("spec", "metadata.name"))
    else:
        assert isinstance(parsed, KINDS[kind].spec_model)


def test_depth_and_foreign_keys_do_no_harm() -> None:
    deep: Json = {}
    for _ in range(50_000):
        deep = {"smtp": deep}
    assert isinstance(parse(raw_object(KINDS["MailServer"], "mail", deep)).spec, Refusal)
    assert isinstance(parse(raw_object(KINDS["MailServer"], "mail", {1: 2, None: 3})).spec, Refusal)
    for nothing in ({}, [], "x", None, 3):
        assert isinstance(parse(nothing).spec, Refusal)


@pytest.mark.parametrize("text", ["!!binary aGk=", "!!set {a, b}", "2026-01-02", ".nan", ".inf", "0x10"])
@pytest.mark.parametrize("field", ["displayName", "members", "quota", "username"])
def test_what_only_yaml_knows_is_no_value(field: str, text: str) -> None:
    document = yaml.safe_load(f"{{type: Group, {field}: {text}}}")
    assert refusal("Mailbox", document, "team").path == f"spec.{field}"


def test_metadata_is_kept_as_far_as_it_counts() -> None:
    raw = raw_object(KINDS["Mailbox"], "jane", {"type": "User"})
    raw["metadata"] |= {
        "uid": "u-1",
        "generation": 4,
        "creationTimestamp": "2026-01-02T03:04:05Z",
        "deletionTimestamp": "2026-01-03T03:04:05Z",
        "annotations": {f"{GROUP}/paused": "true", "kubectl.kubernetes.io/last-applied-configuration": "{}"},
        "managedFields": [{"manager": "kubectl"}],
    }
    raw["status"] = {"store": 3}
    resource = parse(raw)
    assert (resource.kind, resource.namespace, resource.name, resource.uid) == ("Mailbox", "default", "jane", "u-1")
    assert (resource.generation, resource.created, resource.deleting) == (4, "2026-01-02T03:04:05Z", True)
    assert resource.annotations == {f"{GROUP}/paused": "true"}
    assert resource.status == {"store": 3}
    assert isinstance(resource.spec, MailboxSpec)
    assert resource.spec.effective_type is MailboxType.USER


def test_null_is_absence() -> None:
    spec = parse(raw_object(KINDS["MailDomain"], "example.com", {"copyTo": None, "dkim": {"enabled": None}})).spec
    assert isinstance(spec, MailDomainSpec)
    assert spec.copy_to == ()
    assert spec.dkim is not None
    assert spec.dkim.enabled is None


@pytest.mark.parametrize(
    ("kind", "spec", "path", "part"),
    [
        ("MailDomain", {"copyto": []}, "spec.copyto", "did you mean copyTo?"),
        ("MailServer", {"hostname": "m.example.com", "smtp": {"queues": 1}}, "spec.smtp.queues", "did you mean queue?"),
        ("MailServer", {}, "spec.hostname", "required"),
        ("MailServer", {"hostname": "mail"}, "spec.hostname", "like mail.example.com"),
        ("MailDomain", {"copyTo": ["a@b.example", "x"]}, "spec.copyTo[1]", "like info@example.com"),
        ("MailDomain", {"copyTo": ["a@b.example"] * 2}, "spec.copyTo", "write each once"),
        ("MailDomain", {"delivery": "relay"}, "spec.delivery", "'Local' or 'Relay'"),
        ("MailDomain", {"delivery": "Relay"}, "spec.relay", "with delivery Relay"),
        ("Mailbox", {"quota": 5}, "spec.quota", "in quotes"),
        ("Mailbox", {"internal": "yes"}, "spec.internal", "true or false"),
        ("Mailbox", {"members": ["jane"]}, "spec.members", "type Group"),
        ("Mailbox", {"type": "Public", "owners": [{"name": "a"}, {"name": "a"}]}, "spec.owners", "the same name"),
        ("MailAddress", {"destinations": []}, "spec.destinations", "at least 1"),
        ("MailAddress", {"destinations": [{}]}, "spec.destinations[0]", "either mailbox"),
        ("RelayHost", {"host": "h.example", "port": 70000, "default": True}, "spec.port", "at most 65535"),
        ("RelayHost", {"host": "h.example"}, "spec.senders", "default: true"),
        ("Connector", "x", "spec", "write spec"),
        ("MailServer", {"hostname": "m.example.com", "pods": {"web": {}}}, "spec.pods.web", "'smtp'"),
        (
            "MailServer",
            {"hostname": "m.example.com", "pods": {"smtp": {"resources": {"limits": {"cpu": 0.5}}}}},
            "spec.pods.smtp.resources.limits.cpu",
            "like 2, 500m or 1Gi",
        ),
    ],
)
def test_a_refusal_names_the_field_and_the_cure(kind: str, spec: Json, path: str, part: str) -> None:
    refused = refusal(kind, spec, "example.com" if kind == "MailDomain" else "x")
    assert refused.path == path
    assert part in refused.message


@pytest.mark.parametrize(
    ("kind", "name", "path"),
    [
        ("MailDomain", "not-a-domain", "spec.domain"),
        ("Mailbox", "x" * 65, "spec.username"),
        ("MailAddress", "x" * 65, "spec.localPart"),
        ("MailServer", "x" * 41, "metadata.name"),
        ("MailServer", "mail.example", "metadata.name"),
        ("Mailbox", "Jane", "metadata.name"),
        ("Mailbox", "", "metadata.name"),
    ],
)
def test_a_name_that_cannot_stand_in_for_a_field_is_refused(kind: str, name: str, path: str) -> None:
    spec = {
        "MailServer": {"hostname": "mail.example.com"},
        "MailAddress": {"destinations": [{"mailbox": "jane"}]},
    }.get(kind, {})
    assert refusal(kind, spec, name).path == path


def test_unknown_kinds_and_versions_are_refused() -> None:
    assert parse({"kind": "Pod", "metadata": {"name": "x"}}).spec == Refusal(
        "kind", f"no such kind in {GROUP}: write one of {', '.join(sorted(KINDS))}"
    )
    raw = raw_object(KINDS["Mailbox"], "jane", {}) | {"apiVersion": "v1"}
    assert parse(raw).spec == Refusal("apiVersion", "write postboat.dev/v1alpha1")


@pytest.mark.parametrize("place", ["passwordSecret", "quota", "displayName", "username", "junk", "members", "type"])
def test_no_refusal_repeats_a_value(place: str) -> None:
    for value in ("hunter2\n", {"hunter2": "hunter2\n"}, ["hunter2\n"], {"name": "hunter2\n", "key": "hunter2\n"}):
        refused = refusal("Mailbox", {place: value}, "jane")
        assert "hunter2" not in refused.message


SECRET = "hunter2"
WRONG: tuple[Json, ...] = (
    f"{SECRET}\n",
    SECRET * 200,
    [f"{SECRET}\n"],
    {"name": f"{SECRET}\n"},
    [[SECRET]],
    [{"a": SECRET}],
)


def fields_below(schema: Json, here: tuple[str | int, ...] = ()) -> Iterator[tuple[str | int, ...]]:
    """Give the way to each field of a schema, through one entry of each list."""
    for name, inner in schema.get("properties", {}).items():
        yield (*here, name)
        yield from fields_below(inner, (*here, name))
    if "items" in schema:
        yield from fields_below(schema["items"], (*here, 0))


def put_at(place: tuple[str | int, ...], value: Json) -> Json:
    for step in reversed(place):
        value = [value] if isinstance(step, int) else {step: value}
    return value


@pytest.mark.parametrize("kind", KINDS)
def test_no_refusal_repeats_what_stands_in_any_field(kind: str) -> None:
    refused = 0
    for place in fields_below(model_schema(KINDS[kind].spec_model)):
        for wrong in WRONG:
            spec = put_at(place, wrong)
            for strict in (True, False):
                parsed = parse(raw_object(KINDS[kind], "example.com", spec), strict=strict).spec
                if isinstance(parsed, Refusal):
                    refused += 1
                    assert SECRET not in f"{parsed.path} {parsed.message}", spec
            faults = _validated(KINDS[kind], spec)
            if isinstance(faults, list):
                assert SECRET not in repr(faults), "not even for a log or a traceback"
    assert refused


def test_an_object_takes_little_memory() -> None:
    condition = {"type": "Ready", "status": "True", "reason": "InForce", "message": "", "observedGeneration": 1}
    raw = raw_object(KINDS["Mailbox"], "jane", {"passwordSecret": {"name": "jane", "key": "password"}, "quota": "2Gi"})
    raw["metadata"]["managedFields"] = [{"manager": "kubectl", "fieldsV1": {"f:spec": {"x" * 2000: {}}}}]
    raw["status"] = {"observedGeneration": 1, "conditions": [condition, {**condition, "type": "Accepted"}]}
    text = json.dumps(raw)
    parse(json.loads(text))
    tracemalloc.start()
    kept = [parse(json.loads(text)) for _ in range(500)]
    taken = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    assert taken / len(kept) < 4096


def test_what_many_objects_have_in_common_is_there_once() -> None:
    one, two = (
        parse(
            {
                "kind": "Mailbox",
                "metadata": {"name": name},
                "spec": {"displayName": name},
                "status": {"conditions": [{"type": "Ready", "status": "True"}], "username": name},
            }
        )
        for name in ("anna", "bert")
    )
    assert one.status["conditions"] is two.status["conditions"]
    assert one.annotations is two.annotations
    assert one.status["username"] is one.name
    odd = parse(
        {"kind": "Mailbox", "metadata": {"name": "odd"}, "spec": {}, "status": {"conditions": ["x", {"y": []}]}}
    )
    assert odd.status["conditions"] == ["x", {"y": []}]
