"""From the models to CustomResourceDefinitions with structural schemas.

A schema is inline, without null, without defaults in a spec, and always in the same order, so that `crds/` can be
compared byte by byte with the models.
"""

from collections.abc import Mapping
from typing import Any, Final

import yaml
from pydantic import BaseModel
from typing_extensions import override

from postboat.api.kinds import GROUP, KINDS, VERSION, Column, Kind

CATEGORY: Final = "mail"

# What JSON Schema of pydantic says and a structural schema must not, or need not.
_DROPPED: Final = frozenset({"$defs", "additionalProperties", "default", "patternProperties", "propertyNames", "title"})
_KEPT: Final = frozenset(
    {
        "description",
        "enum",
        "format",
        "maxItems",
        "maxLength",
        "maxProperties",
        "maximum",
        "minItems",
        "minLength",
        "minProperties",
        "minimum",
        "pattern",
        "required",
        "type",
        "x-kubernetes-int-or-string",
        "x-kubernetes-list-map-keys",
        "x-kubernetes-list-type",
        "x-kubernetes-map-type",
        "x-kubernetes-validations",
    }
)
_LARGEST_INT32: Final = 2**31 - 1

_UNJUDGED: Final = {"observedGeneration": -1}
"""The status of an object that the operator has not seen: kstatus (Helm, Flux) takes one without status for done."""

Schema = dict[str, Any]


def crds() -> Mapping[str, str]:
    """Return the CustomResourceDefinitions of all kinds: name of the file and YAML."""
    return {f"{GROUP}_{kind.plural}.yaml": _yaml(definition(kind)) for kind in KINDS.values()}


def definition(kind: Kind) -> dict[str, Any]:
    """Return the CustomResourceDefinition of one kind."""
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{kind.plural}.{GROUP}"},
        "spec": {
            "group": GROUP,
            "names": {
                "categories": [CATEGORY],
                "kind": kind.kind,
                "listKind": f"{kind.kind}List",
                "plural": kind.plural,
                "shortNames": list(kind.short_names),
                "singular": kind.singular,
            },
            "scope": "Namespaced",
            "versions": [_version(kind)],
        },
    }


def _version(kind: Kind) -> dict[str, Any]:
    return {
        "name": VERSION,
        "served": True,
        "storage": True,
        "subresources": {"status": {}},
        "additionalPrinterColumns": [_column(column) for column in kind.columns],
        "selectableFields": [{"jsonPath": f".spec.{field}"} for field in kind.selectable],
        "schema": {"openAPIV3Schema": _object_schema(kind)},
    }


def _column(column: Column) -> dict[str, Any]:
    written: dict[str, Any] = {"name": column.name, "type": column.type, "jsonPath": column.path}
    if column.wide:
        written["priority"] = 1
    return written


def _object_schema(kind: Kind) -> Schema:
    schema: Schema = {
        "type": "object",
        "description": kind.description,
        "required": ["spec"],
        "properties": {
            "apiVersion": {"type": "string", "description": f"Always {GROUP}/{VERSION}.", "maxLength": 64},
            "kind": {"type": "string", "description": f"Always {kind.kind}.", "maxLength": 64},
            "metadata": {"type": "object"},
            "spec": model_schema(kind.spec_model),
            "status": {"default": dict(_UNJUDGED), **model_schema(kind.status_model)},
        },
    }
    if kind.name_rules:
        schema["x-kubernetes-validations"] = [rule.as_validation() for rule in kind.name_rules]
    return schema


def model_schema(model: type[BaseModel]) -> Schema:
    """Return the structural schema of one model.

    Raises:
        ValueError: The model uses something that a structural schema cannot express.
    """
    schema = model.model_json_schema(by_alias=True, mode="validation")
    return _structural(schema, schema.get("$defs", {}))


def _structural(schema: Schema, definitions: Mapping[str, Schema]) -> Schema:
    flat = _flat(schema, definitions)
    unknown = flat.keys() - _KEPT - _DROPPED - {"properties", "items"}
    if unknown:
        raise ValueError(f"a structural schema cannot say {sorted(unknown)}: {flat}")
    result: Schema = {key: flat[key] for key in sorted(flat.keys() & _KEPT)}
    if "description" in result:
        result["description"] = " ".join(result["description"].split())
    if result.get("type") == "integer":
        result["format"] = "int32" if result.get("maximum", _LARGEST_INT32 + 1) <= _LARGEST_INT32 else "int64"
    if "properties" in flat:
        result["properties"] = {key: _structural(flat["properties"][key], definitions) for key in flat["properties"]}
    elif flat.get("type") == "object":
        result["additionalProperties"] = _structural(_entries(flat), definitions)
    if "items" in flat:
        result["items"] = _structural(flat["items"], definitions)
    return result


def _entries(schema: Schema) -> Schema:
    """Return the schema of the entries of a map; a schema cannot restrict the keys, so only `parse` checks them."""
    entries: list[Schema] = list(schema.get("patternProperties", {}).values())
    return entries[0] if entries else schema["additionalProperties"]


def _flat(schema: Schema, definitions: Mapping[str, Schema]) -> Schema:
    """Resolve a reference, and remove null from a choice; what is beside them has precedence."""
    beside = {key: value for key, value in schema.items() if key not in {"$ref", "anyOf", "allOf"}}
    if "$ref" in schema:
        return _flat(definitions[schema["$ref"].rsplit("/", 1)[-1]], definitions) | beside
    choices = [choice for choice in schema.get("anyOf", ()) if choice != {"type": "null"}]
    if len(choices) > 1:
        raise ValueError(f"a structural schema has no choice of types: {schema}")
    return _flat(choices[0], definitions) | beside if choices else beside


class _Dumper(yaml.SafeDumper):
    """A dumper that repeats what is equal instead of pointing at it, and indents lists."""

    @override
    def ignore_aliases(self, data: object) -> bool:
        del data
        return True

    @override
    def increase_indent(self, flow: bool = False, indentless: bool = False) -> None:
        del indentless
        super().increase_indent(flow, indentless=False)


def _yaml(document: Mapping[str, Any]) -> str:
    text: str = yaml.dump(document, Dumper=_Dumper, sort_keys=False, width=120, allow_unicode=True)
    return "# Generated from operator/postboat/api; do not edit.\n" + text
