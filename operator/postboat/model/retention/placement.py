"""The store of each mailbox: where its status says, else where its mail is, else by a hash of its name."""

from dataclasses import dataclass
from typing import Final

from postboat.api.resource import Resource
from postboat.model import names
from postboat.model.platform import UNPLACED

_MOST_STORES: Final = 64
"""As many as the schema allows; the operator writes no higher number into a status."""


@dataclass(slots=True)
class MailLocations:
    """The store that holds mail of each user, as far as the stores have reported it.

    `inventory_complete` says that all have. `existing` is how many stores there were at the beginning, `highest` the
    highest that has mail to keep, -1 for none; None while it is not known.
    """

    homes: dict[str, int]
    inventory_complete: bool
    existing: int = 0
    highest: int | None = -1

    @property
    def highest_needed(self) -> int:
        """The highest store that must not be removed: until it is known what they hold, that is the last one."""
        return self.existing - 1 if self.highest is None else self.highest


def store_in_status(mailbox: Resource) -> int | None:
    """Give the store that the status of a Mailbox names."""
    store = mailbox.status.get("store")
    return int(store) if isinstance(store, int) and 0 <= store < _MOST_STORES else None


def placement(user: str, mailbox: Resource, stores: int, locations: MailLocations) -> int:
    """Give the store of a mailbox, or UNPLACED while a store that has not answered may hold its mail.

    Args:
        user: The user name that the Mailbox owns.
        mailbox: The Mailbox.
        stores: How many stores take new mailboxes.
        locations: Where mail is.

    """
    store = store_in_status(mailbox)
    if store is None:
        store = locations.homes.get(user)
    if store is not None:
        return store
    single = stores == 1 and locations.existing <= 1
    return names.store(user, stores) if locations.inventory_complete or single else UNPLACED
