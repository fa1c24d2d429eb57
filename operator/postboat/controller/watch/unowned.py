"""Objects that belong to no MailServer: their status says what is missing.

Once a MailServer owns them, its reconciler writes their status.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from postboat.model.belonging import is_unowned

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from postboat.api import Resource


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
