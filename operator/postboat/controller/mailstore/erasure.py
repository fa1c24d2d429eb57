"""Decides what happens to a Mailbox under deletion with `reclaimPolicy: Delete`, and erases its mail.

The finalizer must not outlive its reason: in every case of doubt it is removed and the mail is kept.
"""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass
from enum import Enum, auto
from typing import TYPE_CHECKING

from postboat.cluster.stores import ERASED, ERASING, LIVING, Access, StoreError
from postboat.cluster.types import Key
from postboat.model.census import Kept, claimed
from postboat.model.defaults import paused
from postboat.model.domains import age
from postboat.model.platform import PUBLIC_STORE
from postboat.model.reclaim import FINALIZER, erases
from postboat.model.verdict import Reason

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable

    from postboat.api import Resource
    from postboat.cluster.observe import Pod
    from postboat.cluster.stores import Stores
    from postboat.controller.mailstore.finalizers import Finalizers
    from postboat.controller.mailstore.status import MailStatus
    from postboat.controller.watch.informers import Informers
    from postboat.model.census import Census
    from postboat.model.platform import Platform

log = logging.getLogger(__name__)

AGAIN = 2.0
LONG = 20.0
"""Seconds for which a store may still know the user, or take to erase, before that is worth a word."""
PAUSED = "the MailServer is paused (spec.paused)"
BUDGET = 2.0
"""Seconds after which a round ends: whoever calls has more to do, and the next round goes on where this one ended."""


class Step(Enum):
    """What to do next."""

    LET_GO = auto()
    WAIT = auto()
    ERASE = auto()


@dataclass(frozen=True, slots=True)
class Decision:
    """The next step; to erase, whose mail and where, and else why."""

    step: Step
    user: str = ""
    stores: tuple[int, ...] = ()
    why: str = ""
    kept: Kept = Kept.PERSONAL


def decide(
    mailbox: Resource, server: Resource | None, census: Census, rivals: Collection[Resource], *, surveyed: bool
) -> Decision:
    """Decide about a Mailbox under deletion; `rivals` are the other Mailboxes that claim the same user name."""
    claim = claimed(mailbox)
    # A younger one waits for the end of this one: see model/accounts.py.
    why = _reason_to_keep(mailbox, server, others=any(age(rival) < age(mailbox) for rival in rivals))
    if why or claim is None:
        return Decision(Step.LET_GO, why=why)
    user, kept = claim.user, claim.kept
    placed = mailbox.status.get("store")
    stores = {*census.stores(user, kept), *((placed,) if isinstance(placed, int) else ())}
    if not surveyed and placed is None:
        return Decision(Step.WAIT, user, why="not every store has said what it holds")
    if not stores:
        return Decision(Step.LET_GO, user, why="it has no mail")
    return Decision(Step.ERASE, user, tuple(sorted(stores)), kept=kept)


def _reason_to_keep(mailbox: Resource, server: Resource | None, *, others: bool) -> str:
    if server is None or server.deleting:
        return "the MailServer goes too"
    if not erases(mailbox, server):
        return "its mail is to be kept"
    return "the mail belongs to another Mailbox" if others else ""


