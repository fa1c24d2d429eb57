"""Objects that belong to no MailServer: they get a status too, which says what is missing.

As soon as a MailServer claims them, they are its matter and no longer looked at here.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from postboat.model.belonging import belonging
from postboat.model.verdict import Reason, Verdict

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from postboat.api import Resource


def is_stray(resource: Resource, servers: Sequence[str]) -> bool:
    """Tell whether an object belongs to no MailServer; other refusals are told by the MailServers of its namespace."""
    where = belonging(resource, servers)
    return isinstance(where, Verdict) and (where.reason is Reason.SERVER_NOT_FOUND or not servers)


class Strays:
    """Judges the objects that no MailServer claims."""

    def __init__(self, judge: Callable[[Resource], None]) -> None:
        self._judge = judge

    def look(self, resources: Iterable[Resource], servers: Sequence[str]) -> None:
        """Judge those of the resources that belong nowhere."""
        for resource in resources:
            if resource.kind == "MailServer" or resource.deleting:
                continue
            if is_stray(resource, servers):
                self._judge(resource)
