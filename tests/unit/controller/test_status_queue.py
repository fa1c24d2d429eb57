"""What becomes of a status that was written or could not be: only a failure is tried again."""

from __future__ import annotations

import threading
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from postboat import telemetry
from postboat.cluster.retry import Backoff
from postboat.cluster.types import FencedError, ResourceType, StatusPatch, api_error
from postboat.controller.statuses.pending import PendingStatuses
from postboat.controller.statuses.writer import Judgement, StatusWriter, patch_of
from postboat.controller.watch.informers import RESOURCES
from tests.golden import world

if TYPE_CHECKING:
    from collections.abc import Iterator

ANNA = world.resource("Mailbox", "anna", {})
NEW = {"observedGeneration": 1}


class Server:
    """Fails for Anna as often as it is told to, and takes every other write."""

    def __init__(self) -> None:
        self.failures: list[Exception] = []
        self.taken: list[str] = []
        self.places: list[tuple[str, str]] = []

    def write_status(self, kind: ResourceType, namespace: str, name: str, _patch: StatusPatch) -> None:
        if self.failures and name == ANNA.name:
            raise self.failures.pop(0)
        if name != "next":
            self.taken.append(name)
            self.places.append((kind.kind, namespace))


@pytest.fixture
def server() -> Server:
    return Server()


@pytest.fixture
def pending() -> PendingStatuses:
    pending = PendingStatuses()
    pending.wrote(ANNA, NEW)
    return pending


@pytest.fixture
def writer(server: Server, pending: PendingStatuses, monkeypatch: pytest.MonkeyPatch) -> Iterator[StatusWriter]:
    """Let one thread write, which tries again at once: so all that is due goes in the order of the queue."""
    monkeypatch.setattr("postboat.controller.statuses.retry_queue._BACKOFF", Backoff(base=0.0, cap=0.0))
    monkeypatch.setattr("postboat.controller.statuses.writer.WRITERS", 1)
    writer = StatusWriter(server, pending)  # type: ignore[arg-type] - it only ever writes statuses
    yield writer
    writer.stop()


class Judged:
    """Statuses that are judged, counted by name."""

    def __init__(self) -> None:
        self.names: list[str] = []
        self.written: list[str] = []

    def status(self, name: str, *, differs: bool = True, part: str = "") -> Judgement:
        def judge() -> StatusPatch | None:
            self.names.append(name)
            return StatusPatch("uid", NEW, written=lambda: self.written.append(name)) if differs else None

        return Judgement(RESOURCES["Mailbox"], ANNA.namespace, name, judge, part)


def let_all_be_written(writer: StatusWriter, times: int = 1) -> None:
    """Wait until whatever is in the queue had so many turns: another object comes behind it each time."""
    for _ in range(times):
        turn = threading.Event()

        def status(turn: threading.Event = turn) -> StatusPatch:
            return StatusPatch("next", NEW, written=turn.set)

        writer.judge(Judgement(RESOURCES["Mailbox"], ANNA.namespace, "next", status))
        assert turn.wait(60)


@pytest.mark.parametrize(
    ("failures", "judged_times", "taken", "remembered"),
    [
        ([], 1, ["anna"], 1),
        ([api_error(404, "", "PATCH")], 1, [], 0),
        ([api_error(422, "", "PATCH")], 2, ["anna"], 0),
        ([api_error(500, "", "PATCH")] * 3, 4, ["anna"], 0),
        ([FencedError("no Lease")], 2, ["anna"], 0),
        ([ValueError("a fault of the code")], 2, ["anna"], 0),
    ],
)
def test_a_status_is_judged_again_after_a_failure_and_never_after_a_success(  # noqa: PLR0913, PLR0917 - what is looked at
    server: Server,
    pending: PendingStatuses,
    writer: StatusWriter,
    failures: list[Exception],
    judged_times: int,
    taken: list[str],
    remembered: int,
) -> None:
    server.failures = list(failures)
    judged = Judged()
    writer.judge(judged.status("anna"))
    writer.start()
    let_all_be_written(writer, len(failures) + 2)
    assert judged.names == ["anna"] * judged_times
    assert server.taken == taken
    assert judged.written == taken
    assert len(pending) == remembered
    assert len(writer) == 0


