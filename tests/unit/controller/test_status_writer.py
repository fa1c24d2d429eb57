"""Statuses on their way to the server: a failed write is tried again and its difference is not forgotten."""

from __future__ import annotations

import threading
import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from postboat.cluster.types import FencedError, Key, ResourceType, StatusPatch, api_error
from postboat.controller.statuses.pending import PendingStatuses
from postboat.controller.statuses.writer import LONGEST_PAUSE, Judgement, StatusWriter
from postboat.controller.watch.informers import RESOURCES
from tests.golden import world

if TYPE_CHECKING:
    from postboat.cluster.types import Json

ANNA = world.resource("Mailbox", "anna", {})
NEW = {"observedGeneration": 1}


class Server:
    """Fails as often as it is told to, then takes every write."""

    def __init__(self, *failures: Exception) -> None:
        self.failures = list(failures)
        self.taken: list[StatusPatch] = []
        self.done = threading.Event()

    def write_status(self, _kind: ResourceType, _namespace: str, _name: str, patch: StatusPatch) -> Json:
        if self.failures:
            raise self.failures.pop(0)
        self.taken.append(patch)
        self.done.set()
        return {}


def judge(pending_statuses: PendingStatuses) -> Judgement:
    def status() -> StatusPatch | None:
        if pending_statuses.newest(ANNA).status == NEW:
            return None
        pending_statuses.wrote(ANNA, NEW)
        return StatusPatch(ANNA.uid, NEW)

    return Judgement(RESOURCES["Mailbox"], ANNA.namespace, ANNA.name, status)


@pytest.mark.parametrize("failure", [api_error(500, "", "PATCH"), api_error(422, "", "PATCH"), FencedError("no Lease")])
def test_a_status_is_written_after_a_failure(failure: Exception) -> None:
    server, pending_statuses = Server(failure), PendingStatuses()
    writer = StatusWriter(server, pending_statuses)  # type: ignore[arg-type] - it only ever merges
    writer.start()
    writer.judge(judge(pending_statuses))
    assert server.done.wait(5)
    assert server.taken == [StatusPatch(ANNA.uid, NEW)]
    writer.stop()


def test_nothing_is_remembered_of_an_object_that_is_gone() -> None:
    server, pending_statuses = Server(api_error(404, "", "PATCH")), PendingStatuses()
    writer = StatusWriter(server, pending_statuses)  # type: ignore[arg-type] - it only ever merges
    writer.start()
    writer.judge(judge(pending_statuses))
    deadline = time.monotonic() + 5
    while (server.failures or len(pending_statuses) or len(writer)) and time.monotonic() < deadline:
        time.sleep(0.01)
    assert len(pending_statuses) == 0
    assert server.taken == []
    writer.stop()


def test_what_was_written_counts_until_the_watch_shows_it() -> None:
    pending_statuses = PendingStatuses()
    pending_statuses.wrote(ANNA, {"store": None, **NEW})
    assert pending_statuses.newest(ANNA).status == NEW
    assert pending_statuses.shown(ANNA, replace(ANNA, status=NEW), ("store", "observedGeneration"))
    assert pending_statuses.newest(ANNA) == ANNA


@pytest.mark.parametrize(
    ("written", "shown", "ours"),
    [
        (NEW, NEW, True),
        (NEW, {"observedGeneration": 7}, False),
        (NEW, {}, True),
        ({"dkim": {"name": "x", "record": None}}, {"dkim": {"name": "x"}}, True),
        (NEW, {"dkim": {"name": "x"}}, False),
        ({}, {"elsewhere": 1}, True),
    ],
)
def test_a_status_that_somebody_else_has_written_is_known(
    written: dict[str, Any], shown: dict[str, Any], *, ours: bool
) -> None:
    pending_statuses = PendingStatuses()
    pending_statuses.wrote(ANNA, written)
    assert pending_statuses.shown(ANNA, replace(ANNA, status=shown), ("observedGeneration", "dkim")) is ours


def test_a_status_is_written_into_the_very_object_only() -> None:
    patch = StatusPatch("uid", {"conditions": [], "dkim": {"name": "x", "record": None}, "store": None})
    test = {"op": "test", "path": "/metadata/uid", "value": "uid"}
    assert patch.operations() == [
        test,
        {"op": "add", "path": "/status/conditions", "value": []},
        {"op": "add", "path": "/status/dkim", "value": {"name": "x"}},
        {"op": "add", "path": "/status/store", "value": None},
    ]
    assert replace(patch, blank=True).operations()[0] == test


def test_statuses_wait_for_a_short_reconcile_and_not_for_a_long_one() -> None:
    server, pending_statuses = Server(), PendingStatuses()
    writer = StatusWriter(server, pending_statuses)  # type: ignore[arg-type] - it only ever merges
    writer.start()
    writer.pause()
    writer.judge(judge(pending_statuses))
    assert not server.done.wait(LONGEST_PAUSE / 5)
    writer.resume()
    assert server.done.wait(LONGEST_PAUSE * 10), "at once"
    server.done.clear()
    pending_statuses.forget("Mailbox", Key(ANNA.namespace, ANNA.name))
    writer.pause()
    writer.judge(judge(pending_statuses))
    assert server.done.wait(LONGEST_PAUSE * 10), "though nobody says that it has ended"
    writer.stop()
