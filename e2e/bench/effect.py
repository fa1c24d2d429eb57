"""Time to effect.

From the moment a mailbox is applied until its address is taken at RCPT and its owner can log in by IMAP. The clock
starts before the request to the API server and stops when both were seen by real clients.
"""

from __future__ import annotations

import time
from functools import partial

from imapclient.exceptions import LoginError

from e2e.clients import Account, rcpt
from e2e.kube import eventually
from e2e.platform import Platform


def in_effect(platform: Platform, account: Account) -> bool:
    """Whether the address is taken and the login works, as clients see it."""
    with platform.smtp() as session:
        if rcpt(session, f"{account.user}@{platform.domains[0]}")[0] != 250:
            return False
    try:
        account.imap().logout()
    except LoginError:
        return False
    return True


def time_to_effect(platform: Platform, changes: int, timeout: float = 60) -> list[float]:
    """Seconds of each of so many new mailboxes, one after another; each is removed again."""
    taken = []
    for _ in range(changes):
        begun = time.monotonic()
        account = platform.add_mailbox(wait=False)
        eventually(partial(in_effect, platform, account), "the mailbox in effect", timeout, every=0.05)
        taken.append(time.monotonic() - begun)
        platform.remove_mailbox(account.user)
    return taken
