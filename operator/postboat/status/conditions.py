"""Conditions as Kubernetes writes them; one that says the same as before keeps its time.

The clock is an argument, so that a status depends on nothing but what is handed in.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from postboat.api.conditions import LONGEST_MESSAGE
from postboat.model.verdict import Reason, Verdict


@dataclass(frozen=True, slots=True)
class Condition:
    """One aspect of an object: whether it holds, why, and a sentence for people."""

    type: str
    holds: bool
    reason: Reason
    message: str


def accepted(verdict: Verdict) -> Condition:
    """Tell whether an object is part of the configuration."""
    return Condition("Accepted", verdict.accepted, verdict.reason, _sentence(verdict))


def ready(verdict: Verdict, *, in_force: bool, paused: bool, pending: str) -> Condition:
    """Tell whether every replica serves an object, and why it may take long; `pending` says whom it waits for."""
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
    """Write conditions, keeping the time of each whose status is the same as before."""
    known = {condition.get("type"): condition for condition in before}
    return [
        _written(condition, known.get(condition.type, {}), generation, now)
        for condition in sorted(conditions, key=lambda condition: condition.type)
    ]


def kept(before: Iterable[Mapping[str, Any]], type_: str) -> Condition | None:
    """Give a condition as it was written before, or None where there was none or its reason is not one of these."""
    for condition in before:
        if condition.get("type") == type_ and condition.get("reason") in {reason.value for reason in Reason}:
            holds, message = condition.get("status") == "True", str(condition.get("message") or "")
            return Condition(type_, holds, Reason(condition["reason"]), message)
    return None


def timestamp(moment: datetime) -> str:
    """Write a moment as Kubernetes does, in UTC and whole seconds."""
    return f"{moment:%Y-%m-%dT%H:%M:%SZ}"


def _bounded(message: str) -> str:
    """Cut what the schema would refuse together with the whole status."""
    return message if len(message) <= LONGEST_MESSAGE else f"{message[: LONGEST_MESSAGE - 4]} ..."


def _sentence(verdict: Verdict) -> str:
    """Name the field before what is to be said about it."""
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
