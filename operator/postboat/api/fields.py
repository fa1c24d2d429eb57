"""The fields of a spec by their dotted paths, as in YAML.

They are used to report fields without effect, and to suggest a field for a misspelt one.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final, get_args

from postboat.api.base import Model

_MOST_LISTED: Final = 20
"""So many of the longest paths fit into the message of a condition, with room for a sentence."""


def fields_in_use(spec: Model) -> tuple[str, ...]:
    """Return the sorted paths of all fields that a spec sets, such as `smtp.queue.size`; lists have no index."""
    return tuple(sorted(set(_leaves(spec, ""))))


def _leaves(model: Model, prefix: str) -> Iterator[str]:
    fields = type(model).model_fields
    for name in model.model_fields_set:  # no default has a leaf
        value = getattr(model, name)
        path = f"{prefix}{fields[name].alias}"
        if isinstance(value, Model):
            yield from _leaves(value, f"{path}.")
        elif isinstance(value, tuple) and value and isinstance(value[0], Model):
            for entry in value:
                yield from _leaves(entry, f"{path}.")
        elif isinstance(value, Mapping) and any(isinstance(entry, Model) for entry in value.values()):
            for key, entry in value.items():
                yield from _leaves(entry, f"{path}.{key}.")
        elif value is not None and value not in ((), {}):
            yield path


def listed(paths: Sequence[str]) -> str:
    """Return up to 20 paths as part of a sentence, and how many more there are."""
    more = len(paths) - _MOST_LISTED
    return ", ".join(paths[:_MOST_LISTED]) + (f" and {more} more" if more > 0 else "")


def fields_at(model: type[Model], location: tuple[int | str, ...]) -> frozenset[str]:
    """Return the names of the fields at a place in a model, as they are written in YAML.

    Args:
        location: Names and list indexes from the spec on, as in the errors of pydantic.
    """
    for step in location:
        inner = _model_of(model, step)
        if inner is not None:
            model = inner
    return frozenset(str(field.alias) for field in model.model_fields.values())


def _model_of(model: type[Model], alias: int | str) -> type[Model] | None:
    for field in model.model_fields.values():
        if field.alias == alias:
            return next(_models_in(field.annotation), None)
    return None


def _models_in(annotation: Any) -> Iterator[type[Model]]:  # noqa: ANN401 -- any type expression
    if isinstance(annotation, type) and issubclass(annotation, Model):
        yield annotation
    for argument in get_args(annotation):
        yield from _models_in(argument)
