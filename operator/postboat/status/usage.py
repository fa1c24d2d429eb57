"""How much of its quota a mailbox uses, as its status shows it.

`usage` is a field of its own beside the conditions, written only when it changes.
"""

from typing import Any, Final

from postboat.api.resource import Resource
from postboat.model.retention.inventory import Holding
from postboat.status.conditions import Condition, merge
from postboat.status.observation import Moment

_WHOLE: Final = 100


def usage(holding: Holding, limit: int) -> dict[str, int] | None:
    """Return `status.usage` of a mailbox; None until Dovecot has counted it.

    Args:
        limit: The quota in bytes; 0 means no quota, and then there is no `percent`.
    """
    if holding.bytes is None or holding.messages is None:
        return None
    told = {"bytes": holding.bytes, "messages": holding.messages, "limit": limit}
    return told | ({"percent": holding.bytes * _WHOLE // limit} if limit else {})


def usage_patch(resource: Resource, told: dict[str, int] | None) -> dict[str, Any] | None:
    """Return the merge patch that brings `status.usage` to a value; None when it is there already.

    Args:
        told: The result of `usage`; None removes the field.
    """
    there = resource.status.get("usage")
    if there == told:
        return None
    gone = {field: None for field in there or () if field not in (told or {})}
    return {"usage": (gone | told) if told is not None else None}


def condition_patch(resource: Resource, condition: Condition, moment: Moment) -> dict[str, Any] | None:
    """Return the merge patch that sets one condition and leaves the others; None when it is there already."""
    before = [dict(one) for one in resource.status.get("conditions") or ()]
    written = merge(before, (condition,), resource.generation, moment.now)
    others = [one for one in before if one.get("type") != condition.type]
    after = sorted((*others, *written), key=lambda one: str(one["type"]))
    return None if after == before else {"conditions": after}
