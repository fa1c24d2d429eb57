"""Conditions as Kubernetes writes them; one whose status does not change keeps its transition time.

The time is an argument, so that a status depends on its inputs only.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from postboat.api.conditions import LONGEST_MESSAGE
from postboat.model.verdict import Reason, Verdict


@dataclass(frozen=True, slots=True)
class Condition:
    """One condition of an object."""

    type: str
    holds: bool
    """Whether `status` is True or False; Unknown is not used."""
    reason: Reason
    message: str
    """A sentence for people; what is longer than the schema allows is cut when it is written."""


def accepted(verdict: Verdict) -> Condition:
    """Return the condition Accepted: whether an object is part of the configuration."""
    return Condition("Accepted", verdict.accepted, verdict.reason, _sentence(verdict))


def ready(verdict: Verdict, *, in_force: bool, paused: bool, pending: str) -> Condition:
    """Return the condition Ready of an object: whether every replica serves it.

    Args:
        in_force: Whether every replica has loaded a plan with this generation of the object.
        paused: Whether the MailServer has `spec.paused`.
        pending: The message while it is not in force and not paused.
    """
    if not verdict.accepted:
        return Condition("Ready", holds=False, reason=verdict.reason, message=_sentence(verdict))
    if not in_force and paused:
        message = "Waiting: the MailServer is paused (spec.paused)."
        return Condition("Ready", holds=False, reason=Reason.PAUSED, message=message)
    if not in_force:
        return Condition("Ready", holds=False, reason=Reason.PENDING, message=pending)
    return Condition("Ready", holds=True, reason=Reason.IN_FORCE, message="Every replica serves it.")


def merge(
    before: Iterable[Mapping[str, Any]], conditions: Iterable[Condition], generation: int, now: datetime
) -> list[dict[str, Any]]:
    """Return conditions as JSON, sorted by type.

    Args:
        before: The conditions of the object as it is; a condition with the same status keeps its `lastTransitionTime`.
        generation: `observedGeneration` of all of them.
        now: `lastTransitionTime` of those that are new or changed, in UTC.
    """
    known = {condition.get("type"): condition for condition in before}
    return [
        _written(condition, known.get(condition.type, {}), generation, now)
        for condition in sorted(conditions, key=lambda condition: condition.type)
    ]


def kept(before: Iterable[Mapping[str, Any]], type_: str) -> Condition | None:
    """Return a condition as it was written before.

    Args:
        before: The conditions of the object as it is.
        type_: The type of the condition.

    Returns:
        None when there is none, or its reason is not a value of Reason.
    """
    for condition in before:
        if condition.get("type") == type_ and condition.get("reason") in {reason.value for reason in Reason}:
            holds, message = condition.get("status") == "True", str(condition.get("message") or "")
            return Condition(type_, holds, Reason(condition["reason"]), message)
    return None


def timestamp(moment: datetime) -> str:
    """Return a time as Kubernetes writes it (RFC 3339), in UTC and whole seconds.

    Args:
        moment: A time in UTC; it is not converted.
    """
    return f"{moment:%Y-%m-%dT%H:%M:%SZ}"


def _bounded(message: str) -> str:
    """Return a message that is cut to the length in the schema, since a longer one would fail the whole status."""
    return message if len(message) <= LONGEST_MESSAGE else f"{message[: LONGEST_MESSAGE - 4]} ..."


def _sentence(verdict: Verdict) -> str:
    """Return the message of a verdict, after the field that it is about."""
    return verdict.message if verdict.accepted or not verdict.path else f"{verdict.path}: {verdict.message}"


def _written(condition: Condition, before: Mapping[str, Any], generation: int, now: datetime) -> dict[str, Any]:
    status = str(condition.holds)
    kept = before.get("lastTransitionTime") if before.get("status") == status else None
    return {
        "type": condition.type,
        "status": status,
        "reason": condition.reason.value,
        "message": _bounded(condition.message),
        "lastTransitionTime": kept or timestamp(now),
        "observedGeneration": generation,
    }
