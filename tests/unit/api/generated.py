"""Objects made from the schemas of the kinds: valid ones, and ones with something wrong in them.

The strategies read the structural schema, so they follow the models without being told.
"""

import re
from collections.abc import Callable, Hashable, Mapping
from functools import cache
from typing import Any, Final

from hypothesis import strategies as st

from postboat.api import Refusal, parse
from postboat.api.kinds import GROUP, VERSION, Kind
from postboat.api.schema import model_schema

Schema = Mapping[str, Any]
Json = Any

# Classes of characters that Go and Rust know and Python's `re` does not, by a few members of each.
_CLASSES: Final = {
    r"\p{L}": "éßñдλ漢",
    r"\p{M}": "\u0301",
    r"\p{N}": "٣",
    r"\p{Cc}": r"\x00-\x1f\x7f-\x9f",
}
_HOSTILE: Final = (
    "", " ", "\n",
    "a\n", "a\nb", "\x00", "a\x00", "a\tb", "\x7f", "../x", "-x", ".x", "x.", "a..b", "%s", "$(id)", "`id`",
    "${x}", "a;b", "a|b", "a@b@c", "@", "*", "\u2028", "\u202e", "é", "0", "-1", "1e9", "true", "null", "~", "x" * 300,
)  # fmt: skip


def _python_pattern(pattern: str) -> str:
    for ours, members in _CLASSES.items():
        pattern = pattern.replace(ours, members)
    return re.sub(r"\\x\{([0-9a-f]+)\}", lambda match: rf"\u{int(match[1], 16):04x}", pattern)


def _strings(schema: Schema) -> st.SearchStrategy[str]:
    if "enum" in schema:
        return st.sampled_from(schema["enum"])
    longest = schema["maxLength"]
    shortest = schema.get("minLength", 0)
    if "pattern" not in schema:
        return st.text(min_size=shortest, max_size=min(longest, 40))
    matching = st.from_regex(_python_pattern(schema["pattern"]).removesuffix("$"), fullmatch=True)
    return matching.filter(lambda text: shortest <= len(text) <= longest)


def _key_of(schema: Schema) -> Callable[[Json], Hashable]:
    keys = schema.get("x-kubernetes-list-map-keys", ())
    return lambda entry: tuple(entry[key] for key in keys) if keys else _frozen(entry)


def _frozen(value: Json) -> Hashable:
    if isinstance(value, dict):
        return tuple(sorted((key, _frozen(inner)) for key, inner in value.items()))
    return tuple(map(_frozen, value)) if isinstance(value, list) else value


def _maps(schema: Schema) -> st.SearchStrategy[dict[str, Any]]:
    names = ["smtp", "imap", "store"] if "x-kubernetes-validations" in schema else ["cpu", "example.com/x", "a-b_c.d"]
    return st.dictionaries(st.sampled_from(names), fitting(schema["additionalProperties"]), max_size=2)


def _objects(schema: Schema) -> st.SearchStrategy[dict[str, Any]]:
    if "additionalProperties" in schema:
        return _maps(schema)
    required = set(schema.get("required", ()))
    fields = {name: fitting(inner) for name, inner in schema["properties"].items()}
    return st.fixed_dictionaries(
        {name: fields[name] for name in fields if name in required},
        optional={name: fields[name] for name in fields if name not in required},
    )


def _numbers(schema: Schema) -> st.SearchStrategy[float]:
    low, high = schema["minimum"], schema["maximum"]
    return st.one_of(st.integers(int(low), int(high)), st.floats(low, high).map(lambda number: round(number, 3)))


def _lists(schema: Schema) -> st.SearchStrategy[list[Json]]:
    entries = fitting(schema["items"])
    return st.lists(entries, min_size=schema.get("minItems", 0), max_size=3, unique_by=_key_of(schema))


