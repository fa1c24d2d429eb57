"""Whether the directory fits into its Secrets: a warning before the API server refuses one that is too large."""

from typing import Final

from postboat.model.verdict import Reason
from postboat.objects.config import MOST_BYTES, filling
from postboat.render.files import Files
from postboat.status.conditions import Condition

TYPE: Final = "DirectoryFits"
NEARLY_FULL: Final = 0.8


def condition(files: Files) -> Condition:
    """Report DirectoryFits for the files of a plan: False when a shard has more than 80 % of what a Secret can hold."""
    largest = filling(files)
    if largest.used <= NEARLY_FULL * MOST_BYTES:
        message = f"No directory shard has more than {NEARLY_FULL:.0%} of what a Secret can hold."
        return Condition(TYPE, holds=True, reason=Reason.DIRECTORY_FITS, message=message)
    message = (
        f"Directory shard {largest.shard:02d} has {largest.used >> 10} KiB of the {MOST_BYTES >> 10} KiB that fit into"
        " a Secret; what does not fit is refused (SyncFailed). Mailboxes, addresses and domains fill it: move some of"
        " them to another MailServer."
    )
    return Condition(TYPE, holds=False, reason=Reason.DIRECTORY_NEARLY_FULL, message=message)
