"""Reads from the informers what a decision about the mail of one MailServer depends on."""

from __future__ import annotations

from typing import TYPE_CHECKING

from postboat.cluster.types import Key
from postboat.model.retention.claims import claim_on, ownership
from postboat.model.retention.reclaim import ObservedMailbox

if TYPE_CHECKING:
    from postboat.api import Resource
    from postboat.controller.watch.informers import Informers
    from postboat.model.retention.claims import Claim
    from postboat.model.retention.inventory import Inventory


class MailboxReader:
    """The Mailboxes of a namespace as one MailServer sees them."""

    def __init__(self, key: Key, informers: Informers) -> None:
        self._key, self._informers = key, informers

    def server(self) -> Resource | None:
        """Give the MailServer."""
        return self._informers.get("MailServer", self._key)

    def mailbox(self, name: str) -> Resource | None:
        """Give a Mailbox."""
        return self._informers.get("Mailbox", Key(self._key.namespace, name))

    def claim(self, name: str) -> Claim | None:
        """Give the claim of a Mailbox to mail of the MailServer."""
        return claim_on(self.mailbox(name), self._key.name, self._servers())

    def observe(self, name: str, inventory: Inventory) -> ObservedMailbox | None:
        """Give a Mailbox with its MailServer and its rivals; None when it is gone."""
        mailbox = self.mailbox(name)
        if mailbox is None:
            return None
        found = (self.mailbox(rival) for rival in sorted(inventory.rivals(mailbox)))
        rivals = tuple(rival for rival in found if rival is not None)
        owned = ownership(mailbox, self._key.name, self._servers())
        return ObservedMailbox(mailbox, owned, self.server(), rivals)

    def _servers(self) -> tuple[str, ...]:
        return self._informers.servers(self._key.namespace)
