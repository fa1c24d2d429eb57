"""Turns verdicts and what was seen of the pods into statuses and Events of one MailServer and its objects.

A status is made at the moment it is written, from the newest copy of the object, so that nothing is said twice.
"""

from __future__ import annotations

import datetime as dt
import threading
import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from postboat.api import GROUP, VERSION, Resource
from postboat.cluster.events import Notice
from postboat.cluster.types import Key
from postboat.controller.statuses import Due, StatusBoard
from postboat.controller.strays import STRAY
from postboat.controller.world import RESOURCES
from postboat.controller.writer import Judgement
from postboat.model.belonging import belonging
from postboat.model.verdict import Verdict
from postboat.status.observation import Moment, Observation, Workload
from postboat.status.report import report
from postboat.status.server import report_server

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from postboat.cluster.events import EventRecorder
    from postboat.controller.reconcile import Decided
    from postboat.controller.rollout import Progress
    from postboat.controller.world import World
    from postboat.controller.writer import StatusWriter
    from postboat.model.verdict import Key as ObjectKey
    from postboat.objects.plan import Plan

SERVER_PAUSE = 1.0
"""Seconds between two statuses of a MailServer: its counters change with every object."""


class Echoes:
    """Statuses that were written and that the watch has not shown yet."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._written: dict[tuple[str, Key], tuple[str, Mapping[str, Any]]] = {}

    def wrote(self, resource: Resource, status: Mapping[str, Any]) -> None:
        """Remember what is being written."""
        with self._lock:
            self._written[resource.kind, Key(resource.namespace, resource.name)] = (resource.uid, status)

    def heard(self, kind: str, key: Key) -> None:
        """Forget it, now that the watch has shown the object."""
        with self._lock:
            self._written.pop((kind, key), None)

    def newest(self, resource: Resource) -> Resource:
        """Give the resource with the status it has or will have in a moment."""
        with self._lock:
            written = self._written.get((resource.kind, Key(resource.namespace, resource.name)))
        if written is None or written[0] != resource.uid:
            return resource
        return replace(resource, status={**resource.status, **written[1]})


@dataclass(frozen=True, slots=True)
class Facts:
    """What the MailServer's own status is made from, as of the last plan and the last look at the pods."""

    plan: Plan | None = None
    sync_error: str = ""
    progress: tuple[Progress, ...] = ()
    in_force: bool = False
    endpoints: Mapping[str, str] | None = None