class Erasures:
    """The Mailboxes of one MailServer whose mail is being erased."""

    def __init__(  # noqa: PLR0913, PLR0917 - what erasing takes
        self,
        key: Key,
        informers: Informers,
        stores: Stores,
        finalizers: Finalizers,
        mail_status: MailStatus,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._key, self._clock = key, clock
        self._informers, self._stores, self._finalizers, self._mail_status = informers, stores, finalizers, mail_status
        self._names: set[str] = set()
        self._ordered: dict[str, float] = {}
        """When a store was first told to erase the mail of each."""
        self._ready: dict[str, float] = {}
        """When it is the turn of each again."""

    def __len__(self) -> int:
        return len(self._names)

    def add(self, name: str) -> None:
        """Take a Mailbox that is being deleted."""
        self._names.add(name)

    def forget(self, name: str) -> None:
        """Forget a Mailbox that is gone."""
        self._names.discard(name)
        self._ordered.pop(name, None)
        self._ready.pop(name, None)

    def go_on(self, census: Census, platform: Platform | None, *, surveyed: bool) -> None:
        """Do the next step for them, whoever has waited longest first; a store that is silent is asked once only."""
        silent: dict[int, str] = {}
        begun = self._clock()
        for name in sorted((name for name in self._names if self._turn(name) <= begun), key=self._turn):
            mailbox = self._informers.get("Mailbox", Key(self._key.namespace, name))
            if mailbox is None or not mailbox.deleting or FINALIZER not in mailbox.finalizers:
                self.forget(name)
                continue
            decision = decide(
                mailbox, self._server(), census, rivals(mailbox, census, self._informers), surveyed=surveyed
            )
            self._step(mailbox, decision, platform, silent)
            if self._clock() - begun >= BUDGET:
                return

    def _turn(self, name: str) -> float:
        return self._ready.get(name, 0.0)

    def _server(self) -> Resource | None:
        return self._informers.get("MailServer", self._key)

    def _step(self, mailbox: Resource, decision: Decision, platform: Platform | None, silent: dict[int, str]) -> None:
        server = self._server()
        if decision.step is Step.LET_GO:
            self._let_go(mailbox, decision.why)
        elif server is not None and paused(server):
            self._wait(mailbox, PAUSED)
        elif decision.step is Step.WAIT or platform is None:
            self._wait(mailbox, decision.why or "the platform is not ready")
        else:
            self._erase(mailbox, decision, platform, silent)

    def _erase(self, mailbox: Resource, decision: Decision, platform: Platform, silent: dict[int, str]) -> None:
        pods = store_pods(self._informers.pods_of(self._key))
        mail = decision.user, decision.kept
        self._ordered.setdefault(mailbox.name, self._clock())
        # The first store knows what a person has read in public mailboxes, and may do there.
        stores = sorted({*decision.stores, PUBLIC_STORE})
        states = [self._order(store, mail, platform, pods, silent) for store in stores]
        self._ready[mailbox.name] = self._clock()
        failed = [f"store {store} {silent[store]}" for store in stores if store in silent]
        long = self._clock() - self._ordered[mailbox.name] > LONG
        if all(state == ERASED for state in states):
            self._mail_status.erased(mailbox, decision.user)
            self._let_go(mailbox, "its mail was erased")
        elif failed:
            self._wait(mailbox, ", ".join(failed))
        elif LIVING in states and long:
            self._wait(mailbox, "a store has not yet closed the mailbox")
        elif ERASING in states and long:
            busy = (store for store, state in zip(stores, states, strict=True) if state == ERASING)
            self._wait(mailbox, ", ".join(f"store {store} has not deleted all of it yet" for store in busy))

    def _order(
        self, store: int, mail: tuple[str, Kept], platform: Platform, pods: dict[int, Pod], silent: dict[int, str]
    ) -> str:
        pod = pods.get(store)
        if pod is None:
            silent[store] = "has no pod"
        if pod is None or store in silent:
            return ""
        try:
            state = self._stores.erase(access(platform), store, pod, mail)
        except StoreError as failure:
            silent[store] = str(failure)
            return ""
        return state if state in {ERASED, ERASING, LIVING} else ""

    def _wait(self, mailbox: Resource, why: str) -> None:
        self._ready[mailbox.name] = self._clock() + AGAIN
        self._mail_status.waits(mailbox, why, Reason.PAUSED if why == PAUSED else Reason.STORE_UNAVAILABLE)

    def _let_go(self, mailbox: Resource, why: str) -> None:
        log.info(
            "removing the finalizer of a Mailbox: %s",
            why,
            extra={"namespace": self._key.namespace, "mailserver": self._key.name, "mailbox": mailbox.name},
        )
        self._ready[mailbox.name] = self._clock() + AGAIN
        self._finalizers.wish(mailbox, wanted=False)


def rivals(mailbox: Resource, census: Census, informers: Informers) -> list[Resource]:
    """Give the other Mailboxes that claim the same user name, those under deletion too; the oldest of all has it."""
    claim = claimed(mailbox)
    names = census.claimants(claim.user) - {mailbox.name} if claim is not None else frozenset()
    found = (informers.get("Mailbox", Key(mailbox.namespace, name)) for name in sorted(names))
    return [rival for rival in found if rival is not None]


def store_pods(pods: Iterable[Pod]) -> dict[int, Pod]:
    """Give the pods of the stores that can be asked, by number."""
    found = {}
    for pod in pods:
        number = pod.name.rpartition("-")[2]
        if pod.component == "store" and number.isdecimal() and pod.ip and not pod.deleting:
            found[int(number)] = pod
    return found


def access(platform: Platform) -> Access:
    """Tell how to reach the stores of a platform."""
    return Access(platform.internal.ca, platform.internal.operator_token, platform.store_host)
