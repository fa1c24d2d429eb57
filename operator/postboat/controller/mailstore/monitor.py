"""Polls the stores of one MailServer for the mail that they hold, and acts as `model.retention` decides about it.

Each poll asks for changes only. What it writes wakes no reconcile.
"""

from __future__ import annotations

import datetime as dt
import logging
import threading
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from typing_extensions import override

from postboat.cluster.stores import Cursor, StoreChanges, StoreError
from postboat.controller.mailstore.erasure import Erasures, access, store_pods
from postboat.controller.mailstore.mailbox_reader import MailboxReader
from postboat.controller.mailstore.usage_rate import UsageRate
from postboat.model.retention.claims import Ownership, ownership
from postboat.model.retention.inventory import Holding, Inventory
from postboat.model.retention.reclaim import Step, decide
from postboat.model.snapshot import HighestStore, Home, InventoryComplete
from postboat.model.volumes import StoreVolume, accepted, judged, missing
from postboat.status.conditions import timestamp
from postboat.status.volumes import accepts, read

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable

    from postboat.cluster.stores import Stores
    from postboat.cluster.types import Key
    from postboat.controller.mailstore.finalizers import Finalizers
    from postboat.controller.mailstore.status import MailStatus
    from postboat.controller.watch.informers import Informers
    from postboat.model.platform import Platform
    from postboat.model.snapshot import Change
    from postboat.model.volumes import Missing

log = logging.getLogger(__name__)

POLL_INTERVAL = 2.0
ERASE_POLL_INTERVAL = 0.5
"""Seconds between two polls while mail is being erased."""
INVENTORY_TIMEOUT = 300.0
"""Seconds after which a mailbox is placed though a store has not answered: long enough to pull an image."""


@dataclass(frozen=True, slots=True)
class Dependencies:
    """What a monitor works with; `leading` tells whether this process holds the Lease."""

    informers: Informers
    stores: Stores
    finalizers: Finalizers
    leading: Callable[[], bool]


