"""Writes usage, orphans and pending erasures into statuses, and an Event when one of them changes.

A status is computed when it is written, from the newest copy of the object in the informers.
"""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING

from postboat.api import GROUP, VERSION, Resource
from postboat.api.mailbox import MailboxSpec, MailboxType
from postboat.cluster.events import Notice
from postboat.cluster.types import Key
from postboat.controller.statuses.writer import Judgement, patch_of
from postboat.controller.watch.informers import RESOURCES
from postboat.model.census import claimed, mailbox_type
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
    from postboat.model.census import Census, Orphan
    from postboat.model.platform import Platform
    from postboat.model.volumes import StoreVolume

LISTED = 100
_SCRIPTS = (
    " Sieve scripts of the former owner are inactive for a new one and called former-owner-NAME: a ManageSieve client,"
    " or doveadm sieve activate -u USER former-owner-NAME in the store, brings one back."
)


class MailStatus:
    """Writes what the monitor of one MailServer has found."""

    def __init__(  # noqa: PLR0913, PLR0917 - what is told of, and who takes it
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
        self._known: set[tuple[str, str]] | None = None
        self._listed: tuple[tuple[Orphan, ...], int] | None = None

    def usage(self, name: str, census: Census, platform: Platform) -> bool:
        """Let the usage of a mailbox be written if its status says something else; the result is whether it does."""
        key = Key(self._key.namespace, name)

        def patch() -> StatusPatch | None:
            mailbox = self._informers.get("Mailbox", key)
            claim = claimed(mailbox) if mailbox is not None else None
            account = platform.account(claim.user) if claim is not None else None
            if mailbox is None or mailbox.deleting or account is None or account.resource != name:
                return None
            holding = census.holding(account.user, account.shard)
            told = usage(holding, account.quota) if holding is not None else None
            return patch_of(mailbox, usage_patch(mailbox, told) if told is not None else None)

        if patch() is None:
            return False
        self._writer.judge(Judgement(RESOURCES["Mailbox"], key.namespace, name, patch, part="usage"))
        return True

    def orphans(self, census: Census, touched: Collection[str]) -> None:
        """Let the list of orphans be written, and tell of those that are new."""
        if self._known is None:
            server = self._informers.get("MailServer", self._key)
            before = server.status.get("orphans") or () if server is not None else ()
            self._known = {(str(one.get("username")), str(one.get("type"))) for one in before}
            touched = {orphan.holding.user for orphan in census.first(census.count)}
        elif not touched:
            return
        for user in touched:
            orphans = {(user, str(mailbox_type(orphan.kept))): orphan for orphan in census.orphans_of(user)}
            found = {known for known in ((user, str(one)) for one in MailboxType) if known not in orphans}
            if (user, str(MailboxType.USER)) in found & self._known and census.home(user) is not None:
                self._inherited(user, census)
            self._known -= found
            for key in sorted(orphans.keys() - self._known):
                self._known.add(key)
                where = f"store {orphans[key].holding.store}"
                note = f"The Mailbox of {user} (type {key[1]}) is gone; its mail is kept on {where}.{_SCRIPTS}"
                self._say_of_server("MailOrphaned", note)
        listed = (census.first(LISTED), census.count)
        if listed != self._listed:
            self._listed = listed
            self._list_orphans(*listed)

    def volumes(self, known: tuple[StoreVolume, ...]) -> None:
        """Let what is known of the volumes of the stores be written."""
        if known != self._volumes:
            self._volumes = known
            self._list_volumes(known)

    def _inherited(self, user: str, census: Census) -> None:
        """Tell on a Mailbox that it has the mail of an earlier one, and what became of the scripts."""
        for name in sorted(census.claimants(user)):
            mailbox = self._informers.get("Mailbox", Key(self._key.namespace, name))
            if mailbox is not None and not mailbox.deleting and isinstance(mailbox.spec, MailboxSpec):
                note = f"It has the mail that was kept of an earlier Mailbox of {user}.{_SCRIPTS}"
                self._say(mailbox, "MailInherited", note, normal=True)

    def erased(self, mailbox: Resource, user: str) -> None:
        """Tell that mail was erased, since its Mailbox said so."""
        self._say_of_server("MailErased", f"The mail of {user} was erased with Mailbox {mailbox.name}.")

    def waits(self, mailbox: Resource, why: str, reason: Reason = Reason.STORE_UNAVAILABLE) -> None:
        """Tell on a Mailbox under deletion what its end waits for."""
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
            self._say(mailbox, str(reason), message, normal=False)

    def _say_of_server(self, reason: str, note: str) -> None:
        server = self._informers.get("MailServer", self._key)
        if server is not None:
            self._say(server, reason, note, normal=True)

    def _say(self, resource: Resource, reason: str, note: str, *, normal: bool) -> None:
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
