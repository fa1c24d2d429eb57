"""What the status of every kind has in common: conditions and the generation that they speak of.

A status is written by the operator only; these models exist for the schema, so nothing here is required of a reader.
"""

from enum import StrEnum
from typing import Annotated, Final

from pydantic import Field, Strict, StringConstraints

from postboat.api.base import Model
from postboat.api.listing import keyed_by
from postboat.api.values import Count


class ConditionStatus(StrEnum):
    """The three answers that a condition can give."""

    TRUE = "True"
    FALSE = "False"
    UNKNOWN = "Unknown"


ConditionType = Annotated[str, StringConstraints(pattern=r"^[A-Z][A-Za-z0-9]*$", max_length=64)]
Timestamp = Annotated[str, StringConstraints(pattern=r"^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9:.]{8,18}Z$", max_length=32)]
Word = Annotated[str, StringConstraints(max_length=320)]
LONGEST_MESSAGE: Final = 4096
Sentence = Annotated[str, StringConstraints(max_length=LONGEST_MESSAGE)]


class Condition(Model):
    """One aspect of the state of an object, as Kubernetes writes conditions."""

    type: ConditionType
    """The aspect: Accepted (it is part of the configuration) or Ready (every replica serves it)."""
    status: ConditionStatus
    """True, False or Unknown."""
    reason: ConditionType
    """One word of a closed list that tells why."""
    message: Sentence
    """A sentence for people that names the field and the cure, never the value of a secret."""
    last_transition_time: Timestamp
    """When the status last changed."""
    observed_generation: Count | None = None
    """The generation of the object that the condition speaks of."""


class Status(Model):
    """The part of the status that all kinds share."""

    observed_generation: Annotated[int, Strict(), Field(ge=-1, le=2**53)] | None = None
    """The newest generation that the operator has judged, -1 before the first; in force once Ready is True for it."""
    conditions: Annotated[tuple[Condition, ...], Field(max_length=16), keyed_by("type")] = ()
    """Accepted, Ready and the conditions of single kinds, each with reason and message."""
