"""Definitions newer than the models: fields that only they know are set aside in a cluster, and refused in files."""

from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from postboat.api import KINDS, Refusal, Resource, parse
from postboat.api.schema import model_schema
from postboat.controller.watch.informers import resource_of
from tests.unit.api.generated import ANYTHING, Json, Schema, raw_object, specs

NEW = "newerThanThis"
RELAXED = settings(  # making a valid spec is slow, and a few of them have all the places
    max_examples=20, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much]
)
Place = tuple[int | str, ...]


def served(kind: str, spec: Json, name: str = "example.com") -> Resource:
    """Read an object as the operator does when the API server shows it."""
    return resource_of(kind)(raw_object(KINDS[kind], name, spec))


def _openings(schema: Schema, value: Json, here: Place = ()) -> Iterator[Place]:
    """Find the places of a spec where a newer definition may have one field more."""
    if isinstance(value, list):
        for index, entry in enumerate(value):
            yield from _openings(schema["items"], entry, (*here, index))
    elif isinstance(value, dict):
        if "properties" in schema:
            yield here
        for name, inner in value.items():
            below = schema.get("additionalProperties") or schema.get("properties", {}).get(name, {})
            yield from _openings(below, inner, (*here, name))


def _with_new(value: Json, place: Place, content: Json) -> Json:
    if not place:
        return {**value, NEW: content}
    first, *rest = place
    if isinstance(value, dict):
        return {**value, first: _with_new(value[first], tuple(rest), content)}
    return [_with_new(entry, tuple(rest), content) if index == first else entry for index, entry in enumerate(value)]


def _written(place: Place, *, numbers: bool) -> str:
    steps = [f"[{step}]" if isinstance(step, int) else f".{step}" for step in place if numbers or isinstance(step, str)]
    return "spec" + "".join(steps) + f".{NEW}"


@pytest.mark.parametrize("kind", KINDS)
@given(data=st.data())
@RELAXED
def test_a_new_field_anywhere_changes_nothing_but_what_is_said(kind: str, data: st.DataObject) -> None:
    name = "mail" if kind == "MailServer" else "example.com"
    spec: dict[str, Any] = data.draw(specs(KINDS[kind]))
    before = parse(raw_object(KINDS[kind], name, spec))
    assume(not isinstance(before.spec, Refusal))
    schema = model_schema(KINDS[kind].spec_model)
    places = data.draw(st.lists(st.sampled_from(list(_openings(schema, spec))), min_size=1, max_size=3, unique=True))
    newer = spec
    for place in places:
        newer = _with_new(newer, place, data.draw(ANYTHING.filter(lambda content: content is not None)))
    after = served(kind, newer, name)
    assert after.spec == before.spec
    assert after.unknown == tuple(sorted({_written(place, numbers=False) for place in places}))
    assert after != before, "else the change of a field that nobody knows would be overlooked"
    refused = parse(raw_object(KINDS[kind], name, newer))
    assert isinstance(refused.spec, Refusal)
    assert refused.spec.path in {_written(place, numbers=True) for place in places}
    assert refused.spec.message.startswith("there is no such field")
    assert refused.unknown == ()


@given(ANYTHING, ANYTHING, st.sampled_from([*KINDS, "Pod", None, 7]))
@RELAXED
def test_whatever_a_server_serves_reading_never_raises(metadata: Json, spec: Json, kind: Json) -> None:
    assert isinstance(parse({"kind": kind, "metadata": metadata, "spec": spec}, strict=False), Resource)


@pytest.mark.parametrize(
    ("kind", "spec", "unknown"),
    [
        ("Mailbox", {NEW: "x"}, (f"spec.{NEW}",)),
        ("Mailbox", {"access": {NEW: True}}, (f"spec.access.{NEW}",)),
        ("MailDomain", {"dkim": {NEW: [1]}, "also.new": {"deep": {}}}, ("spec.also.new", f"spec.dkim.{NEW}")),
        (
            "MailAddress",
            {"destinations": [{"mailbox": "a", NEW: 1}, {"mailbox": "b"}, {"mailbox": "c", NEW: 2}]},
            (f"spec.destinations.{NEW}",),
        ),
        (
            "MailServer",
            {"hostname": "m.example.com", "pods": {"smtp": {"tolerations": [{NEW: 1}]}}},
            (f"spec.pods.smtp.tolerations.{NEW}",),
        ),
    ],
)
def test_new_fields_are_named_by_their_paths(kind: str, spec: Json, unknown: tuple[str, ...]) -> None:
    read = served(kind, spec, "mail" if kind == "MailServer" else "example.com")
    assert not isinstance(read.spec, Refusal)
    assert read.unknown == unknown


def test_a_field_without_a_value_is_not_there() -> None:
    assert served("Mailbox", {NEW: None}).unknown == ()


@pytest.mark.parametrize(
    ("kind", "spec", "path", "part"),
    [
        ("Mailbox", {NEW: 1, "quota": "much"}, "spec.quota", "like"),
        ("Mailbox", {"forward": {NEW: ["a"]}}, "spec.forward.to", "required"),
        ("Mailbox", {NEW: 1, "members": ["a"]}, "spec.members", "type Group"),
        ("Mailbox", {NEW: 1, "type": "Room"}, "spec.type", "'User'"),
        ("MailAddress", {"destinations": [{NEW: "x"}]}, "spec.destinations[0]", "either mailbox"),
        ("MailServer", {NEW: 1}, "spec.hostname", "required"),
        ("MailServer", {"hostname": "m.example.com", NEW: 1, "pods": {"web": {}}}, "spec.pods.web", "'smtp'"),
    ],
)
def test_what_is_wrong_besides_is_refused_and_the_new_field_mentioned(
    kind: str, spec: Json, path: str, part: str
) -> None:
    read = served(kind, spec, "mail")
    assert isinstance(read.spec, Refusal)
    assert read.spec.path == path
    assert part in read.spec.message
    assert read.spec.message.endswith(f".{NEW})"), "it may be the cause, as a new field may stand in for an old one"
    assert read.unknown == ()


def test_a_name_that_only_a_new_field_can_replace_is_refused() -> None:
    read = served("MailDomain", {NEW: "example.com"}, "no-domain")
    assert isinstance(read.spec, Refusal)
    assert read.spec.path == "spec.domain"
    assert f"spec.{NEW}" in read.spec.message


@pytest.mark.parametrize("kind", KINDS)
def test_a_new_field_without_a_fault_besides_is_no_refusal_of_any_kind(kind: str) -> None:
    needed = {
        "MailServer": {"hostname": "m.example.com"},
        "MailAddress": {"destinations": [{"mailbox": "jane"}]},
        "RelayHost": {"host": "h.example.com", "default": True},
        "Connector": {
            "mailbox": "jane",
            "protocol": "IMAP",
            "remote": {"host": "h.example.com", "username": "u", "passwordSecret": {"name": "s", "key": "k"}},
        },
    }.get(kind, {})
    read = served(kind, {**needed, NEW: {"any": ["thing"]}}, "mail" if kind == "MailServer" else "example.com")
    assert not isinstance(read.spec, Refusal), read.spec
    assert read.unknown == (f"spec.{NEW}",)
