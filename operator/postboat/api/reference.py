"""The tables in `docs/kinds/`: every field of a kind with type and meaning, and the rules between fields.

They are made from the schema, so that a page agrees with what the API server accepts.
"""

from collections.abc import Iterator, Mapping
from typing import Any, Final

from postboat.api.kinds import Kind
from postboat.api.schema import definition

Schema = Mapping[str, Any]

# These are as Kubernetes has them in a pod; its own reference explains what is in them.
_AS_IN_A_POD: Final = frozenset({"spec.pods.WORKLOAD.affinity", "spec.pods.WORKLOAD.tolerations[]"})
_ORDINARY_STATUS: Final = frozenset({"status.conditions[]"})
_KEYS: Final = {"spec.pods": "WORKLOAD"}
_FORCE: Final = (
    "All of them are below `spec`. A field that this version does not act on yet, or that only newer definitions have, "
    "is accepted, and the condition `Accepted` names it (reason `FieldNotInForce`)."
)
_RULES: Final = "x-kubernetes-validations"
_LARGE: Final = 2**31 - 1


def reference(kind: Kind) -> str:
    """Return the tables of one kind as Markdown."""
    schema = definition(kind)["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
    parts = ["## Fields", "", _FORCE, "", *_table(schema["properties"]["spec"], "spec")]
    rules = sorted({rule["message"] for _, node in _nodes(schema, "") for rule in node.get(_RULES, ())})
    if rules:
        parts += ["", "## Rules", "", "The API server refuses what breaks one of these, in these words:", ""]
        parts += [f"- {rule}" for rule in rules]
    parts += ["", "## Status", "", *_table(schema["properties"]["status"], "status")]
    return "\n".join(parts) + "\n"


def _table(schema: Schema, start: str) -> list[str]:
    rows = [_row(path.removeprefix(f"{start}."), node, required) for path, node, required in _fields(schema, start)]
    return ["| field | type | meaning |", "|---|---|---|", *rows]


def _row(path: str, node: Schema, required: bool) -> str:  # noqa: FBT001 -- passed on from the schema
    return f"| `{path}` | {_type(node)}{', required' if required else ''} | {node['description']} |"


def _fields(schema: Schema, path: str) -> Iterator[tuple[str, Schema, bool]]:
    if path in _AS_IN_A_POD | _ORDINARY_STATUS:
        return
    for name, node in schema.get("properties", {}).items():
        here = f"{path}.{name}"
        yield here, node, name in schema.get("required", ())
        yield from _fields(node, here)
        if "items" in node:
            yield from _fields(node["items"], f"{here}[]")
        if "additionalProperties" in node:
            yield from _fields(node["additionalProperties"], f"{here}.{_KEYS.get(here, 'KEY')}")


def _nodes(schema: Schema, path: str) -> Iterator[tuple[str, Schema]]:
    yield path, schema
    for name, inner in schema.get("properties", {}).items():
        yield from _nodes(inner, f"{path}.{name}")
    for word in ("items", "additionalProperties"):
        if word in schema:
            yield from _nodes(schema[word], path)


def _type(node: Schema) -> str:
    match node.get("type", "amount"):
        case _ if "enum" in node:
            text = " or ".join(f"`{word}`" for word in node["enum"])
        case "array":
            text = f"list (up to {node['maxItems']}) of {_type(node['items'])}"
        case "object" if "additionalProperties" in node:
            text = f"map to {_type(node['additionalProperties'])}"
        case "integer" if node["maximum"] < _LARGE:
            text = f"integer, {node['minimum']} to {node['maximum']}"
        case "number":
            text = f"number, {node['minimum']:g} to {node['maximum']:g}"
        case "string":
            text = f"string (up to {node['maxLength']})"
        case plain:
            text = str(plain)
    return text
