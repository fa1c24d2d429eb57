"""One MailServer under control: from what changed to a plan, to applied objects, to pods, to statuses.

The worker thread plans and applies; the observer thread follows the pods; statuses are handed to the writer.
"""

from __future__ import annotations

import datetime as dt
import logging
import threading
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from postboat import telemetry
from postboat.cluster.types import (
    ApiError,
    ConnectionFailedError,
    FencedError,
    Key,
)
from postboat.controller import keys
from postboat.controller.intake import Inbox, View
from postboat.controller.lookups import addresses, volume_claims
from postboat.controller.observer import Observer
from postboat.controller.queue import ExpectedError, NotLeadingError, Worker
from postboat.controller.reconcile import Decided, Planner
from postboat.controller.reporter import Echoes, Reporter
from postboat.controller.snapshot import Assembly, assemble
from postboat.model.references import secret_names

if TYPE_CHECKING:
    from collections.abc import Callable

    from postboat.api import Resource
    from postboat.cluster.apply import Applier, Outcome
    from postboat.cluster.client import Client
    from postboat.cluster.events import EventRecorder
    from postboat.cluster.observe import Agents, PodAnnotator
    from postboat.controller.queue import Pace
    from postboat.controller.world import World
    from postboat.controller.writer import StatusWriter
    from postboat.model.platform import Environment
    from postboat.model.snapshot import Change, SecretContent
    from postboat.model.verdict import Key as ObjectKey
    from postboat.objects.plan import Plan

log = logging.getLogger(__name__)

ROUNDS = 4
"""How often a plan may ask for keys before that is an error."""


@dataclass(frozen=True, slots=True)
class Means:
    """What all MailServers share."""

    client: Client
    world: World
    applier: Applier
    agents: Agents
    annotator: PodAnnotator
    writer: StatusWriter
    events: EventRecorder
    echoes: Echoes
    environment: Environment
    pace: Pace
    leading: Callable[[], bool]


