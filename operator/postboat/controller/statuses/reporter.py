"""Makes statuses and Events of one MailServer and its objects, from verdicts and from what the pods report.

A status is computed when it is written, from the newest copy of the object in the informers.
"""

from __future__ import annotations

import datetime as dt
import threading
import time
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from postboat.api import GROUP, VERSION, Resource
from postboat.cluster.events import Notice
from postboat.cluster.types import Key
from postboat.controller.rollout.progress import AFTER_ALL, NEVER
from postboat.controller.statuses.ready_tracker import Due, ReadyTracker
from postboat.controller.statuses.writer import Judgement, patch_of
from postboat.controller.watch.informers import RESOURCES
from postboat.model.belonging import belonging
from postboat.model.kinds import LASTING, RULES
from postboat.model.verdict import Reason, Verdict
from postboat.status.observation import Moment, Observation, Workload
from postboat.status.report import report
from postboat.status.server import report_server

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from postboat.agent.deliveries import Deliveries
    from postboat.cluster.events import EventRecorder
    from postboat.cluster.types import StatusPatch
    from postboat.controller.planner import Decided
    from postboat.controller.rollout.progress import Progress
    from postboat.controller.statuses.pending import PendingStatuses
    from postboat.controller.statuses.writer import StatusWriter
    from postboat.controller.watch.informers import Informers
    from postboat.model.retention.inventory import Orphan
    from postboat.model.verdict import Key as ObjectKey
    from postboat.model.volumes import StoreVolume
    from postboat.objects.plan import Plan

SLICE = 2000
"""Statuses that may wait to be written: each costs memory, and computing all at once delays other work."""
SLICE_SECONDS = 0.5
"""Seconds before the observer looks again when there were more statuses than SLICE."""
SERVER_PAUSE = 1.0
"""Seconds between two statuses of a MailServer, since its counters change with every object."""


@dataclass(frozen=True, slots=True)
class Facts:
    """What the status of the MailServer is made of, as of the last plan and the last look at the pods."""

    plan: Plan | None = field(default=None, compare=False)
    """None before the first plan."""
    revision: int = 0
    """Number of plans so far, so that plans need not be compared."""
    sync_error: str = ""
    """As in `status.observation.Observation`, like most of the fields below."""
    held: tuple[str, ...] | None = None
    progress: tuple[Progress, ...] = ()
    in_force: bool = False
    endpoints: Mapping[str, str] | None = None
    orphans: tuple[Orphan, ...] = ()
    orphan_count: int | None = None
    volumes: tuple[StoreVolume, ...] | None = None


