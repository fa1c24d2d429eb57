"""The base of every model of the API, and rules between fields.

A rule exists once: as CEL for the API server, as Python for use without one, with one message for both.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any, ClassVar, Self

from pydantic import BaseModel, ConfigDict, GetJsonSchemaHandler, model_validator
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema, PydanticCustomError
from typing_extensions import override

INITIALISMS = {"ca": "CA", "dn": "DN", "dns": "DNS", "ip": "IP", "sts": "STS", "tls": "TLS"}


def camel(name: str) -> str:
    """Return the name in YAML of a Python field: `implicit_tls` is `implicitTLS`."""
    first, *rest = name.split("_")
    return first + "".join(INITIALISMS.get(word, word.capitalize()) for word in rest)


@dataclass(frozen=True, slots=True)
class Rule:
    """A condition on the fields of one model."""

    cel: str
    """CEL expression for `x-kubernetes-validations`."""
    message: str
    """What to write, for people."""
    holds: Callable[[Any], bool] | None = None
    """Returns whether a value obeys the rule; None when only the API server can tell, which knows the old object."""
    field: str = ""
    """Path of the field below the model; "" for the model itself."""

    def as_validation(self) -> dict[str, str]:
        """Return the rule as an entry of `x-kubernetes-validations`."""
        validation = {"rule": self.cel, "message": self.message}
        if self.field:
            validation["fieldPath"] = "." + self.field
        return validation


@lru_cache(maxsize=1024)
def _same(fields: frozenset[str]) -> set[str]:
    """Return one set for all values that set the same fields: thousands do, and no value changes."""
    return set(fields)


class Model(BaseModel):
    """A frozen value that refuses fields it does not know and is written in camelCase outside."""

    model_config = ConfigDict(
        alias_generator=camel,
        extra="forbid",
        frozen=True,
        populate_by_name=True,
        use_attribute_docstrings=True,
    )

    constraints: ClassVar[tuple[Rule, ...]] = ()
    atomic: ClassVar[bool] = False

    @model_validator(mode="after")
    def _obey_rules(self) -> Self:
        fields = self.__pydantic_fields__
        held = {name: value for name, value in self.__dict__.items() if value is not fields[name].default}
        object.__setattr__(self, "__dict__", held)
        object.__setattr__(self, "__pydantic_fields_set__", _same(frozenset(self.__pydantic_fields_set__)))
        for rule in self.constraints:
            if rule.holds is not None and not rule.holds(self):
                raise PydanticCustomError("rule", "{message}", {"message": rule.message, "field": rule.field})
        return self

    if not TYPE_CHECKING:  # it would let every misspelt field pass

        def __getattr__(self, name: str) -> object:
            """Give the default of a field that is absent: most are, of a hundred thousand values, so none holds it."""
            field = type(self).__pydantic_fields__.get(name)
            return super().__getattr__(name) if field is None or field.is_required() else field.default

    @classmethod
    @override
    def __get_pydantic_json_schema__(cls, core_schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        """Add what Kubernetes alone understands: CEL rules, and whether the value is replaced as a whole."""
        schema = handler.resolve_ref_schema(handler(core_schema))
        if cls.constraints:
            schema["x-kubernetes-validations"] = [rule.as_validation() for rule in cls.constraints]
        if cls.atomic:
            schema["x-kubernetes-map-type"] = "atomic"
        return schema
