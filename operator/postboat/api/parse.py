"""From a raw object, as the API server or a file has it, to a `Resource`.

Nothing here raises: what is wrong with an object becomes a `Refusal` that names the field and the cure.
"""

import re
from collections.abc import Mapping
from contextlib import suppress
from difflib import get_close_matches
from functools import lru_cache, reduce
from operator import getitem
from sys import intern
from typing import Any, Final, cast

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from postboat.api.base import Model
from postboat.api.fields import fields_at, listed
from postboat.api.kinds import GROUP, KINDS, VERSION, Kind
from postboat.api.naming import Named
from postboat.api.resource import Refusal, Resource, Spec
from postboat.api.values import HINTS

_ANNOTATIONS: Final = f"{GROUP}/"
_DEEPEST: Final = 24
_NAME: Final = re.compile(r"[a-z0-9]([a-z0-9-]*[a-z0-9])?(\.[a-z0-9]([a-z0-9-]*[a-z0-9])?)*", re.ASCII)
_LONGEST_NAME: Final = 253
_CURES: Final[Mapping[str, str]] = {
    "bool_type": "write true or false",
    "enum": "write {expected}",
    "float_type": "write a number",
    "greater_than_equal": "write a number of at least {ge}",
    "int_type": "write a whole number",
    "less_than_equal": "write a number of at most {le}",
    "mapping_type": "write a map of fields",
    "missing": "this field is required",
    "model_type": "write a map of fields",
    "string_too_long": "write at most {max_length} characters",
    "string_too_short": "write at least {min_length} characters",
    "string_type": "write text (in quotes, where it looks like a number)",
    "too_long": "write at most {max_length} entries",
    "too_short": "write at least {min_length} entries",
    "tuple_type": "write a list",
}
_FOREIGN: Final = object()
_NOTHING: Final[Mapping[Any, Any]] = {}


def parse(raw: Mapping[str, Any], *, strict: bool = True) -> Resource:
    """Return the resource for a raw object; a spec that does not validate becomes a Refusal.

    Args:
        raw: The object as JSON or YAML has it.
        strict: Whether a field without a model is a fault, as a typo in a file is. The API server drops typos, so a
            field that it returns belongs to newer CRDs; without `strict` it is left out and listed in
            `Resource.unknown`, since a live object must not be refused because of it.
    """
    raw = _mapping(raw)
    metadata = _mapping(raw.get("metadata"))
    name = intern(_text(metadata.get("name")))
    generation = metadata.get("generation")
    spec, unknown = _spec(raw, name, strict=strict)
    return Resource(
        kind=intern(_text(raw.get("kind"))),
        namespace=intern(_text(metadata.get("namespace"))),
        name=name,
        uid=_text(metadata.get("uid")),
        generation=generation if isinstance(generation, int) else 0,
        created=intern(_text(metadata.get("creationTimestamp"))),
        deleting=metadata.get("deletionTimestamp") is not None,
        spec=spec,
        status=_status(_mapping(raw.get("status"))),
        annotations=_own_annotations(_mapping(metadata.get("annotations"))),
        finalizers=_own_finalizers(metadata.get("finalizers")),
        unknown=unknown,
    )


def _own_annotations(listed: Mapping[Any, Any]) -> Mapping[str, str]:
    found = {
        key: value
        for key, value in listed.items()
        if isinstance(key, str) and isinstance(value, str) and key.startswith(_ANNOTATIONS)
    }
    return found or _NOTHING


def _status(raw: Mapping[Any, Any]) -> Mapping[str, Any]:
    """Return a status with shared strings and conditions: those of thousands of objects are equal."""
    status = _lean(raw, _DEEPEST)
    if not status:
        return _NOTHING
    conditions = status.get("conditions")
    if isinstance(conditions, list):
        with suppress(TypeError, AttributeError):  # somebody has written there what no condition has
            status["conditions"] = _same_conditions(tuple(tuple(one.items()) for one in conditions))
    return cast("Mapping[str, Any]", status)


@lru_cache(maxsize=4096)
def _same_conditions(conditions: tuple[tuple[tuple[str, Any], ...], ...]) -> list[dict[str, Any]]:
    return [dict(one) for one in conditions]


def _own_finalizers(listed: object) -> tuple[str, ...]:
    known = listed if isinstance(listed, list) else []
    return tuple(intern(one) for one in known if isinstance(one, str) and one.startswith(_ANNOTATIONS))