class Reporter:
    """The statuses of one MailServer and of all objects that belong to it; safe to use from many threads.

    Args:
        key: Namespace and name of the MailServer.
        begun: Whether the MailServer is new, so that its pods cannot have served any object before.
    """

    def __init__(  # noqa: PLR0913 - what a status is made from, and who takes it
        self,
        key: Key,
        informers: Informers,
        writer: StatusWriter,
        events: EventRecorder,
        pending_statuses: PendingStatuses,
        *,
        begun: bool = False,
    ) -> None:
        self._key = key
        self._begun = begun
        """Whether an object that comes cannot have been served by these pods before, whatever its status says."""
        self._members: dict[ObjectKey, tuple[str, int]] = {}
        """Uid and generation of each object as it was last judged here."""
        self._informers, self._writer, self._events, self._pending_statuses = (
            informers,
            writer,
            events,
            pending_statuses,
        )
        self._seen: dict[ObjectKey, Deliveries] = {}
        """What the pods have told of single objects."""
        self._lock = threading.RLock()
        self._board = ReadyTracker()
        self._facts = Facts()
        self._version = ("", 0)
        self._sequence = 0
        self._in_force = NEVER
        self._reported: Facts | None = None
        self._reported_at = 0.0

    def judged(
        self,
        decided: Decided,
        touched: Mapping[ObjectKey, Resource | None],
        sequence: int,
        *,
        sync_error: str = "",
        held: tuple[str, ...] | None = None,
    ) -> None:
        """Record a plan that was applied.

        Args:
            touched: The objects that it decided about; None for one that was deleted.
            sequence: Number of the plan, from 1.
            sync_error: Why an object was not applied, a sentence without values of Secrets; "" when all were.
            held: While `spec.paused` is set, the objects that differ from the plan; None when it is not set.
        """
        with self._lock:
            self._sequence = sequence
            self._planned(decided)
            self._facts = replace(self._facts, sync_error=sync_error, held=held, in_force=self._done())
            self._judge(decided.plan, touched, sequence)
            self._begun = True
        self._server_due()

    def take_over(self) -> None:
        """Record that this process now leads: another one may have brought plans into force until now."""
        with self._lock:
            self._begun = False
            self._members.clear()

    def unwritten(self, decided: Decided, waiting: Mapping[ObjectKey, Resource | None]) -> None:
        """Record objects of which something could not be written: they are not Ready before `judged` gets them again.

        Args:
            waiting: The objects; None for one that was deleted.
        """
        with self._lock:
            self._judge(decided.plan, waiting, AFTER_ALL)

    def _judge(self, plan: Plan, touched: Mapping[ObjectKey, Resource | None], sequence: int) -> None:
        now = time.monotonic()
        for key, resource in touched.items():
            verdict = plan.verdicts.get(key)
            if resource is None or verdict is None or verdict.reason is Reason.SERVER_NOT_FOUND or resource.deleting:
                self._board.gone((key,))
                self._members.pop(key, None)
                self._seen.pop(key, None)
            elif key != ("MailServer", self._key.name) and resource.kind != "MailServer":
                uid, generation = resource.uid, resource.generation
                anew = self._begun and key not in self._members and _says_ready(resource)
                self._members[key] = uid, generation
                due = self._board.changed(key, uid, generation, verdict, sequence, now, anew=anew)
                if due is not None:
                    self._put(due)

    def restore(self, old: Resource, new: Resource) -> bool:
        """Write a status again that somebody else has changed.

        Args:
            old: The object before.
            new: The object with the changed status.

        Returns:
            Whether the lasting fields of the status (`model.kinds.LASTING`) are still right.
        """
        key = (new.kind, new.name)
        with self._lock:
            if new.kind == "MailServer":
                self._reported = None
            elif self._members.get(key) != (new.uid, new.generation) or self._facts.plan is None:
                return True  # a plan that knows it is still to come
            elif all(old.status.get(field) == new.status.get(field) for field in RULES[new.kind].status_fields):
                return True
            else:
                verdict = self._facts.plan.verdicts.get(key)
                if verdict is None:
                    return True
                due = self._due_again(key, old, new, verdict)
                made = self._made(due, new)
                self._put(due)
                return made is None or not LASTING & made.keys()
        self._server_due()
        return True

    def _due_again(self, key: ObjectKey, old: Resource, new: Resource, verdict: Verdict) -> Due:
        """Return what is known of an object, to write its status again; it is in force if it was in `old`."""
        in_force = verdict.effective and (not self._board.waits(key) or _served(old))
        return Due(key, new.uid, new.generation, verdict, in_force, anew=True)

    def deliveries(self, told: Mapping[str, Deliveries]) -> bool:
        """Record the last deliveries; return whether there are relay hosts.

        Args:
            told: The deliveries by transport.
        """
        with self._lock:
            plan = self._facts.plan
            hosts = plan.platform.relay_hosts if plan is not None and plan.platform is not None else ()
            for host in hosts:
                key = ("RelayHost", host.resource)
                found = told.get(host.transport)
                if plan is None or found is None:
                    continue
                self._seen[key] = found  # told again and again, since what comes soon after another one waits
                resource = self._informers.get(key[0], Key(self._key.namespace, host.resource))
                if resource is not None and self._members.get(key) == (resource.uid, resource.generation):
                    self._put(self._due_again(key, resource, resource, plan.verdicts[key]))
        return bool(hosts)

    def failed(self, decided: Decided | None, sentence: str) -> None:
        """Record that a plan could not be made or applied.

        Args:
            decided: The plan; None when there is none.
            sentence: Why, without values of Secrets.
        """
        with self._lock:
            if decided is not None:
                self._planned(decided)
            self._facts = replace(self._facts, sync_error=sentence, in_force=False)
        self._server_due()

    def advance(self, in_force: int, progress: tuple[Progress, ...]) -> float | None:
        """Record which plan the pods have loaded, and queue the statuses that are due.

        Args:
            in_force: Number of the plan that all containers have loaded; NEVER for none.
            progress: The state of each workload.

        Returns:
            Seconds until the pods should be looked at again; None for no wish.
        """
        room = max(0, SLICE - len(self._writer))
        with self._lock:
            due = self._board.advance(in_force, time.monotonic(), room)
            for one in due:
                self._put(one)
            self._in_force = in_force
            self._facts = replace(self._facts, progress=progress)
            self._facts = replace(self._facts, in_force=self._done() and not self._facts.sync_error)
            waiting = len(self._board)
        self._server_due()
        if len(due) >= room:
            return SLICE_SECONDS
        return 5.0 if waiting else None

    def endpoints(self, found: Mapping[str, str]) -> None:
        """Record host name or IP address of the client Services, by name (`smtp`, `imap`)."""
        with self._lock:
            self._facts = replace(self._facts, endpoints=dict(found))
        self._server_due()

    def orphans(self, first: tuple[Orphan, ...], count: int) -> None:
        """Record mail without a Mailbox.

        Args:
            first: As much of it as the status lists.
            count: How much there is.
        """
        with self._lock:
            self._facts = replace(self._facts, orphans=first, orphan_count=count)
        self._server_due()

    def volumes(self, known: tuple[StoreVolume, ...]) -> None:
        """Record which volumes the stores should have.

        Args:
            known: One entry for each store whose volume is known.
        """
        with self._lock:
            self._facts = replace(self._facts, volumes=known)
        self._server_due()

    def _planned(self, decided: Decided) -> None:
        self._version = (decided.resolution.server.uid, decided.resolution.server.generation)
        self._facts = replace(self._facts, plan=decided.plan, revision=self._facts.revision + 1)

    def _done(self) -> bool:
        """Return whether the pods have loaded the newest plan and are made from its templates, as of the last look."""
        rolled = all(part.rolled for part in self._facts.progress)
        return rolled and 0 < self._sequence <= self._in_force

    def _server_due(self) -> None:
        """Queue the status of the MailServer if it may differ, now or after the pause since the last one."""
        with self._lock:
            if self._reported == self._facts or self._facts.plan is None:
                return
            self._reported = self._facts
            now = time.monotonic()
            if self._reported_at <= now:
                self._reported_at = max(now, self._reported_at + SERVER_PAUSE)
            after = self._reported_at - now
        judgement = Judgement(RESOURCES["MailServer"], self._key.namespace, self._key.name, self._server_status)
        self._writer.judge(judgement, after=after)

    def _put(self, due: Due) -> None:
        kind, name = due.key
        status = self._status_of(due)
        self._writer.judge(Judgement(RESOURCES[kind], self._key.namespace, name, status))

    def _status_of(self, due: Due) -> Callable[[], StatusPatch | None]:
        def status() -> StatusPatch | None:
            kind, name = due.key
            resource = self._informers.get(kind, Key(self._key.namespace, name))
            if (
                resource is None
                or resource.deleting
                or (resource.uid, resource.generation) != (due.uid, due.generation)
            ):
                return None
            known = self._pending_statuses.newest(resource)
            return told(known, self._made(due, known), self._events, self._pending_statuses)

        return status

    def _made(self, due: Due, known: Resource) -> dict[str, Any] | None:
        with self._lock:
            facts = self._facts
        platform = facts.plan.platform if facts.plan is not None else None
        in_force = due.in_force or (not due.anew and _served(known) and self._some_pod_serves(facts))
        return report(
            known,
            due.verdict,
            platform,
            _moment(),
            in_force=in_force,
            paused=facts.held is not None,
            workloads=tuple(_workload(self._key.name, part) for part in facts.progress),
            seen=self._seen.get(due.key),
        )

    @staticmethod
    def _some_pod_serves(facts: Facts) -> bool:
        """Return whether any pod is ready; True also before the first look."""
        return not facts.progress or any(part.ready for part in facts.progress)

    def _server_status(self) -> StatusPatch | None:
        with self._lock:
            facts, version = self._facts, self._version
        server = self._informers.get("MailServer", self._key)
        if server is None or facts.plan is None or (server.uid, server.generation) != version:
            return None
        known = self._pending_statuses.newest(server)
        seen = Observation(
            sync_error=facts.sync_error,
            held=facts.held,
            workloads=tuple(_workload(self._key.name, part) for part in facts.progress),
            in_force=facts.in_force,
            endpoints=facts.endpoints,
            orphans=facts.orphans,
            orphan_count=facts.orphan_count,
            volumes=facts.volumes,
        )
        verdict = facts.plan.verdicts["MailServer", self._key.name]
        return told(
            known, report_server(known, verdict, facts.plan, seen, _moment()), self._events, self._pending_statuses
        )


