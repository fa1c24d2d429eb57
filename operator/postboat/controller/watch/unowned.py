"""Objects that belong to no MailServer: their status says what is missing.

Once a MailServer owns them, its reconciler reports them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from postboat.model.belonging import belonging
from postboat.model.verdict import Reason, Verdict

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from postboat.api import Resource


def is_unowned(resource: Resource, servers: Sequence[str]) -> bool:
    """Tell whether an object belongs to no MailServer; other refusals are told by the MailServers of its namespace."""
    where = belonging(resource, servers)
    return isinstance(where, Verdict) and (where.reason is Reason.SERVER_NOT_FOUND or not servers)


class UnownedObjects:
    """Judges the objects that no MailServer claims."""

    def __init__(self, judge: Callable[[Resource], None]) -> None:
        self._judge = judge

    def look(self, resources: Iterable[Resource], servers: Sequence[str]) -> None:
        """Judge those of the resources that belong nowhere."""
        for resource in resources:
            if resource.kind == "MailServer" or resource.deleting:
                continue
            if is_unowned(resource, servers):
                self._judge(resource)