class MailServerControl:
    """The threads and the memory of one MailServer."""

    def __init__(self, key: Key, means: Means) -> None:
        self.key = key
        self._means = means
        self._inbox = Inbox()
        self._view = View()
        self._planner = Planner()
        self._fresh = threading.Event()
        self._fresh.set()
        self._carried: tuple[Change, ...] = ()
        self._fed: frozenset[str] = frozenset()
        self._touched: set[ObjectKey] = set()
        self._endpoints_due = True
        self._claims_due = True
        self._reporter = Reporter(key, means.world, means.writer, means.events, means.echoes)
        self.worker = Worker(key, self.reconcile, pace=means.pace, on_resync=self._fresh.set)
        self.observer = Observer(
            key,
            lambda: means.world.pods_of(key),
            means.agents,
            means.annotator,
            self._reporter.advance,
            allowed=means.leading,
        )

    def start(self, *, leading: bool) -> None:
        """Start both threads; without the Lease they wait."""
        self.worker.pause(paused=not leading)
        self.worker.wake()
        self.worker.start()
        self.observer.start()

    def stop(self) -> None:
        """End both threads."""
        self.worker.stop()
        self.observer.stop()

    def join(self, patience: float) -> None:
        """Wait for the threads to end."""
        self.worker.join(patience)
        self.observer.join(patience)

    def lead(self, *, held: bool) -> None:
        """Begin to write, or end it at once."""
        self.worker.pause(paused=not held)
        if held:
            self.start_over()

    def beat(self) -> float | None:
        """Give the moment since which the worker has been busy, or None while it rests."""
        return self.worker.busy_since

    def wake(self) -> None:
        """Look again at what is applied."""
        self.worker.wake()

    def hear(self, change: Change, *, wake: bool) -> None:
        """Take a change of the world."""
        self._inbox.put(change)
        if wake:
            self.worker.wake()

    def start_over(self) -> None:
        """Read the whole namespace again."""
        self._fresh.set()
        self.worker.wake()

    def services_changed(self) -> None:
        """Look again at where clients reach the platform."""
        self._endpoints_due = True
        self.worker.wake()

    def workloads_changed(self) -> None:
        """Look again at the volumes that StatefulSets were made with: they never change while the set exists."""
        self._claims_due = True

    def reconcile(self) -> None:
        """Bring the cluster to what the resources say now."""
        begun = time.monotonic()
        decided = None
        try:
            decided = self._decide()
            if decided is not None:
                self._bring_about(decided)
        except (FencedError, NotLeadingError) as failure:
            self._fresh.set()
            raise NotLeadingError from failure
        except (ExpectedError, ApiError, ConnectionFailedError) as failure:
            if decided is None:
                self._fresh.set()
            self._reporter.failed(decided, str(failure))
            raise ExpectedError(str(failure)) from failure
        except Exception:
            self._planner = Planner()
            self._claims_due = True
            self._fresh.set()
            self._reporter.failed(decided, "the operator failed; its log tells why")
            raise
        telemetry.RECONCILE_SECONDS.observe(time.monotonic() - begun)

    def _decide(self) -> Decided | None:
        """Feed what has changed to the planner; what it lacks is made on the spot."""
        if self._claims_due:
            self._planner.claims = volume_claims(self._means.client, self._means.world, self.key)
            self._claims_due = False
        if self._fresh.is_set():
            decided = self._decide_anew()
        else:
            self._carried = (*self._carried, *self._inbox.take())
            self._touched |= self._view.update(self._carried)
            fresh_secrets = self._secrets(self._view.referenced - self._fed)
            decided = self._planner.update((*fresh_secrets, *self._carried), dt.datetime.now(dt.UTC))
        self._fed = self._view.referenced
        self._carried = ()
        for _ in range(ROUNDS):
            if decided is None or not decided.plan.wanted or not self._means.leading():
                return decided
            decided = self._make_keys(decided.plan)
        log.error("keys are wanted again and again", extra={"mailserver": self.key.name})
        return decided

    def _decide_anew(self) -> Decided | None:
        self._fresh.clear()
        self._inbox.take()
        self._carried = ()
        self._view = View()
        self._touched |= self._view.update(self._everything())
        contents = {content.name: content for content in self._secrets(self._view.referenced)}
        server = self._view.resources.get(("MailServer", self.key.name))
        if server is None:
            return None
        assembly = Assembly(self._view, contents, self._means.environment, dt.datetime.now(dt.UTC))
        return self._planner.begin(assemble(server, assembly))

    def _everything(self) -> list[Change]:
        world = self._means.world
        return [resource for kind in world.resources for resource in world.of_namespace(kind, self.key.namespace)]

    def _secrets(self, names: frozenset[str]) -> tuple[SecretContent, ...]:
        """Read Secrets named for the first time, and let the cache follow all that are named now."""
        server = self._view.resources.get(("MailServer", self.key.name))
        if self._view.referenced != self._fed:
            important = secret_names(server) if server is not None else ()
            self._means.world.secrets.demand(self.key, self._view.referenced, important)
        if not names:
            return ()
        return tuple(self._means.world.secrets.read(self.key.namespace, names).values())

    def _make_keys(self, plan: Plan) -> Decided | None:
        server = self._view.resources["MailServer", self.key.name]
        for wanted in plan.wanted:
            log.info("making keys: %s", wanted.name, extra={"mailserver": self.key.name, "why": wanted.why})
            keys.make(self._means.client, server, wanted)
        names = frozenset(wanted.name for wanted in plan.wanted)
        made = self._means.world.secrets.read(self.key.namespace, names, anew=True)
        return self._planner.update(tuple(made.values()), dt.datetime.now(dt.UTC))

    def _bring_about(self, decided: Decided) -> None:
        """Apply, prune, tell the pods, and judge what the plan touched."""
        plan = decided.plan
        self._touched |= self._planner.take_touched()
        server = self._view.resources["MailServer", self.key.name]
        if plan.platform is None or plan.platform.paused:
            self._judge(decided, self.observer.sequence + 1)
            return
        self._apply(plan, server)
        desired = {
            item.name: int(item.body["spec"].get("replicas", 1)) for item in plan.objects if item.kind == "StatefulSet"
        }
        self._judge(decided, self.observer.follow(plan.digests, desired))
        if self._endpoints_due:
            self._endpoints_due = False
            self._reporter.endpoints(addresses(self._means.client, self.key))

    def _judge(self, decided: Decided, sequence: int) -> None:
        touched = {key: self._view.resources.get(key) for key in self._touched}
        self._touched = set()
        self._reporter.judged(decided, touched, sequence)

    def _apply(self, plan: Plan, server: Resource) -> None:
        outcome = self._means.applier.apply(plan.objects)
        self._check(outcome)
        for applied in outcome.applied:
            telemetry.APPLIES.labels(applied.partition("/")[0]).inc()
        if outcome.applied:
            log.info(
                "applied %d objects", len(outcome.applied), extra={"mailserver": self.key.name, "names": _few(outcome)}
            )
        if plan.complete:
            pruned = self._means.applier.prune(self.key.namespace, self.key.name, server.uid, plan.objects)
            for name in pruned.pruned:
                telemetry.PRUNES.labels(name.partition("/")[0]).inc()
                log.info("pruned %s", name, extra={"mailserver": self.key.name})
            self._check(pruned)

    def _check(self, outcome: Outcome) -> None:
        if any(isinstance(failure, FencedError) for failure in outcome.failures):
            raise NotLeadingError
        if outcome.failures:
            raise ExpectedError(f"{len(outcome.failures)} objects could not be written: {outcome.failures[0]}")


def _few(outcome: Outcome) -> str:
    listed = ", ".join(outcome.applied[:5])
    return listed + (" ..." if len(outcome.applied) > 5 else "")  # noqa: PLR2004 - enough to see what it was
