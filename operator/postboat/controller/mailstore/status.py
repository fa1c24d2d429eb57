"""Writes usage, orphans and pending erasures into statuses, and an Event when one of them changes.

A status is computed when it is written, from the newest copy of the object in the informers.
"""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING

from postboat.api import GROUP, VERSION, Resource
from postboat.api.mailbox import MailboxSpec
from postboat.cluster.events import Notice
from postboat.cluster.types import Key
from postboat.controller.statuses.writer import Judgement, patch_of
from postboat.controller.watch.informers import RESOURCES
from postboat.model.retention.claims import claim_of
from postboat.model.retention.inventory import ReportedOrphans
from postboat.model.verdict import Reason
from postboat.status.conditions import Condition
from postboat.status.observation import Moment
from postboat.status.usage import condition_patch, usage, usage_patch

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from postboat.cluster.events import EventRecorder
    from postboat.cluster.types import StatusPatch
    from postboat.controller.statuses.writer import StatusWriter
    from postboat.controller.watch.informers import Informers
    from postboat.model.platform import Platform
    from postboat.model.retention.inventory import Inventory, Orphan
    from postboat.model.volumes import StoreVolume

LISTED = 100
_SCRIPTS = (
    " Sieve scripts of the former owner are inactive for a new one and called former-owner-NAME: a ManageSieve client,"
    " or doveadm sieve activate -u USER former-owner-NAME in the store, brings one back."
)


class MailStatus:
    """Writes what the monitor of one MailServer has found."""

    def __init__(  # noqa: PLR0913, PLR0917 - what it reads, and where it writes
        self,
        key: Key,
        informers: Informers,
        writer: StatusWriter,
        events: EventRecorder,
        list_orphans: Callable[[tuple[Orphan, ...], int], None],
        list_volumes: Callable[[tuple[StoreVolume, ...]], None],
    ) -> None:
        self._key = key
        self._informers, self._writer, self._events = informers, writer, events
        self._list_orphans, self._list_volumes = list_orphans, list_volumes
        self._volumes: tuple[StoreVolume, ...] = ()
        self._reported: ReportedOrphans | None = None
        self._listed: tuple[tuple[Orphan, ...], int] | None = None

    def usage(self, name: str, inventory: Inventory, platform: Platform) -> bool:
        """Write the usage of a mailbox if its status says something else; the result is whether it does."""
        key = Key(self._key.namespace, name)

        def patch() -> StatusPatch | None:
            mailbox = self._informers.get("Mailbox", key)
            claim = claim_of(mailbox) if mailbox is not None else None
            account = platform.account(claim.user) if claim is not None else None
            if mailbox is None or mailbox.deleting or account is None or account.resource != name:
                return None
            holding = inventory.holding(account.user, account.store)
            used = usage(holding, account.quota) if holding is not None else None
            return patch_of(mailbox, usage_patch(mailbox, used) if used is not None else None)

        if patch() is None:
            return False
        self._writer.judge(Judgement(RESOURCES["Mailbox"], key.namespace, name, patch, part="usage"))
        return True

    def orphans(self, inventory: Inventory, changed: Collection[str]) -> None:
        """Write the list of orphans if it changes, and an Event for each new orphan.

        Args:
            inventory: The orphans, once all stores have reported their holdings.
            changed: The users whose holdings or claims have changed since the last call; the first call takes all.

        """
        if self._reported is None:
            server = self._informers.get("MailServer", self._key)
            self._reported = ReportedOrphans(server.status.get("orphans") or () if server is not None else ())
            changed = {orphan.holding.user for orphan in inventory.first_orphans(inventory.orphan_count)}
        elif not changed:
            return
        for user in changed:
            orphans, inherited = self._reported.update(inventory, user)
            if inherited:
                self._inherited(user, inventory)
            for orphan in orphans:
                self._orphaned(orphan)
        listed = (inventory.first_orphans(LISTED), inventory.orphan_count)
        if listed != self._listed:
            self._listed = listed
            self._list_orphans(*listed)

    def volumes(self, known: tuple[StoreVolume, ...]) -> None:
        """Write what is known of the volumes of the stores, if it has changed."""
        if known != self._volumes:
            self._volumes = known
            self._list_volumes(known)

    def _orphaned(self, orphan: Orphan) -> None:
        user, of_type, store = orphan.key
        note = f"The Mailbox of {user} (type {of_type}) is gone; its mail is kept on store {store}.{_SCRIPTS}"
        self._server_event("MailOrphaned", note)

    def _inherited(self, user: str, inventory: Inventory) -> None:
        """Record an Event for a Mailbox that has the mail of an earlier one, and what became of the scripts."""
        for name in sorted(inventory.claimants(user)):
            mailbox = self._informers.get("Mailbox", Key(self._key.namespace, name))
            if mailbox is not None and not mailbox.deleting and isinstance(mailbox.spec, MailboxSpec):
                note = f"It has the mail that was kept of an earlier Mailbox of {user}.{_SCRIPTS}"
                self._event(mailbox, "MailInherited", note, normal=True)

    def erased(self, mailbox: Resource, user: str) -> None:
        """Record an Event that mail was erased with its Mailbox."""
        self._server_event("MailErased", f"The mail of {user} was erased with Mailbox {mailbox.name}.")

    def erasure_pending(self, mailbox: Resource, why: str, reason: Reason) -> None:
        """Write into the status of a Mailbox under deletion what the erasing of its mail waits for."""
        key = Key(mailbox.namespace, mailbox.name)
        message = f"The mail is to be erased, which waits: {why}."
        condition = Condition("Erased", holds=False, reason=reason, message=message)

        def patch() -> StatusPatch | None:
            newest = self._informers.get("Mailbox", key)
            if newest is None or newest.uid != mailbox.uid:
                return None
            return patch_of(newest, condition_patch(newest, condition, Moment(dt.datetime.now(dt.UTC))))

        if patch() is not None:
            self._writer.judge(Judgement(RESOURCES["Mailbox"], key.namespace, key.name, patch, part="erasing"))
            self._event(mailbox, str(reason), message, normal=False)

    def _server_event(self, reason: str, note: str) -> None:
        server = self._informers.get("MailServer", self._key)
        if server is not None:
            self._event(server, reason, note, normal=True)

    def _event(self, resource: Resource, reason: str, note: str, *, normal: bool) -> None:
        self._events.tell(
            Notice(
                f"{GROUP}/{VERSION}",
                resource.kind,
                resource.namespace,
                resource.name,
                resource.uid,
                normal,
                reason,
                note,
                resource.generation,
            )
        )