class Reporter:
    """The statuses of one MailServer and of everything that belongs to it."""

    def __init__(self, key: Key, world: World, writer: StatusWriter, events: EventRecorder, echoes: Echoes) -> None:
        self._key = key
        self._world, self._writer, self._events, self._echoes = world, writer, events, echoes
        self._lock = threading.RLock()
        self._board = StatusBoard()
        self._facts = Facts()
        self._generation = 0
        self._sequence = 0
        self._reported: Facts | None = None
        self._reported_at = 0.0

    def judged(self, decided: Decided, touched: Mapping[ObjectKey, Resource | None], sequence: int) -> None:
        """Take in a plan that has been applied under a number, and the objects that it judged anew."""
        plan, server = decided.plan, decided.resolution.server
        now = time.monotonic()
        with self._lock:
            self._sequence = sequence
            self._generation = server.generation
            self._facts = replace(self._facts, plan=plan, sync_error="", in_force=False)
            for key, resource in touched.items():
                verdict = plan.verdicts.get(key)
                if resource is None or verdict is None or verdict.reason in STRAY or resource.deleting:
                    self._board.gone((key,))
                elif key != ("MailServer", self._key.name) and resource.kind != "MailServer":
                    due = self._board.changed(key, resource.generation, verdict, sequence, now)
                    if due is not None:
                        self._put(due)
        self._server_due()

    def failed(self, decided: Decided | None, sentence: str) -> None:
        """Take in that a plan could not be made or applied."""
        with self._lock:
            if decided is not None:
                self._generation = decided.resolution.server.generation
                self._facts = replace(self._facts, plan=decided.plan)
            self._facts = replace(self._facts, sync_error=sentence, in_force=False)
        self._server_due()

    def advance(self, in_force: int, progress: tuple[Progress, ...]) -> float | None:
        """Take in how far the pods are; the result is when to look again, if it must be soon."""
        with self._lock:
            for due in self._board.advance(in_force, time.monotonic()):
                self._put(due)
            done = bool(self._sequence) and in_force >= self._sequence
            self._facts = replace(self._facts, progress=progress, in_force=done and not self._facts.sync_error)
            waiting = len(self._board)
        pause = self._server_due()
        return pause if pause is not None else (5.0 if waiting else None)

    def endpoints(self, found: Mapping[str, str]) -> None:
        """Take in where clients reach the platform."""
        with self._lock:
            self._facts = replace(self._facts, endpoints=dict(found))
        self._server_due()

    def _server_due(self) -> float | None:
        """Let the MailServer's status be written if it may differ; the result is the wait when it is too soon."""
        with self._lock:
            if self._reported == self._facts or self._facts.plan is None:
                return None
            now = time.monotonic()
            if now - self._reported_at < SERVER_PAUSE:
                return SERVER_PAUSE - (now - self._reported_at)
            self._reported, self._reported_at = self._facts, now
        server = RESOURCES["MailServer"]
        self._writer.put(Judgement(server, self._key.namespace, self._key.name, self._server_status))
        return None

    def _put(self, due: Due) -> None:
        kind, name = due.key
        status = self._status_of(due)
        self._writer.put(Judgement(RESOURCES[kind], self._key.namespace, name, status))

    def _status_of(self, due: Due) -> Callable[[], Mapping[str, Any] | None]:
        def status() -> Mapping[str, Any] | None:
            kind, name = due.key
            resource = self._world.get(kind, Key(self._key.namespace, name))
            if resource is None or resource.deleting or resource.generation != due.generation:
                return None
            known = self._echoes.newest(resource)
            with self._lock:
                plan = self._facts.plan
            platform = plan.platform if plan is not None else None
            made = report(known, due.verdict, platform, _moment(), in_force=due.in_force)
            return told(known, made, self._events, self._echoes)

        return status

    def _server_status(self) -> Mapping[str, Any] | None:
        with self._lock:
            facts, generation = self._facts, self._generation
        server = self._world.get("MailServer", self._key)
        if server is None or facts.plan is None or server.generation != generation:
            return None
        known = self._echoes.newest(server)
        seen = Observation(
            sync_error=facts.sync_error,
            workloads=tuple(_workload(self._key.name, part) for part in facts.progress),
            in_force=facts.in_force,
            endpoints=facts.endpoints,
        )
        verdict = facts.plan.verdicts["MailServer", self._key.name]
        return told(known, report_server(known, verdict, facts.plan, seen, _moment()), self._events, self._echoes)


def stray_status(
    world: World, echoes: Echoes, events: EventRecorder, resource: Resource
) -> Callable[[], Mapping[str, Any] | None]:
    """Make the status of an object that belongs to no MailServer."""

    def status() -> Mapping[str, Any] | None:
        newest = world.get(resource.kind, Key(resource.namespace, resource.name))
        if newest is None or newest.deleting or newest.generation != resource.generation:
            return None
        verdict = belonging(newest, world.servers(newest.namespace))
        if not isinstance(verdict, Verdict):
            return None
        known = echoes.newest(newest)
        return told(known, report(known, verdict, None, _moment(), in_force=False), events, echoes)

    return status


def told(
    resource: Resource, status: Mapping[str, Any] | None, events: EventRecorder, echoes: Echoes
) -> Mapping[str, Any] | None:
    """Pass a status on to be written, and tell of conditions that turn with it."""
    if status is None:
        return None
    before = {condition["type"]: condition for condition in resource.status.get("conditions") or ()}
    for condition in status.get("conditions") or ():
        old = before.get(condition["type"])
        if _worth_telling(resource, condition, old):
            events.tell(
                Notice(
                    f"{GROUP}/{VERSION}",
                    resource.kind,
                    resource.namespace,
                    resource.name,
                    resource.uid,
                    condition["status"] == "True",
                    condition["reason"],
                    f"{condition['type']}: {condition['message']}",
                    resource.generation,
                )
            )
    echoes.wrote(resource, status)
    return status


def _worth_telling(resource: Resource, new: Mapping[str, Any], old: Mapping[str, Any] | None) -> bool:
    """Whether a condition has turned; one of thousands being accepted is no news, one being refused is."""
    if old is not None and (old["status"], old["reason"]) == (new["status"], new["reason"]):
        return False
    if resource.kind == "MailServer":
        return old is not None or new["status"] != "Unknown"
    if new["type"] != "Accepted":
        return False
    return new["status"] == "False" or (old is not None and old["status"] == "False")


def _workload(server: str, progress: Progress) -> Workload:
    name = progress.workload.removeprefix(f"{server}-")
    return Workload(name, progress.desired, progress.ready, progress.current, progress.error)


def _moment() -> Moment:
    return Moment(dt.datetime.now(dt.UTC))
