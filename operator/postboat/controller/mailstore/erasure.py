"""Orders the stores to erase mail of Mailboxes under deletion, and removes the finalizer, as `retention` decides."""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING

from postboat.cluster.stores import ERASED, ERASING, LIVING, Access, StoreError
from postboat.controller.mailstore.mailbox_reader import MailboxReader
from postboat.model.platform import PUBLIC_STORE
from postboat.model.retention.reclaim import Decision, Step, decide
from postboat.model.verdict import Reason

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from postboat.api import Resource
    from postboat.cluster.observe import Pod
    from postboat.cluster.stores import Stores
    from postboat.cluster.types import Key
    from postboat.controller.mailstore.finalizers import Finalizers
    from postboat.controller.mailstore.status import MailStatus
    from postboat.controller.watch.informers import Informers
    from postboat.model.platform import Platform
    from postboat.model.retention.claims import MailKind
    from postboat.model.retention.inventory import Inventory

log = logging.getLogger(__name__)

RETRY_INTERVAL = 2.0
"""Seconds until a Mailbox that waits is looked at again."""
REPORT_AFTER = 20.0
"""Seconds for which a store may still serve the mailbox, or delete its files, before the status says so."""
TIME_BUDGET = 2.0
"""Seconds after which `process` returns: its thread has more to do, and the next call goes on where this one ended."""


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
        self._reader = MailboxReader(key, informers)
        self._names: set[str] = set()
        self._started: dict[str, float] = {}
        """When a store was first ordered to erase the mail of each."""
        self._due: dict[str, float] = {}
        """When each is to be looked at again."""

    def __len__(self) -> int:
        return len(self._names)

    def add(self, name: str) -> None:
        """Add a Mailbox under deletion."""
        self._names.add(name)

    def remove(self, name: str) -> None:
        """Remove a Mailbox that is gone, or whose mail is not to be erased any more."""
        self._names.discard(name)
        self._started.pop(name, None)
        self._due.pop(name, None)

    def process(self, inventory: Inventory, platform: Platform | None, *, complete: bool) -> None:
        """Do the next step for each that is due, the longest due first; a store that does not answer is asked once.

        Args:
            inventory: What the stores hold.
            platform: How to reach the stores; None while the MailServer is not ready.
            complete: Whether the inventory is complete, see `MailMonitor.inventory_complete`.

        """
        failed: dict[int, str] = {}
        begun = self._clock()
        for name in sorted((name for name in self._names if self._due_at(name) <= begun), key=self._due_at):
            observed = self._reader.observe(name, inventory)
            if observed is None or not observed.terminating:
                self.remove(name)
                continue
            self._step(observed.mailbox, decide(observed, inventory, complete=complete), platform, failed)
            if self._clock() - begun >= TIME_BUDGET:
                return

    def _due_at(self, name: str) -> float:
        return self._due.get(name, 0.0)

    def _step(self, mailbox: Resource, decision: Decision, platform: Platform | None, failed: dict[int, str]) -> None:
        if decision.step is Step.REMOVE_FINALIZER:
            self._remove_finalizer(mailbox, decision.message)
        elif decision.step is Step.ERASE and platform is not None:
            self._erase(mailbox, decision, platform, failed)
        else:
            self._wait(mailbox, decision.message or "the platform is not ready", decision.reason)

    def _erase(self, mailbox: Resource, decision: Decision, platform: Platform, failed: dict[int, str]) -> None:
        pods = store_pods(self._informers.pods_of(self._key))
        mail = decision.user, decision.kind
        self._started.setdefault(mailbox.name, self._clock())
        # The first store also has the rights and the read marks of each user in public mailboxes.
        stores = sorted({*decision.stores, PUBLIC_STORE})
        states = [self._order(store, mail, platform, pods, failed) for store in stores]
        self._due[mailbox.name] = self._clock()
        failures = [f"store {store} {failed[store]}" for store in stores if store in failed]
        late = self._clock() - self._started[mailbox.name] > REPORT_AFTER
        if all(state == ERASED for state in states):
            self._mail_status.erased(mailbox, decision.user)
            self._remove_finalizer(mailbox, "its mail was erased")
        elif failures:
            self._wait(mailbox, ", ".join(failures))
        elif LIVING in states and late:
            self._wait(mailbox, "a store has not yet closed the mailbox")
        elif ERASING in states and late:
            busy = (store for store, state in zip(stores, states, strict=True) if state == ERASING)
            self._wait(mailbox, ", ".join(f"store {store} has not deleted all of it yet" for store in busy))

    def _order(
        self, store: int, mail: tuple[str, MailKind], platform: Platform, pods: dict[int, Pod], failed: dict[int, str]
    ) -> str:
        pod = pods.get(store)
        if pod is None:
            failed[store] = "has no pod"
        if pod is None or store in failed:
            return ""
        try:
            state = self._stores.erase(access(platform), store, pod, mail)
        except StoreError as failure:
            failed[store] = str(failure)
            return ""
        return state if state in {ERASED, ERASING, LIVING} else ""

    def _wait(self, mailbox: Resource, message: str, reason: Reason = Reason.STORE_UNAVAILABLE) -> None:
        self._due[mailbox.name] = self._clock() + RETRY_INTERVAL
        self._mail_status.erasure_pending(mailbox, message, reason)

    def _remove_finalizer(self, mailbox: Resource, message: str) -> None:
        log.info(
            "removing the finalizer of a Mailbox: %s",
            message,
            extra={"namespace": self._key.namespace, "mailserver": self._key.name, "mailbox": mailbox.name},
        )
        self._due[mailbox.name] = self._clock() + RETRY_INTERVAL
        self._finalizers.enqueue(mailbox, wanted=False)


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
