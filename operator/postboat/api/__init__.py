"""The API of postboat: seven kinds as pydantic models, and the parsing of raw objects."""

from postboat.api.duration import parse_duration
from postboat.api.fields import fields_in_use
from postboat.api.kinds import GROUP, KINDS, VERSION, Kind
from postboat.api.parse import parse
from postboat.api.quantity import parse_quantity, write_quantity
from postboat.api.resource import Refusal, Resource, Spec

__all__ = [
    "GROUP",
    "KINDS",
    "VERSION",
    "Kind",
    "Refusal",
    "Resource",
    "Spec",
    "fields_in_use",
    "parse",
    "parse_duration",
    "parse_quantity",
    "write_quantity",
]