def fitting(schema: Schema) -> st.SearchStrategy[Json]:  # noqa: PLR0911 -- one return a type
    """Make values that the schema allows, but for rules between fields."""
    match schema.get("type", "amount"):
        case "amount":
            return st.one_of(st.integers(0, 10**6), st.sampled_from(["100m", "1.5", "256Mi", "2Gi"]))
        case "boolean":
            return st.booleans()
        case "integer":
            return st.integers(schema["minimum"], schema["maximum"])
        case "number":
            return _numbers(schema)
        case "string":
            return _strings(schema)
        case "array":
            return _lists(schema)
        case _:
            return _objects(schema)


ANYTHING: Final = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text() | st.sampled_from(_HOSTILE),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)


def _places(value: Json, here: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [here, *(place for key, entry in inner for place in _places(entry, (*here, key)))]


def _put(value: Json, place: tuple[Any, ...], new: Json) -> Json:
    if not place:
        return new
    first, *rest = place
    if isinstance(value, dict):
        return {**value, first: _put(value[first], tuple(rest), new)}
    return [_put(entry, tuple(rest), new) if index == first else entry for index, entry in enumerate(value)]


@st.composite
def spoilt(draw: st.DrawFn, specs: st.SearchStrategy[dict[str, Any]]) -> dict[str, Any]:
    """Take a spec and put something that may be wrong in one place of it."""
    spec = draw(specs)
    places = _places(spec)[1:]
    if not places or draw(st.integers(0, 5)) == 0:
        return {**spec, draw(st.sampled_from(["nonsense", "Domain", "hostName"])): draw(st.sampled_from(_HOSTILE))}
    wrong = st.sampled_from(_HOSTILE) | st.integers(-(2**40), 2**40) | st.booleans() | st.just([]) | st.just({})
    spoilt_spec: dict[str, Any] = _put(spec, draw(st.sampled_from(places)), draw(wrong))
    return spoilt_spec


# Where exactly one of two fields must stand, one that can be added.
_EITHER: Final = {"mailbox": ("address", "jane"), "passwordSecret": ("masterUser", {"name": "s", "key": "k"})}
# What a rule wants left out as a whole.
_OUT_OF_PLACE: Final = frozenset({"unknownRecipients"})


def _at(spec: Json, path: str) -> tuple[Json, Json]:
    """Find what a path of a refusal names: the value around it, and the key or index in that."""
    *around, last = [int(step) if step.isdigit() else step for step in re.findall(r"[^.\[\]]+", path)[1:]] or [""]
    for step in around:
        spec = spec[step]
    return spec, last


def _repair(spec: Json, path: str) -> bool:
    around, key = _at(spec, path)
    if isinstance(around, dict) and key in around and (key in _OUT_OF_PLACE or not isinstance(around[key], dict)):
        del around[key]
        return True
    place = around if key == "" or (isinstance(around, dict) and key not in around) else around[key]
    for one, (other, value) in _EITHER.items():
        if one in place and other in place:
            del place[other]
            return True
        if one not in place and other not in place and isinstance(place, dict):
            place[one] = value
            return True
    return False


def _lawful(kind: Kind, spec: dict[str, Any]) -> dict[str, Any]:
    """Take away what breaks a rule between fields, as far as that is easily done."""
    for _ in range(20):
        refusal = parse(raw_object(kind, "example.com" if kind.kind != "MailServer" else "mail", spec)).spec
        if not isinstance(refusal, Refusal):
            break
        try:
            if not _repair(spec, refusal.path):
                break
        except (KeyError, IndexError, TypeError):
            break
    return spec


@cache
def specs(kind: Kind) -> st.SearchStrategy[dict[str, Any]]:
    """Make specs of a kind: most of them right or nearly so."""
    fit: st.SearchStrategy[dict[str, Any]] = fitting(model_schema(kind.spec_model))
    lawful = fit.map(lambda spec: _lawful(kind, spec))
    return st.one_of(lawful, lawful, fit, spoilt(lawful))


def raw_object(kind: Kind, name: str, spec: Json) -> dict[str, Any]:
    """Write an object as a file would hold it."""
    return {
        "apiVersion": f"{GROUP}/{VERSION}",
        "kind": kind.kind,
        "metadata": {"name": name, "namespace": "default"},
        "spec": spec,
    }
