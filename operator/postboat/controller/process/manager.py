"""Starts and stops one reconciler for each MailServer, and routes each change to those that it concerns.

Without the Lease the informers stay in sync and nothing is written. With it, each MailServer has a worker, an observer
and a monitor.
"""

from __future__ import annotations

import logging
import threading
import time
from typing import TYPE_CHECKING

from postboat import telemetry
from postboat.api import GROUP, VERSION, Resource
from postboat.cluster.apply import Applier, adoption
from postboat.cluster.client import Client
from postboat.cluster.connection import Connection
from postboat.cluster.events import EventRecorder, Notice
from postboat.cluster.lease import Lease
from postboat.cluster.observe import Agents, PodAnnotator
from postboat.cluster.types import SECRET, SERVICE, STATEFUL_SET, Key, ResourceType
from postboat.controller.mailstore.finalizers import Finalizers
from postboat.controller.process.health import Health
from postboat.controller.process.memory import MemoryWatch
from postboat.controller.reconcile.apply_plan import family_of
from postboat.controller.reconcile.reconciler import MailServerReconciler, Means
from postboat.controller.reconcile.worker import Pace
from postboat.controller.statuses.pending import PendingStatuses
from postboat.controller.statuses.reporter import unowned_status
from postboat.controller.statuses.writer import Judgement, StatusWriter
from postboat.controller.watch.informers import RESOURCES, Informers
from postboat.controller.watch.snapshot import surroundings
from postboat.controller.watch.unowned import UnownedObjects
from postboat.model.kinds import LASTING, RULES
from postboat.model.retention.reclaim import finalizer_is_useless
from postboat.model.snapshot import Gone

if TYPE_CHECKING:
    from collections.abc import Iterable

    from postboat.cluster.children import Child
    from postboat.cluster.observe import Claim, Pod
    from postboat.model.snapshot import SecretContent
    from postboat.settings import Settings

log = logging.getLogger(__name__)


LAST_WORDS = 4.0
"""Seconds that all threads together have to end, so that there is time to release the Lease."""
STRAY_PATIENCE = 2.0
"""Seconds that an object waits for its MailServer before its status says that there is none.

So the order of creation does not matter.
"""