class MailMonitor(threading.Thread):
    """The thread that polls the stores of one MailServer.

    Args:
        key: The MailServer.
        dependencies: What it reads from and writes to.
        mail_status: Takes what is to be written into statuses.
        post: Takes a change for the reconciler, and whether it is to wake it.

    """

    def __init__(
        self, key: Key, dependencies: Dependencies, mail_status: MailStatus, post: Callable[[Change, bool], None]
    ) -> None:
        super().__init__(name=f"monitor {key.namespace}/{key.name}", daemon=True)
        self.heartbeat = time.monotonic()
        self.inventory_complete = False
        """Whether every store has reported its holdings, or INVENTORY_TIMEOUT is over."""
        self.highest_store: int | None = None
        """The highest store with mail to keep; None until every existing store has reported its holdings."""
        self._key, self._dependencies, self._mail_status, self._post = key, dependencies, mail_status, post
        self._reader = MailboxReader(key, dependencies.informers)
        self._inventory = Inventory()
        self._usage_rate = UsageRate()
        self._erasures = Erasures(
            key, dependencies.informers, dependencies.stores, dependencies.finalizers, mail_status
        )
        self._lock = threading.Lock()
        self._queue: set[str] = set()
        self._resync = True
        self._platform: Platform | None = None
        self._since = 0.0
        self._homes: dict[str, int] = {}
        self._volumes: dict[int, StoreVolume] | None = None
        """The volumes that stores should have; None until the status has been read."""
        self._cursors: dict[int, Cursor] = {}
        self._changed_users: set[str] = set()
        """Users whose holdings or claims have changed since orphans were last reported."""
        self._polled = 0.0
        self._wakeup = threading.Event()
        self._stopping = False

    def stop(self) -> None:
        """End the thread."""
        self._stopping = True
        self._wakeup.set()

    def enqueue(self, kind: str, name: str) -> None:
        """Have a Mailbox that has changed looked at, or all of them when the MailServer has."""
        with self._lock:
            if kind == "Mailbox":
                self._queue.add(name)
            elif kind == "MailServer":
                self._resync = True
            else:
                return
        self._wakeup.set()

    def resync(self) -> None:
        """Have every Mailbox looked at."""
        self.enqueue("MailServer", self._key.name)

    def set_platform(self, platform: Platform | None, mailboxes: Iterable[str]) -> None:
        """Take the newest platform.

        Args:
            platform: Says how the stores are reached; None leaves the one before.
            mailboxes: The Mailboxes that were judged anew for it.

        """
        if platform is not None:
            self._since = self._since or time.monotonic()
            self._platform = platform
        with self._lock:
            self._queue.update(mailboxes)
        self._wakeup.set()

    def homes(self) -> dict[str, int]:
        """Give the store that holds mail of each user, as far as the stores have reported it."""
        with self._lock:
            return dict(self._homes)

    @override
    def run(self) -> None:
        pause = POLL_INTERVAL
        while not self._stopping:
            self._wakeup.wait(pause)
            self._wakeup.clear()
            self.heartbeat = time.monotonic()
            if self._stopping:
                return
            try:
                pause = self._sync() if self._dependencies.leading() else self._stand_by()
            except Exception:
                log.exception(
                    "polling the mail stores failed",
                    extra={"namespace": self._key.namespace, "mailserver": self._key.name},
                )
                pause = POLL_INTERVAL

    def _stand_by(self) -> float:
        """Forget what the leader may change: it places mailboxes anywhere."""
        self.highest_store = self._volumes = None
        return POLL_INTERVAL

    def _sync(self) -> float:
        """Handle the queue, poll the stores, write what is due; give the seconds until the next time."""
        queue = set(self._take_queue())
        queue |= {claimant for name in queue for claimant in self._update_claim(name)}
        for name in queue:
            self._update_finalizer(name)
        now = time.monotonic()
        if self._platform is not None and now - self._polled >= self._interval:
            self._polled = now
            self._poll(self._platform)
        self._erasures.process(self._inventory, self._platform, complete=self.inventory_complete)
        self._report()
        usage_due = self._usage_rate.next_due(time.monotonic())
        return self._interval if usage_due is None else min(self._interval, max(0.05, usage_due))

    @property
    def _interval(self) -> float:
        return ERASE_POLL_INTERVAL if self._erasures else POLL_INTERVAL

    def _take_queue(self) -> Iterable[str]:
        with self._lock:
            queue, self._queue = self._queue, set()
            resync, self._resync = self._resync, False
        if not resync:
            return queue
        listed = self._dependencies.informers.of_namespace("Mailbox", self._key.namespace)
        return {mailbox.name for mailbox in listed} | queue | self._inventory.mailboxes

    def _update_claim(self, name: str) -> set[str]:
        """Record the claim of a Mailbox; if it has changed, give all claimants of the user names concerned."""
        users = self._inventory.set_claim(name, self._reader.claim(name), _now())
        self._changed_users |= users
        return {claimant for user in users for claimant in self._inventory.claimants(user)}

    def _update_finalizer(self, name: str) -> None:
        """Have the finalizer of a Mailbox added or removed, or its mail erased."""
        self._erasures.remove(name)
        observed = self._reader.observe(name, self._inventory)
        if observed is None or observed.ownership is Ownership.OTHER:
            return
        self._usage_rate.changed(name, time.monotonic())
        if observed.terminating:
            self._erasures.add(name)
            return
        step = decide(observed, self._inventory, complete=self.inventory_complete).step
        if step is not Step.NOTHING:
            self._dependencies.finalizers.enqueue(observed.mailbox, wanted=step is Step.ADD_FINALIZER)

    def _poll(self, platform: Platform) -> None:
        """Ask all stores for what has changed."""
        asked = {
            store: (pod, self._cursors.get(store, Cursor()))
            for store, pod in store_pods(self._dependencies.informers.pods_of(self._key)).items()
        }
        answers = self._dependencies.stores.poll(access(platform), asked)
        for store, answer in answers.items():
            if isinstance(answer, StoreError):
                log.debug(
                    "store %d: %s",
                    store,
                    answer,
                    extra={"namespace": self._key.namespace, "mailserver": self._key.name},
                )
            else:
                self._update_holdings(store, answer)
                self._cursors[store] = answer.cursor
        answered = {store for store, answer in answers.items() if not isinstance(answer, StoreError)}
        self._update_highest_store(platform, answered)
        timed_out = time.monotonic() - self._since > INVENTORY_TIMEOUT
        if not self.inventory_complete and (self._all_reported(platform) or timed_out):
            self.inventory_complete = True
            self._post(InventoryComplete(), True)  # noqa: FBT003 - wake

    def _update_highest_store(self, platform: Platform, answered: Collection[int]) -> None:
        """Post which is the highest store with mail to keep: a lower one only when all have just answered.

        The stores of mailboxes in force count as well: mail may have come between the last answer and their end.
        """
        highest, before = max(self._inventory.highest_store, platform.stores.placed), self.highest_store
        whole = all(store in answered for store in range(platform.stores.replicas))
        if highest == before or not (whole or (before is not None and highest > before)):
            return
        self.highest_store = highest
        self._post(HighestStore(highest), platform.stores.replicas > max(platform.stores.requested, highest + 1))

    def _all_reported(self, platform: Platform) -> bool:
        return all(store in self._cursors for store in range(platform.stores.replicas))

    def _update_holdings(self, store: int, changes: StoreChanges) -> None:
        now = _now()
        holdings = {
            one.user: Holding(one.user, store, one.bytes, one.messages, one.kind)
            for one in changes.mailboxes
            if one.kind
        }
        if changes.whole:
            users = self._inventory.replace(store, holdings, now)
            if changes.volume:
                self._check_volume(StoreVolume(store, changes.volume), len(holdings))
        else:
            users = {one.user for one in changes.mailboxes}
            for user in users:
                if user in holdings:
                    self._inventory.record(holdings[user], now)
                else:
                    self._inventory.discard(user, store, now)
        self._changed_users |= users
        for user in users:
            self._update_home(user)
            for name in self._inventory.claimants(user):
                self._usage_rate.changed(name, time.monotonic())

    def _check_volume(self, there: StoreVolume, mailboxes: int) -> None:
        """Check the volume that a store has, before anything that was delivered to it since counts as usage."""
        volumes = self._known_volumes()

        def lacking(known: bool) -> Missing | None:  # noqa: FBT001 - whether another volume was known
            informers, namespace = self._dependencies.informers, self._key.namespace
            servers = informers.servers(namespace)
            ours = (
                mailbox
                for mailbox in informers.of_namespace("Mailbox", namespace)
                if ownership(mailbox, self._key.name, servers) is Ownership.OURS
            )
            return missing(ours, self._inventory, there, timestamp(_now()), known=known)

        volumes[there.store] = judged(volumes.get(there.store), there, mailboxes, lacking)

    def _known_volumes(self) -> dict[int, StoreVolume]:
        if self._volumes is None:
            server = self._reader.server()
            self._volumes = {one.store: one for one in read(server.status if server is not None else {})}
        return self._volumes

    def _report_volumes(self) -> None:
        """Write what is known of the volumes, less what somebody has accepted."""
        server = self._reader.server()
        names = accepts(server.annotations) if server is not None else frozenset()
        volumes = self._known_volumes()
        volumes.update({store: accepted(one, names) for store, one in volumes.items()})
        if volumes:
            self._mail_status.volumes(tuple(volumes.values()))

    def _update_home(self, user: str) -> None:
        home = self._inventory.home(user)
        with self._lock:
            if home == self._homes.get(user):
                return
            if home is None:
                del self._homes[user]
            else:
                self._homes[user] = home
        self._post(Home(user, home), not self.inventory_complete and self._unplaced(user))

    def _unplaced(self, user: str) -> bool:
        """Tell whether a Mailbox that claims a user name has no store in its status yet."""
        found = (self._reader.mailbox(name) for name in self._inventory.claimants(user))
        return any(mailbox is not None and "store" not in mailbox.status for mailbox in found)

    def _report(self) -> None:
        """Write volumes, usage and orphans, as far as they are due."""
        platform = self._platform
        if platform is None:
            return
        self._report_volumes()
        now = time.monotonic()
        for name in self._usage_rate.take(now):
            if self._mail_status.usage(name, self._inventory, platform):
                self._usage_rate.written(name, now)
        if self._all_reported(platform):
            self._mail_status.orphans(self._inventory, self._changed_users)
            self._changed_users = set()


def _now() -> dt.datetime:
    return dt.datetime.now(dt.UTC)
