"""An address, in one domain or in all of them, and where mail to it goes.

The local part is `spec.localPart`, or the name of the object where that is absent.
"""

from typing import Annotated

from pydantic import Field

from postboat.api.base import Model, Rule
from postboat.api.conditions import Status, Word
from postboat.api.listing import AS_SET, AS_WHOLE
from postboat.api.values import Count, DomainName, EmailAddress, Flag, LocalPart, ObjectName, ServerName


class Destination(Model):
    """One place that mail goes to: a mailbox of the platform, or an address elsewhere."""

    mailbox: ObjectName | None = None
    """Name of a Mailbox of any type."""
    address: EmailAddress | None = None
    """An e-mail address, for a destination outside."""

    atomic = True
    constraints = (
        Rule(
            cel="has(self.mailbox) != has(self.address)",
            message="write either mailbox (the name of a Mailbox) or address (an e-mail address)",
            holds=lambda to: (to.mailbox is None) != (to.address is None),
        ),
    )


class MailAddressSpec(Model):
    """What an address should be."""

    server: ServerName | None = None
    """Name of the MailServer in this namespace; the oldest one when absent."""
    local_part: LocalPart | None = None
    """The part before the @, like info; the name of the object when absent. It never changes."""
    domain: DomainName | None = None
    """The one domain that the address is in; all local domains when absent."""
    destinations: Annotated[tuple[Destination, ...], Field(min_length=1, max_length=500), AS_WHOLE]
    """Where mail goes; each destination gets a message once."""
    internal: Flag | None = None
    """Refuse mail from outside; accounts of the system still reach the address. False when absent."""


class MailAddressStatus(Status):
    """What is known about an address."""

    addresses: Annotated[tuple[Word, ...], Field(max_length=32), AS_SET] = ()
    """The full addresses; the first 32 of them."""
    address_count: Count | None = None
    """Number of full addresses: 1, or one for every local domain."""
