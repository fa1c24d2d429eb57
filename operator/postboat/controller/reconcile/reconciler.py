"""The reconciler of one MailServer: takes its changes, plans, applies, follows the rollout and reports.

The worker thread plans and applies, the observer thread follows the pods, the monitor thread polls the stores; status
writes go to the threads of the status writer.
"""

from __future__ import annotations

import datetime as dt
import gc
import logging
import threading
import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from postboat import telemetry
from postboat.api import GROUP, VERSION, Resource
from postboat.cluster.events import Notice
from postboat.cluster.secrets import content_of
from postboat.cluster.stores import Stores
from postboat.cluster.trouble import Inquiry
from postboat.cluster.types import (
    SECRET,
    ApiError,
    ConnectionFailedError,
    FencedError,
    Key,
)
from postboat.controller.mailstore.monitor import Dependencies, MailMonitor
from postboat.controller.mailstore.status import MailStatus
from postboat.controller.planner import Decided, Planner
from postboat.controller.reconcile import keys
from postboat.controller.reconcile.apply_plan import FEW, LONGEST, PlanApplier
from postboat.controller.reconcile.lookups import Standing, standing
from postboat.controller.reconcile.worker import ExpectedError, NamespaceEndsError, NotLeadingError, Worker
from postboat.controller.rollout.observer import Observer
from postboat.controller.statuses.reporter import Reporter
from postboat.controller.watch.change_buffer import ChangeBuffer, NamespaceCache
from postboat.controller.watch.snapshot import Assembly, assemble
from postboat.model.defaults import paused
from postboat.model.kinds import secret_names
from postboat.model.snapshot import Gone, SecretContent, Servers
from postboat.objects.config import filling

if TYPE_CHECKING:
    from collections.abc import Callable

    from postboat.cluster.apply import Applier
    from postboat.cluster.client import Client
    from postboat.cluster.events import EventRecorder
    from postboat.cluster.observe import Agents, PodAnnotator
    from postboat.controller.mailstore.finalizers import Finalizers
    from postboat.controller.reconcile.worker import Pace
    from postboat.controller.statuses.pending import PendingStatuses
    from postboat.controller.statuses.writer import StatusWriter
    from postboat.controller.watch.informers import Informers
    from postboat.model.platform import Environment, Wanted
    from postboat.model.snapshot import Change
    from postboat.model.verdict import Key as ObjectKey

log = logging.getLogger(__name__)

HEAP = 1000
"""So many changes that need no decision are taken in at once, lest a hundred thousand hold up one that does."""
ROUNDS = 4
"""How often a plan may ask for keys before that is an error."""


@dataclass(frozen=True, slots=True)
class Means:
    """What all MailServers share."""

    client: Client
    informers: Informers
    applier: Applier
    agents: Agents
    annotator: PodAnnotator
    finalizers: Finalizers
    writer: StatusWriter
    events: EventRecorder
    pending_statuses: PendingStatuses
    environment: Environment
    pace: Pace
    leading: Callable[[], bool]