def _spec(raw: Mapping[str, Any], name: str, *, strict: bool) -> tuple[Spec | Refusal, tuple[str, ...]]:
    kind = KINDS.get(_text(raw.get("kind")))
    if kind is None:
        return Refusal("kind", f"no such kind in {GROUP}: write one of {', '.join(sorted(KINDS))}"), ()
    if raw.get("apiVersion", f"{GROUP}/{VERSION}") != f"{GROUP}/{VERSION}":
        return Refusal("apiVersion", f"write {GROUP}/{VERSION}"), ()
    if _NAME.fullmatch(name) is None or len(name) > _LONGEST_NAME:
        return Refusal("metadata.name", "write a name of a-z, 0-9, hyphen and dot, of at most 253 characters"), ()
    content = raw.get("spec")
    if not isinstance(content, Mapping):
        return Refusal("spec", "write spec; it may be empty ({}) where every field is optional"), ()
    values = _without_nulls(content, _DEEPEST)
    found = _validated(kind, values)
    unknown: tuple[str, ...] = ()
    if isinstance(found, list) and not strict:
        unknown = _set_aside(values, found)
        found = _validated(kind, values) if unknown else found
    spec = _refusal(kind, found[0]) if isinstance(found, list) else _name_refusal(kind, name, found) or found
    if isinstance(spec, Refusal):
        hint = f" (left out, as unknown to this version: {listed(unknown)})" if unknown else ""
        return Refusal(spec.path, spec.message + hint), ()
    return cast("Spec", spec), unknown


def _validated(kind: Kind, values: Mapping[str, Any]) -> Model | list[ErrorDetails]:
    try:
        return kind.spec_model.model_validate(values)
    except ValidationError as error:
        return error.errors(include_url=False, include_input=False)


def _set_aside(values: Any, faults: list[ErrorDetails]) -> tuple[str, ...]:  # noqa: ANN401 -- any JSON
    """Remove the fields without a model from a spec, and return their paths; list entries have no index in them."""
    paths = set()
    for fault in faults:
        if fault["type"] == "extra_forbidden":
            *around, field = fault["loc"]
            reduce(getitem, around, values).pop(field)
            paths.add(intern(_path(("spec", *(step for step in fault["loc"] if isinstance(step, str))))))
    return tuple(sorted(paths))


def _name_refusal(kind: Kind, name: str, spec: Model) -> Refusal | None:
    named = Named(name, spec)
    for rule in kind.name_rules:
        if rule.holds is not None and not rule.holds(named):
            return Refusal(rule.field or "metadata.name", rule.message)
    return None


def _refusal(kind: Kind, error: ErrorDetails) -> Refusal:
    location = error["loc"]
    context = error.get("ctx", {})
    path = _path(("spec", *location))
    match error["type"]:
        case "rule":
            field = str(context["field"])
            return Refusal(f"{path}.{field}" if field else path, str(context["message"]))
        case "extra_forbidden":
            return Refusal(path, _unknown_field(kind, location))
        case "string_pattern_mismatch":
            pattern = str(context["pattern"])
            return Refusal(path, f"write {HINTS.get(pattern, f'text of the form {pattern}')}")
        case known if known in _CURES:
            return Refusal(path, _CURES[known].format(**context))
        case _:
            return Refusal(path, error["msg"])


def _unknown_field(kind: Kind, location: tuple[int | str, ...]) -> str:
    known = sorted(fields_at(kind.spec_model, location[:-1]))
    close = get_close_matches(str(location[-1]), known, n=1)
    if close:
        return f"there is no such field: did you mean {close[0]}?"
    return f"there is no such field: the fields here are {', '.join(known)}"


def _path(location: tuple[int | str, ...]) -> str:
    text = ""
    for step in location:
        if step == "[key]":  # pydantic's word for the key of a map
            break
        text += f"[{step}]" if isinstance(step, int) else f".{step}"
    return text.lstrip(".")


def _without_nulls(value: Any, depth: int) -> Any:  # noqa: ANN401 -- any JSON
    """Drop null fields, as the API server does, and what YAML knows and JSON does not (dates, sets, bytes)."""
    if depth == 0:
        return value
    if isinstance(value, Mapping):
        return {key: _without_nulls(inner, depth - 1) for key, inner in value.items() if inner is not None}
    if isinstance(value, list):
        return [_without_nulls(inner, depth - 1) for inner in value]
    return value if isinstance(value, str | int | float | None) else _FOREIGN


def _lean(value: Any, depth: int) -> Any:  # noqa: ANN401 -- any JSON
    """Return a JSON value with interned strings."""
    if isinstance(value, str):
        return intern(value)
    if depth and isinstance(value, Mapping):
        return {_lean(key, 0): _lean(inner, depth - 1) for key, inner in value.items()}
    if depth and isinstance(value, list):
        return [_lean(inner, depth - 1) for inner in value]
    return value


def _mapping(value: object) -> Mapping[Any, Any]:
    return value if isinstance(value, Mapping) else _NOTHING


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""