def unowned_status(
    informers: Informers, pending_statuses: PendingStatuses, events: EventRecorder, resource: Resource
) -> Callable[[], StatusPatch | None]:
    """Return the function that computes the status of an object that belongs to no MailServer.

    It returns None when the object has changed or belongs to one by now.
    """

    def status() -> StatusPatch | None:
        newest = informers.get(resource.kind, Key(resource.namespace, resource.name))
        if newest is None or newest.deleting or (newest.uid, newest.generation) != (resource.uid, resource.generation):
            return None
        verdict = belonging(newest, informers.servers(newest.namespace))
        if not isinstance(verdict, Verdict):
            return None
        known = pending_statuses.newest(newest)
        return told(known, report(known, verdict, None, _moment(), in_force=False), events, pending_statuses)

    return status


def told(
    resource: Resource, status: Mapping[str, Any] | None, events: EventRecorder, pending_statuses: PendingStatuses
) -> StatusPatch | None:
    """Return the patch for a status, which tells Events about changed conditions after it was written.

    Args:
        resource: The object with the status before.
        status: The merge patch for the status; None when it need not change.

    Returns:
        None when nothing has to be written.
    """
    if status is None:
        return None
    before = {condition["type"]: condition for condition in resource.status.get("conditions") or ()}
    turned = [
        _notice(resource, condition)
        for condition in status.get("conditions") or ()
        if _worth_telling(resource, condition, before.get(condition["type"]))
    ]

    def tell() -> None:
        for notice in turned:
            events.tell(notice)

    pending_statuses.wrote(resource, status)
    patch = patch_of(resource, status)
    return None if patch is None else replace(patch, written=tell)