class MailServerReconciler:
    """The threads and the memory of one MailServer."""

    def __init__(self, key: Key, means: Means, *, newborn: bool = False) -> None:
        self.key = key
        self._means = means
        self._changes = ChangeBuffer()
        self._cache = NamespaceCache()
        self._planner = Planner(self.beat)
        self._fresh = threading.Event()
        self._again = threading.Event()
        """Time to look again at what ends with time, and for what was missed; what is the same is not decided anew."""
        self._fresh.set()
        self._carried: tuple[Change, ...] = ()
        self._fed: frozenset[str] | None = None
        self._touched: set[ObjectKey] = set()
        self._unmade: dict[str, str] = {}
        self._standing = Standing()
        self._standing_due = True
        self._reporter = Reporter(
            key, means.informers, means.writer, means.events, means.pending_statuses, begun=newborn
        )
        self.worker = Worker(key, self.reconcile, pace=means.pace, on_resync=self._again.set)
        self.observer = Observer(
            key,
            lambda: means.informers.pods_of(key),
            means.agents,
            means.annotator,
            self._reporter.advance,
            allowed=means.leading,
            inquiry=Inquiry(means.client),
            claims=lambda: means.informers.claims_of(key),
            deliveries=self._reporter.deliveries,
        )
        self._stores = Stores()
        self.monitor = MailMonitor(
            key,
            Dependencies(means.informers, self._stores, means.finalizers, means.leading),
            MailStatus(
                key, means.informers, means.writer, means.events, self._reporter.orphans, self._reporter.volumes
            ),
            lambda change, wake: self.enqueue(change, wake=wake),
        )
        self._plan_applier = PlanApplier(key, means.client, means.applier, self.observer, self._reporter)

    def start(self, *, leading: bool, after: MailServerReconciler | None = None) -> None:
        """Start all threads; without the Lease they wait, and for one of the same name that has not ended its work."""
        self.worker.after = after.worker if after is not None else None
        self.worker.pause(paused=not leading)
        self.worker.wake()
        self.worker.start()
        self.observer.start()
        self.monitor.start()

    def stop(self) -> None:
        """End all threads."""
        self.worker.stop()
        self.observer.stop()
        self.monitor.stop()
        self._stores.stop()

    def join(self, deadline: float) -> None:
        """Wait for the threads to end, until a moment of the monotonic clock."""
        for thread in (self.worker, self.observer, self.monitor):
            thread.join(max(0.0, deadline - time.monotonic()))

    def lead(self, *, held: bool) -> None:
        """Begin to write, or end it at once."""
        self.worker.pause(paused=not held)
        if held:
            self._reporter.take_over()
            self.start_over()

    def restore(self, old: Resource, new: Resource) -> bool:
        """Put right a status that somebody else has written, and tell whether its lasting facts are as planned."""
        if new.kind == "Mailbox" and old.status.get("usage") != new.status.get("usage"):
            self.monitor.enqueue(new.kind, new.name)
        return (new.kind == "MailServer" and new.name != self.key.name) or self._reporter.restore(old, new)

    def last_beat(self) -> float | None:
        """Give when the worker last showed that it is alive, or None while it rests."""
        return self.worker.heartbeat

    def beat(self) -> None:
        """Show that the worker is alive."""
        self.worker.beat()

    def wake(self) -> None:
        """Look again at what is applied."""
        self.worker.wake()

    def enqueue(self, change: Change, *, wake: bool) -> None:
        """Take a change that an informer or the monitor reports."""
        self._changes.put(change)
        if not wake and len(self._changes) >= HEAP:
            self.worker.wake()
        if wake:
            self.worker.wake(news=True)
            if isinstance(change, Resource | Gone):
                self.monitor.enqueue(change.kind, change.name)

    def start_over(self) -> None:
        """Read the whole namespace again."""
        self._fresh.set()
        self.worker.wake(news=True)
        self.monitor.resync()

    def serve(self, servers: tuple[str, ...]) -> None:
        """Take in that another MailServer of the namespace has come or gone; these are there now, the oldest first."""
        self.enqueue(Servers(servers), wake=True)
        self.monitor.resync()

    def services_changed(self) -> None:
        """Look again at where clients reach the platform."""
        self._plan_applier.endpoints_due = True
        self.worker.wake()

    def workloads_changed(self) -> None:
        """Look again at what StatefulSets stand, and with which volumes."""
        self._standing_due = True

    def reconcile(self) -> None:
        """Bring the cluster to what the resources say now."""
        begun = time.monotonic()
        decided = None
        self._means.writer.pause()
        try:
            decided = self._decide()
            if decided is not None:
                self._apply(decided)
        except (FencedError, NotLeadingError) as failure:
            self._fresh.set()
            raise NotLeadingError from failure
        except NamespaceEndsError:
            raise
        except (ExpectedError, ApiError, ConnectionFailedError) as failure:
            if decided is None:
                self._fresh.set()
            self._reporter.failed(decided, str(failure))
            raise ExpectedError(str(failure)) from failure
        except Exception:
            self._planner = Planner(self.beat)
            self._standing_due = True
            self._fresh.set()
            self._reporter.failed(decided, "the operator failed; its log tells why")
            raise
        finally:
            self._means.writer.resume()
        telemetry.RECONCILE_SECONDS.observe(time.monotonic() - begun)

    def _decide(self) -> Decided | None:
        """Feed what has changed to the planner; what it lacks is made on the spot."""
        if self._standing_due:
            self._look_up_standing()
        if self._fresh.is_set():
            decided = self._decide_anew()
        else:
            again = self._again.is_set()
            self._again.clear()
            self._carried = (*self._carried, *self._changes.take())
            self._touched |= self._cache.update(self._carried)
            if again:
                missed = self._cache.missed(self._everything())
                self._touched |= self._cache.update(missed)
                self._carried = (*self._carried, *missed)
            fresh_secrets = self._secrets(self._cache.referenced)
            now = dt.datetime.now(dt.UTC)
            decided = self._planner.update((*fresh_secrets, *self._carried), now, dates=again)
        self._fed = self._cache.referenced
        self._carried = ()
        self._unmade = {}
        looked: set[str] = set()
        for _ in range(ROUNDS):
            sought = decided.resolution.sought - looked if decided is not None else frozenset()
            wanted = self._to_make(decided)
            if not (sought or wanted):
                return decided
            looked |= sought
            decided = self._look_for_keys(sought) if sought else self._make_keys(wanted)
        log.error(
            "generated keys are still reported as missing",
            extra={"namespace": self.key.namespace, "mailserver": self.key.name},
        )
        return decided

    def _look_up_standing(self) -> None:
        self._standing_due = False
        try:
            self._standing = standing(self._means.client, self._means.informers, self.key)
        except Exception:
            self._standing_due = True
            raise
        self._planner.claims = self._standing.claims

    def _decide_anew(self) -> Decided | None:
        self._fresh.clear()
        self._changes.take()
        self._carried = ()
        self._cache = NamespaceCache()
        self._touched |= self._cache.update(self._everything())
        self._fed = None
        contents = {content.name: content for content in self._secrets(self._cache.referenced)}
        server = self._cache.resources.get(("MailServer", self.key.name))
        if server is None:
            return None
        now = dt.datetime.now(dt.UTC)
        # First: what the monitor reports in between is in the change buffer too.
        complete, highest = self.monitor.inventory_complete, self.monitor.highest_store
        assembly = Assembly(
            self._cache,
            contents,
            self._means.environment,
            now,
            self.monitor.homes(),
            complete,
            self._standing.stores,
            highest,
        )
        gc.disable()  # it would look at millions of objects again and again, of which none is garbage
        try:
            return self._planner.begin(assemble(server, assembly))
        finally:
            gc.freeze()  # looking at them later stops all threads, for a second where there are 100,000 mailboxes
            gc.enable()

    def _everything(self) -> list[Resource]:
        informers = self._means.informers
        return [
            resource for kind in informers.resources for resource in informers.of_namespace(kind, self.key.namespace)
        ]

    def _secrets(self, referenced: frozenset[str]) -> tuple[SecretContent, ...]:
        """Read Secrets named for the first time, and let the cache follow all that are named now."""
        if referenced is self._fed:
            return ()
        server = self._cache.resources.get(("MailServer", self.key.name))
        important = secret_names(server) if server is not None else ()
        self._means.informers.secrets.demand(self.key, referenced, important)
        names = referenced - (self._fed or frozenset())
        return tuple(self._means.informers.secrets.read(self.key.namespace, names, beat=self.worker.beat).values())

    def _to_make(self, decided: Decided | None) -> tuple[Wanted, ...]:
        server = self._cache.resources.get(("MailServer", self.key.name))
        if decided is None or server is None or paused(server) or not self._means.leading():
            return ()
        return tuple(wanted for wanted in decided.plan.wanted if wanted.name not in self._unmade)

    def _look_for_keys(self, sought: frozenset[str]) -> Decided | None:
        """Read Secrets of our own that may hold a key in force whose own Secret is gone."""
        contents = []
        for name in sorted(sought):
            raw = self._means.client.get(SECRET, self.key.namespace, name)
            gone = SecretContent(self.key.namespace, name, exists=False, data={})
            contents.append(gone if raw is None else content_of(raw))
        return self._planner.update(contents, dt.datetime.now(dt.UTC))

    def _make_keys(self, wanted: tuple[Wanted, ...]) -> Decided | None:
        """Make what is wanted; what the server refuses is told and tried again later, and holds up nothing else."""
        server = self._cache.resources["MailServer", self.key.name]
        for one in wanted:
            self.worker.beat()
            try:
                renewal = keys.make(self._means.client, server, one)
            except (ApiError, ExpectedError) as failure:
                if isinstance(failure, ApiError) and failure.ending:
                    raise NamespaceEndsError from failure
                self._unmade[one.name] = str(failure)
            else:
                log.info(
                    "generated keys in Secret %s",
                    one.name,
                    extra={"namespace": self.key.namespace, "mailserver": self.key.name, "why": one.why},
                )
                self._tell_renewal(server, one, renewal)
        made = frozenset(one.name for one in wanted) - self._unmade.keys()
        contents = self._means.informers.secrets.read(self.key.namespace, made, anew=True)
        known = self._means.informers.secrets.read(self.key.namespace, self._unmade)
        refused = [replace(known[name], refused=why) for name, why in self._unmade.items() if name in known]
        return self._planner.update((*contents.values(), *refused), dt.datetime.now(dt.UTC))

    def _tell_renewal(self, server: Resource, wanted: Wanted, renewal: keys.Renewal) -> None:
        """Tell of keys and certificates that were replaced: what others have trusted may be another one now."""
        if not renewal.entries:
            return
        note = f"Secret {wanted.name}: renewed {', '.join(renewal.entries)} ({wanted.why})."
        if renewal.abrupt:
            note += " Nobody has trusted the new authority before: connections may fail until all have its certificate."
        reason = "AuthorityReplaced" if renewal.abrupt else "KeysRenewed"
        about = (f"{GROUP}/{VERSION}", server.kind, server.namespace, server.name, server.uid)
        self._means.events.tell(Notice(*about, not renewal.abrupt, reason, note, server.generation))

    def _apply(self, decided: Decided) -> None:
        self._touched |= self._planner.take_touched()
        touched = {key: self._cache.resources.get(key) for key in self._touched}
        lacking = "; ".join(
            f"Secret {name} could not be created: {why[:LONGEST]}" for name, why in sorted(self._unmade.items())[:FEW]
        )
        self.monitor.set_platform(decided.plan.platform, (name for kind, name in self._touched if kind == "Mailbox"))
        server = self._cache.resources["MailServer", self.key.name]
        fault = self._plan_applier.apply(decided, server, touched, lacking)
        self._touched = set()
        if decided.plan.files is not None:
            telemetry.LARGEST_SHARD.labels(*self.key).set(filling(decided.plan.files).used)
        if fault:
            raise ExpectedError(fault)
