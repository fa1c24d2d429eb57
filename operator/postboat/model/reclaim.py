"""What becomes of mail when its Mailbox goes: kept, unless the Mailbox or its MailServer says otherwise.

The finalizer stands on a Mailbox only while its mail would be erased with it.
"""

from typing import Final

from postboat.api.mailbox import MailboxSpec, MailboxType
from postboat.api.mailserver import MailServerSpec
from postboat.api.resource import Resource
from postboat.api.values import ReclaimPolicy

FINALIZER: Final = "postboat.dev/erase-mail"


def erases(mailbox: Resource, server: Resource) -> bool:
    """Tell whether mail goes with its Mailbox; what cannot be read keeps it, and a group has none."""
    spec, settings = mailbox.spec, server.spec
    if not isinstance(spec, MailboxSpec) or spec.effective_type is MailboxType.GROUP:
        return False
    default = settings.mailboxes.reclaim_policy if isinstance(settings, MailServerSpec) and settings.mailboxes else None
    return (spec.reclaim_policy or default or ReclaimPolicy.RETAIN) is ReclaimPolicy.DELETE