def _notice(resource: Resource, condition: Mapping[str, Any]) -> Notice:
    return Notice(
        f"{GROUP}/{VERSION}",
        resource.kind,
        resource.namespace,
        resource.name,
        resource.uid,
        condition["status"] == "True" and condition["reason"] != Reason.STORAGE_FILLING,
        condition["reason"],
        f"{condition['type']}: {condition['message']}",
        resource.generation,
    )


def _worth_telling(resource: Resource, new: Mapping[str, Any], old: Mapping[str, Any] | None) -> bool:
    """Return whether a changed condition deserves an Event: one of thousands of accepted objects does not."""
    if old is not None and (old["status"], old["reason"]) == (new["status"], new["reason"]):
        return False
    if resource.kind == "MailServer":
        return old is not None or new["status"] != "Unknown"
    if new["type"] != "Accepted":
        return False
    return new["status"] == "False" or (old is not None and old["status"] == "False")


def _served(resource: Resource) -> bool:
    """Return whether the status says that the object is Ready in its current generation."""
    return _says_ready(resource, resource.generation)


def _says_ready(resource: Resource, generation: int | None = None) -> bool:
    """Return whether the status says Ready=True, for a generation or (None) for any."""
    return any(
        condition["type"] == "Ready"
        and condition["status"] == "True"
        and generation in {None, condition.get("observedGeneration")}
        for condition in resource.status.get("conditions") or ()
    )


def _workload(server: str, progress: Progress) -> Workload:
    name = progress.workload.removeprefix(f"{server}-")
    return Workload(
        name,
        progress.desired,
        progress.ready,
        progress.current,
        progress.error,
        progress.goes_on,
        progress.volumes,
        progress.trouble,
        progress.unserved,
    )


def _moment() -> Moment:
    return Moment(dt.datetime.now(dt.UTC))
