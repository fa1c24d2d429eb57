"""How much of its space a mailbox uses, as its status tells it.

Usage is a field of its own beside the conditions, and only a difference is ever written.
"""

from typing import Any, Final

from postboat.api.resource import Resource
from postboat.model.census import Holding
from postboat.status.conditions import Condition, merge
from postboat.status.observation import Moment

_WHOLE: Final = 100


def usage(holding: Holding, limit: int) -> dict[str, int] | None:
    """Write the usage of a mailbox; None while Dovecot has not told it. Without a limit there is no percentage."""
    if holding.bytes is None or holding.messages is None:
        return None
    told = {"bytes": holding.bytes, "messages": holding.messages, "limit": limit}
    return told | ({"percent": holding.bytes * _WHOLE // limit} if limit else {})


def usage_patch(resource: Resource, told: dict[str, int] | None) -> dict[str, Any] | None:
    """Write what has to be merged into the status for it to tell this usage; None when it does already."""
    there = resource.status.get("usage")
    if there == told:
        return None
    gone = {field: None for field in there or () if field not in (told or {})}
    return {"usage": (gone | told) if told is not None else None}


def condition_patch(resource: Resource, condition: Condition, moment: Moment) -> dict[str, Any] | None:
    """Write one condition beside those that are there; None when it is there already."""
    before = [dict(one) for one in resource.status.get("conditions") or ()]
    written = merge(before, (condition,), resource.generation, moment.now)
    others = [one for one in before if one.get("type") != condition.type]
    after = sorted((*others, *written), key=lambda one: str(one["type"]))
    return None if after == before else {"conditions": after}
