"""The mail behind the Mailboxes: what the stores hold, its usage, whose it is, and when it is erased."""
