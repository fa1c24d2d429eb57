"""Polls the stores of one MailServer: which mail they hold, its size, its owner, and what is to be erased.

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

from postboat.cluster.stores import Mark, News, StoreError
from postboat.cluster.types import Key
from postboat.controller.mailstore.erasure import Erasures, access, rivals, store_pods
from postboat.controller.mailstore.usage_rate import UsageRate
from postboat.model.belonging import belonging
from postboat.model.census import Census, Holding, claimed
from postboat.model.defaults import paused
from postboat.model.domains import age
from postboat.model.reclaim import FINALIZER, erases
from postboat.model.snapshot import Held, Home, Surveyed
from postboat.model.verdict import Verdict
from postboat.model.volumes import StoreVolume, accepted, judged, missing
from postboat.status.conditions import timestamp
from postboat.status.volumes import accepts, read

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable

    from postboat.api import Resource
    from postboat.cluster.stores import Stores
    from postboat.controller.mailstore.finalizers import Finalizers
    from postboat.controller.mailstore.status import MailStatus
    from postboat.controller.watch.informers import Informers
    from postboat.model.platform import Platform
    from postboat.model.snapshot import Change
    from postboat.model.volumes import Missing

log = logging.getLogger(__name__)

POLL = 2.0
HASTE = 0.5
PATIENCE = 300.0
"""Seconds after which a mailbox is placed though a store has said nothing: long enough to pull an image."""


@dataclass(frozen=True, slots=True)
class Hands:
    """What a monitor works with."""

    informers: Informers
    stores: Stores
    finalizers: Finalizers
    leading: Callable[[], bool]


class MailMonitor(threading.Thread):
    """The thread that follows the mail of one MailServer."""

    def __init__(self, key: Key, hands: Hands, mail_status: MailStatus, post: Callable[[Change, bool], None]) -> None:
        super().__init__(name=f"monitor {key.namespace}/{key.name}", daemon=True)
        self.heartbeat = time.monotonic()
        self.surveyed = False
        self.held: int | None = None
        """The highest store that has something to keep; None until all that stand have told."""
        self._key, self._hands, self._mail_status, self._post = key, hands, mail_status, post
        self._census = Census()
        self._board = UsageRate()
        self._erasures = Erasures(key, hands.informers, hands.stores, hands.finalizers, mail_status)
        self._lock = threading.Lock()
        self._changed: set[str] = set()
        self._everything = True
        self._platform: Platform | None = None
        self._since = 0.0
        self._homes: dict[str, int] = {}
        self._volumes: dict[int, StoreVolume] | None = None
        """The volumes that stores should have; None until the status has been read."""
        self._marks: dict[int, Mark] = {}
        self._touched: set[str] = set()
        self._polled = 0.0
        self._woken = threading.Event()
        self._stopping = False

    def stop(self) -> None:
        """End the thread."""
        self._stopping = True
        self._woken.set()

    def hear(self, kind: str, name: str) -> None:
        """Take in that a Mailbox or the MailServer has changed."""
        with self._lock:
            if kind == "Mailbox":
                self._changed.add(name)
            elif kind == "MailServer":
                self._everything = True
            else:
                return
        self._woken.set()

    def start_over(self) -> None:
        """Look at every Mailbox again."""
        self.hear("MailServer", self._key.name)

    def follow(self, platform: Platform | None, mailboxes: Iterable[str]) -> None:
        """Take in the newest platform, how its stores are reached, and the Mailboxes that were judged anew for it."""
        if platform is not None:
            self._since = self._since or time.monotonic()
            self._platform = platform
        with self._lock:
            self._changed.update(mailboxes)
        self._woken.set()

    def homes(self) -> dict[str, int]:
        """Give the stores that hold mail, by user, as far as they have told."""
        with self._lock:
            return dict(self._homes)

    @override
    def run(self) -> None:
        pause = POLL
        while not self._stopping:
            self._woken.wait(pause)
            self._woken.clear()
            self.heartbeat = time.monotonic()
            if self._stopping:
                return
            try:
                pause = self._round() if self._hands.leading() else self._rest()
            except Exception:
                log.exception(
                    "polling the mail stores failed",
                    extra={"namespace": self._key.namespace, "mailserver": self._key.name},
                )
                pause = POLL

    def _rest(self) -> float:
        """Let another operator act, which may place mailboxes anywhere."""
        self.held = self._volumes = None
        return POLL

    def _round(self) -> float:
        changed = set(self._take_changed())
        changed |= {rival for name in changed for rival in self._claim(name)}
        for name in changed:
            self._look_at(name)
        now = time.monotonic()
        if self._platform is not None and now - self._polled >= (HASTE if self._erasures else POLL):
            self._polled = now
            self._poll(self._platform)
        self._erasures.go_on(self._census, self._platform, surveyed=self.surveyed)
        self._tell()
        waits = [POLL if not self._erasures else HASTE]
        if (rest := self._board.next(time.monotonic())) is not None:
            waits.append(max(0.05, rest))
        return min(waits)

    def _take_changed(self) -> Iterable[str]:
        with self._lock:
            changed, self._changed = self._changed, set()
            everything, self._everything = self._everything, False
        if not everything:
            return changed
        there = {mailbox.name for mailbox in self._hands.informers.of_namespace("Mailbox", self._key.namespace)}
        return there | changed | self._census.mailboxes

    def _owner(self, mailbox: Resource | None) -> str | Verdict | None:
        return None if mailbox is None else belonging(mailbox, self._hands.informers.servers(self._key.namespace))

    def _claim(self, name: str) -> set[str]:
        """Learn whose mail a Mailbox stands for, and give those that stand for the same if that is news."""
        mailbox = self._hands.informers.get("Mailbox", Key(self._key.namespace, name))
        owner = self._owner(mailbox)
        mine = owner == self._key.name or isinstance(owner, Verdict)
        touched = self._census.claim(name, claimed(mailbox) if mailbox is not None and mine else None, _now())
        self._touched |= touched
        return {rival for user in touched for rival in self._census.claimants(user)}

    def _look_at(self, name: str) -> None:
        """Learn whether a Mailbox needs the finalizer, or is to be erased."""
        mailbox = self._hands.informers.get("Mailbox", Key(self._key.namespace, name))
        owner = self._owner(mailbox)
        self._erasures.forget(name)
        if mailbox is None or (owner != self._key.name and not isinstance(owner, Verdict)):
            return
        self._board.changed(name, time.monotonic())
        server = self._hands.informers.get("MailServer", self._key)
        if owner == self._key.name and mailbox.deleting:
            if FINALIZER in mailbox.finalizers:
                self._erasures.add(name)
        elif server is not None and not paused(server):
            wanted = (
                owner == self._key.name
                and not server.deleting
                and erases(mailbox, server)
                and not any(age(rival) < age(mailbox) for rival in rivals(mailbox, self._census, self._hands.informers))
            )
            if wanted != (FINALIZER in mailbox.finalizers):
                self._hands.finalizers.wish(mailbox, wanted=wanted)

    def _poll(self, platform: Platform) -> None:
        """Ask all stores for their news."""
        asked = {
            store: (pod, self._marks.get(store, Mark()))
            for store, pod in store_pods(self._hands.informers.pods_of(self._key)).items()
        }
        answers = self._hands.stores.ask(access(platform), asked)
        for store, answer in answers.items():
            if isinstance(answer, StoreError):
                log.debug(
                    "store %d: %s",
                    store,
                    answer,
                    extra={"namespace": self._key.namespace, "mailserver": self._key.name},
                )
            else:
                self._learn(store, answer)
                self._marks[store] = answer.mark
        self._note_held(platform, {store for store, answer in answers.items() if not isinstance(answer, StoreError)})
        if not self.surveyed and (self._complete(platform) or time.monotonic() - self._since > PATIENCE):
            self.surveyed = True
            self._post(Surveyed(), True)  # noqa: FBT003 - wake

    def _note_held(self, platform: Platform, answered: Collection[int]) -> None:
        """Post which is the highest store that has something to keep: a lower one only when all have just answered.

        Where mailboxes in force live counts as well: mail may have come between the last answer and their end.
        """
        highest = max(self._census.highest, platform.store.placed)
        whole = all(store in answered for store in range(platform.store.replicas))
        if highest == self.held or not (whole or (self.held is not None and highest > self.held)):
            return
        self.held = highest
        self._post(Held(highest), platform.store.replicas > max(platform.store.shards, highest + 1))

    def _complete(self, platform: Platform) -> bool:
        return all(store in self._marks for store in range(platform.store.replicas))

    def _learn(self, store: int, news: News) -> None:
        now = _now()
        holdings = {
            told.user: Holding(told.user, store, told.bytes, told.messages, told.kept)
            for told in news.told
            if told.kept
        }
        if news.whole:
            users = self._census.replace(store, holdings, now)
            if news.volume:
                self._identify(StoreVolume(store, news.volume), len(holdings))
        else:
            users = {told.user for told in news.told}
            for user in users:
                if user in holdings:
                    self._census.hold(holdings[user], now)
                else:
                    self._census.release(user, store, now)
        self._touched |= users
        for user in users:
            self._note_home(user)
            for name in self._census.claimants(user):
                self._board.changed(name, time.monotonic())

    def _identify(self, there: StoreVolume, held: int) -> None:
        """Judge the volume that a store has, before anything that was delivered to it since counts as usage."""
        volumes = self._known_volumes()

        def lacking(known: bool) -> Missing | None:  # noqa: FBT001 - whether another volume was known
            mine = self._hands.informers.of_namespace("Mailbox", self._key.namespace)
            ours = (mailbox for mailbox in mine if self._owner(mailbox) == self._key.name)
            return missing(ours, self._census, there, timestamp(_now()), known=known)

        volumes[there.store] = judged(volumes.get(there.store), there, held, lacking)

    def _known_volumes(self) -> dict[int, StoreVolume]:
        if self._volumes is None:
            server = self._hands.informers.get("MailServer", self._key)
            self._volumes = {one.store: one for one in read(server.status if server is not None else {})}
        return self._volumes

    def _tell_volumes(self) -> None:
        """Let what is known of the volumes be written, less what somebody has accepted."""
        server = self._hands.informers.get("MailServer", self._key)
        names = accepts(server.annotations) if server is not None else frozenset()
        volumes = self._known_volumes()
        volumes.update({store: accepted(one, names) for store, one in volumes.items()})
        if volumes:
            self._mail_status.volumes(tuple(volumes.values()))

    def _note_home(self, user: str) -> None:
        home = self._census.home(user)
        with self._lock:
            if home == self._homes.get(user):
                return
            if home is None:
                del self._homes[user]
            else:
                self._homes[user] = home
        self._post(Home(user, home), not self.surveyed and self._waits(user))

    def _waits(self, user: str) -> bool:
        """Tell whether a Mailbox of that user has no place yet."""
        names = self._census.claimants(user)
        found = (self._hands.informers.get("Mailbox", Key(self._key.namespace, name)) for name in names)
        return any(mailbox is not None and "store" not in mailbox.status for mailbox in found)

    def _tell(self) -> None:
        """Let usage and orphans be written, as far as it is their turn."""
        platform = self._platform
        if platform is None:
            return
        self._tell_volumes()
        now = time.monotonic()
        for name in self._board.take(now):
            if self._mail_status.usage(name, self._census, platform):
                self._board.wrote(name, now)
        if self._complete(platform):
            self._mail_status.orphans(self._census, self._touched)
            self._touched = set()


def _now() -> dt.datetime:
    return dt.datetime.now(dt.UTC)
