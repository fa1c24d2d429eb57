"""Whose mail something is, and whether it is kept or erased. Pure: objects and reports of the stores are arguments.

Claim: a Mailbox claims mail of its user name: personal mail (User), public mail (Public), none (Group). Where its spec
cannot be read it claims both kinds, and where nobody knows its MailServer it claims from each of the namespace.
Claimant: a Mailbox with a claim to a user name, also under deletion. Owner: the oldest claimant; younger ones wait.
Holding: what one store reports for a user name. Home: the store with the most of it.
Orphan: mail without a claim, since the moment that this was found. It is kept, listed, and there for the next claimant.
Keep: mail outlives its Mailbox unless `reclaimPolicy: Delete` is in force, the Mailbox is the owner, and its MailServer
is there and not under deletion.
Erase: only mail of the kind that the owner claims, on each store that has it or that its status names, when the
MailServer is not paused. Without a store in the status, it waits until all stores have reported.
Finalizer: is on a Mailbox while its mail would be erased with it; it is removed when the mail is erased or to be
kept, and when there is no MailServer.
In every case of doubt mail is kept.
"""
