"""Objects that belong to no MailServer: their status says what is missing.

Once a MailServer owns them, its reconciler writes their status.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from postboat.model.belonging import belonging
from postboat.model.verdict import Reason, Verdict

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from postboat.api import Resource


def is_unowned(resource: Resource, servers: Sequence[str]) -> bool:
    """Return whether an object belongs to no MailServer; MailServers of the namespace report other faults themselves.

    Args:
        servers: Names of the MailServers of its namespace, oldest first.
    """
    where = belonging(resource, servers)
    return isinstance(where, Verdict) and (where.reason is Reason.SERVER_NOT_FOUND or not servers)


class UnownedObjects:
    """Finds objects that belong to no MailServer.

    Args:
        judge: Called with each of them.
    """

    def __init__(self, judge: Callable[[Resource], None]) -> None:
        self._judge = judge

    def look(self, resources: Iterable[Resource], servers: Sequence[str]) -> None:
        """Pass on the objects that belong to no MailServer.

        Args:
            servers: Names of the MailServers of their namespace, oldest first.
        """
        for resource in resources:
            if resource.kind == "MailServer" or resource.deleting:
                continue
            if is_unowned(resource, servers):
                self._judge(resource)