def test_what_does_not_differ_is_not_sent_and_not_judged_again(server: Server, writer: StatusWriter) -> None:
    judged = Judged()
    writer.judge(judged.status("anna", differs=False))
    writer.start()
    let_all_be_written(writer, 2)
    assert judged.names == ["anna"]
    assert server.taken == []
    assert judged.written == []


def test_a_judgement_for_later_is_not_made_now(writer: StatusWriter) -> None:
    judged = Judged()
    writer.judge(judged.status("anna"), after=3600.0)
    writer.start()
    let_all_be_written(writer, 2)
    assert judged.names == []
    assert len(writer) == 1
    writer.judge(judged.status("anna"))
    let_all_be_written(writer)
    assert judged.names == ["anna"], "a judgement of now does not wait for that moment"


def test_the_newest_judgement_of_an_object_replaces_the_older_and_parts_are_apart(writer: StatusWriter) -> None:
    older, judged = Judged(), Judged()
    writer.judge(older.status("anna"))
    writer.judge(judged.status("anna"))
    writer.judge(judged.status("anna", part="usage"))
    writer.start()
    let_all_be_written(writer, 2)
    assert older.names == []
    assert judged.names == ["anna", "anna"]


def test_a_judgement_of_an_object_is_not_that_of_its_namesake_of_another_kind_or_namespace(
    server: Server, writer: StatusWriter
) -> None:
    judged = Judged()
    one = judged.status("anna")
    for judgement in (one, replace(one, namespace="other"), replace(one, kind=RESOURCES["MailAddress"])):
        writer.judge(judgement)
    writer.start()
    let_all_be_written(writer, 2)
    assert judged.names == ["anna", "anna", "anna"]
    assert server.places == [("Mailbox", ANNA.namespace), ("Mailbox", "other"), ("MailAddress", ANNA.namespace)]


def test_failures_and_writes_are_counted_by_kind(server: Server, writer: StatusWriter) -> None:
    def counted() -> tuple[float, float]:
        metrics = (telemetry.STATUS_ERRORS, telemetry.STATUS_WRITES)
        failed, written = (metric.labels("MailDomain")._value.get() for metric in metrics)
        return failed, written

    before = counted()
    server.failures = [api_error(500, "", "PATCH")]
    writer.judge(replace(Judged().status("anna"), kind=RESOURCES["MailDomain"]))
    writer.start()
    let_all_be_written(writer, 3)
    failed, written = counted()
    assert (failed - before[0], written - before[1]) == (1, 1)


def test_a_patch_is_for_the_very_object_and_knows_whether_it_has_a_status() -> None:
    assert patch_of(ANNA, None) is None
    blank = patch_of(ANNA, NEW)
    assert blank == StatusPatch(ANNA.uid, NEW, blank=True)
    assert blank.operations()[-1] == {"op": "add", "path": "/status", "value": NEW}
    assert patch_of(replace(ANNA, status={"store": 1}), NEW) == StatusPatch(ANNA.uid, NEW, blank=False)


def test_only_the_object_that_failed_is_forgotten(
    server: Server, pending: PendingStatuses, writer: StatusWriter
) -> None:
    bert = replace(ANNA, name="bert", uid="bert")
    pending.wrote(bert, NEW)
    server.failures = [api_error(404, "", "PATCH")]
    judged = Judged()
    writer.judge(judged.status("anna"))
    writer.start()
    let_all_be_written(writer, 2)
    assert pending.newest(bert).status == NEW
    assert pending.newest(ANNA) == ANNA