class Operator:
    """All parts of the operator process; as a `Listener` it routes the changes that informers report.

    Args:
        connection: None makes one from the settings.
    """

    def __init__(self, settings: Settings, connection: Connection | None = None) -> None:
        self.settings = settings
        self.connection = connection or Connection(settings.kubeconfig, settings.api_server)
        self.client = Client(self.connection)
        self.pending_statuses = PendingStatuses()
        self.informers = Informers(self.client, settings, self)
        self.lease = Lease(
            self.client,
            settings.operator_namespace,
            settings.lease_name,
            settings.identity,
            on_change=self._leadership_changed,
        )
        self.client.fence = self.lease
        self.writer = StatusWriter(self.client, self.pending_statuses)
        self.events = EventRecorder(self.client, settings.identity)
        self.means = Means(
            client=self.client,
            informers=self.informers,
            applier=Applier(self.client, self.informers.children),
            agents=Agents(),
            annotator=PodAnnotator(self.client, enabled=settings.touch_pods),
            finalizers=Finalizers(self.client),
            writer=self.writer,
            events=self.events,
            pending_statuses=self.pending_statuses,
            environment=surroundings(settings),
            pace=Pace(resync=settings.resync),
            leading=lambda: self.lease.held,
        )
        self.unowned = UnownedObjects(self._judge_one_unowned)
        self._lock = threading.RLock()
        self._servers: dict[Key, MailServerReconciler] = {}
        self._ending: dict[Key, MailServerReconciler] = {}
        """Those that were stopped and may not have ended what they were writing."""
        self._running = False
        self.kept: list[object] = []
        self._stopping = threading.Event()
        self.memory = MemoryWatch(self._count, self._tell_memory)
        self.health = Health(ready=lambda: self.informers.synced, refresh=self._refresh_metrics)

    def start(self) -> None:
        """Start informers and leader election; reconciling starts when the informers are in sync."""
        self.informers.start()
        self.events.start()
        self.writer.start()
        self.means.finalizers.start()
        self.memory.start()
        threading.Thread(target=self._begin, name="begin", daemon=True).start()
        for reflector in self.informers.reflectors:
            self.health.beats[reflector.name] = lambda reflector=reflector: reflector.heartbeat  # type: ignore[misc]
        self.health.beats["secrets"] = lambda: self.informers.secrets.heartbeat
        self.health.beats["statuses"] = lambda: self.writer.heartbeat if len(self.writer) else None

    def stop(self) -> None:
        """Stop all threads, then release the Lease. It blocks for up to about 10 s."""
        self.memory.stop()
        self._stopping.set()
        self.client.stop()
        with self._lock:
            controls = list(self._servers.values())
        for control in controls:
            control.stop()
        deadline = time.monotonic() + LAST_WORDS
        for control in controls:
            control.join(deadline)
        self.writer.stop()
        self.means.applier.stop()
        self.means.annotator.stop()
        self.means.agents.stop()
        self.means.finalizers.stop()
        self.events.stop()
        if self.lease.is_alive():
            self.lease.stop()
            self.lease.join(6.0)
        self.informers.stop()

    def _begin(self) -> None:
        """Wait until the informers are in sync before the Lease is requested: a leader must be able to act."""
        while not self.informers.synced:
            if self._stopping.wait(0.05):
                return
        log.info("the informers are in sync")
        with self._lock:
            self._running = True
            for server in self._all("MailServer"):
                self._ensure(Key(server.namespace, server.name))
        self.lease.start()
        self.health.beats["lease"] = lambda: self.lease.heartbeat

    def _all(self, kind: str) -> list[Resource]:
        return [resource for reflector in self.informers.resources[kind] for resource in reflector.cache.everything()]

    def _leadership_changed(self, held: bool) -> None:  # noqa: FBT001 - the one thing there is to say
        telemetry.LEADER.set(held)
        if held:
            self.means.applier.forget()
        else:
            self.writer.forget()
            self.means.finalizers.forget()
        with self._lock:
            for control in self._servers.values():
                control.lead(held=held)
        if held:
            self._judge_all_unowned()

    def _ensure(self, key: Key) -> MailServerReconciler:
        control = self._servers.get(key)
        if control is None:
            control = self._servers[key] = MailServerReconciler(key, self.means, newborn=self.lease.held)
            self.health.beats[control.worker.name] = control.last_beat
            self.health.beats[control.observer.name] = lambda: control.observer.heartbeat
            self.health.beats[control.monitor.name] = lambda: control.monitor.heartbeat
            control.start(leading=self.lease.held, after=self._ending.pop(key, None))
        return control

    def _drop(self, key: Key) -> None:
        control = self._servers.pop(key, None)
        if control is not None:
            self.health.beats.pop(control.worker.name, None)
            self.health.beats.pop(control.observer.name, None)
            self.health.beats.pop(control.monitor.name, None)
            control.stop()
            self._ending = {name: one for name, one in self._ending.items() if one.worker.is_alive()}
            self._ending[key] = control
            self.informers.secrets.release(key)
            telemetry.forget(key.namespace, key.name)

    def _of_namespace(self, namespace: str) -> list[MailServerReconciler]:
        with self._lock:
            return [control for key, control in self._servers.items() if key.namespace == namespace]

    def resource_changed(self, old: Resource | None, new: Resource | None) -> None:
        """Route a resource to the reconcilers of its namespace; a change of status alone wakes none."""
        known = new or old
        if known is None:
            return
        ours = self.pending_statuses.shown(old, new, (*RULES[known.kind].status_fields, "usage"))
        if not self._running:
            return
        if old is not None and new is not None and _only_status(old, new):
            self._status_changed(old, new, ours=ours)
            return
        if known.kind == "MailServer" and (old is None or new is None or old.uid != new.uid):
            self._servers_changed(old, new)
        change = new if new is not None else Gone(known.kind, known.name)
        for control in self._of_namespace(known.namespace):
            control.enqueue(change, wake=True)
        if new is not None and self.lease.held:
            self._judge_unowned((new,), self.informers.servers(new.namespace))

    def _status_changed(self, old: Resource, new: Resource, *, ours: bool) -> None:
        """Restore a status that somebody else has changed, and pass on lasting fields that only the status has."""
        controls = self._of_namespace(new.namespace)
        if old.finalizers != new.finalizers:
            for control in controls:
                control.monitor.enqueue(new.kind, new.name)
        if not ours and self.lease.held:
            as_planned = [control.restore(old, new) for control in controls]
            self._judge_unowned((new,), self.informers.servers(new.namespace))
            if not all(as_planned):
                return
        if any(old.status.get(field) != new.status.get(field) for field in LASTING):
            for control in controls:
                control.enqueue(new, wake=False)

    def _servers_changed(self, old: Resource | None, new: Resource | None) -> None:
        """Handle a MailServer that was created, deleted or replaced: objects may now belong to another one."""
        with self._lock:
            if old is not None:
                self._drop(Key(old.namespace, old.name))
            if new is not None:
                self._ensure(Key(new.namespace, new.name))
        for namespace in {one.namespace for one in (old, new) if one is not None}:
            servers = self.informers.servers(namespace)
            for control in self._of_namespace(namespace):
                control.serve(servers)
            if self.lease.held:
                self._judge_unowned_of(namespace)

    def _judge_all_unowned(self) -> None:
        for namespace in {resource.namespace for kind in RESOURCES for resource in self._all(kind)}:
            self._judge_unowned_of(namespace)

    def _judge_unowned_of(self, namespace: str) -> None:
        servers = self.informers.servers(namespace)
        for kind in RESOURCES:
            self._judge_unowned(self.informers.of_namespace(kind, namespace), servers)

    def _judge_unowned(self, resources: Iterable[Resource], servers: tuple[str, ...]) -> None:
        """Write the status of objects without a MailServer; remove the finalizer where nobody can erase the mail."""
        resources = tuple(resources)
        self.unowned.look(resources, servers)
        for resource in resources:
            if finalizer_is_useless(resource, servers):
                self.means.finalizers.enqueue(resource, wanted=False)

    def _judge_one_unowned(self, resource: Resource) -> None:
        status = unowned_status(self.informers, self.pending_statuses, self.events, resource)
        judgement = Judgement(RESOURCES[resource.kind], resource.namespace, resource.name, status)
        self.writer.judge(judgement, after=STRAY_PATIENCE)

    def secret_changed(self, content: SecretContent) -> None:
        """Route a Secret to the reconcilers of its namespace."""
        for control in self._of_namespace(content.namespace):
            control.enqueue(content, wake=True)

    def child_changed(self, kind: ResourceType, key: Key, old: Child | None, new: Child | None) -> None:
        """Wake the reconciler of a platform when somebody else has changed, deleted or restored one of its objects."""
        child = new or old
        if child is None or not self._running:
            return
        if new is None and old is not None:
            differs = self.means.applier.vanished(kind, key, old.uid)
        else:
            differs = self.means.applier.drifted(kind, key, new)
        with self._lock:
            control = self._servers.get(Key(key.namespace, child.instance))
        if control is None:
            return
        if differs or self._lacks_owner(kind, new):
            control.wake()
        if kind is SERVICE and (old is None or new is None or old.version != new.version):
            control.services_changed()
        if kind is STATEFUL_SET and (old is None or new is None):
            control.workloads_changed()

    def _lacks_owner(self, kind: ResourceType, child: Child | None) -> bool:
        """Return whether a Secret with keys, which is in no plan, has the wrong owner or labels."""
        if child is None or kind is not SECRET:
            return False
        server = self.informers.get("MailServer", Key(child.namespace, child.instance))
        return server is not None and bool(adoption(family_of(server), kind, child))

    def pod_changed(self, old: Pod | None, new: Pod | None) -> None:
        """Wake the observer of the platform."""
        pod = new or old
        if pod is None:
            return
        with self._lock:
            control = self._servers.get(Key(pod.namespace, pod.instance))
        if control is not None and (old is None or new is None or _pod_matters(old, new)):
            control.observer.wake()

    def claim_changed(self, old: Claim | None, new: Claim | None) -> None:
        """Wake the observer of the platform when a claim was created or deleted."""
        claim = new or old
        if claim is None or (old is not None and new is not None):
            return
        with self._lock:
            control = self._servers.get(Key(claim.namespace, claim.instance))
        if control is not None:
            control.observer.wake()

    def _count(self) -> int:
        return sum(len(reflector.cache) for of_kind in self.informers.resources.values() for reflector in of_kind)

    def _tell_memory(self, warning: str) -> None:
        """Write an Event about the memory of the operator on all MailServers."""
        for server in self._all("MailServer"):
            about = (f"{GROUP}/{VERSION}", server.kind, server.namespace, server.name, server.uid)
            self.events.tell(Notice(*about, normal=False, reason="OperatorMemoryLow", note=warning))

    def _refresh_metrics(self) -> None:
        for kind, reflectors in self.informers.resources.items():
            telemetry.OBJECTS.labels(kind).set(sum(len(reflector.cache) for reflector in reflectors))
        for reflector in self.informers.reflectors:
            telemetry.RELISTS.labels(str(reflector.source)).set(reflector.counters.lists)
            telemetry.WATCH_FAILURES.labels(str(reflector.source)).set(reflector.counters.failures)
        telemetry.STATUS_QUEUE_DEPTH.set(len(self.writer))
        with self._lock:
            telemetry.QUEUE_DEPTH.set(sum(control.worker.pending for control in self._servers.values()))


def _only_status(old: Resource, new: Resource) -> bool:
    """Return whether nothing has changed that a decision about the platform reads; the monitor handles finalizers."""
    return (old.uid, old.generation, old.deleting, old.annotations) == (
        new.uid,
        new.generation,
        new.deleting,
        new.annotations,
    )


def _pod_matters(old: Pod, new: Pod) -> bool:
    """Return whether more has changed than the annotations that this operator writes."""
    return (old.uid, old.ip, old.ready, old.deleting, old.restarts, old.phase, old.trouble) != (
        new.uid,
        new.ip,
        new.ready,
        new.deleting,
        new.restarts,
        new.phase,
        new.trouble,
    )
