"""Events: each transition once, again when it comes again, and what was dropped is not taken for said."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest

from postboat.cluster import events
from postboat.cluster.events import EventRecorder, Notice
from postboat.cluster.types import FencedError, Json, ResourceType

if TYPE_CHECKING:
    from collections.abc import Iterator

ONE = Notice("postboat.dev/v1alpha1", "Mailbox", "mail", "anna", "uid", False, "Conflict", "taken", 1)  # noqa: FBT003


class Server:
    """Takes Events, and fails as often as it is told to."""

    def __init__(self) -> None:
        self.failures: list[Exception] = []
        self.made: dict[str, Json] = {}

    def create(self, _kind: ResourceType, body: Json) -> bool:
        if self.failures:
            raise self.failures.pop(0)
        name = body["metadata"]["name"]
        if name in self.made:
            return False
        self.made[name] = body
        return True

    def merge(self, _kind: ResourceType, _namespace: str, name: str, body: Json) -> Json:
        self.made[name] |= body
        return {}


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Server:
    monkeypatch.setattr(events, "PER_SECOND", 1000)
    return Server()


@pytest.fixture
def recorder(server: Server) -> Iterator[EventRecorder]:
    made = EventRecorder(server, "operator")  # type: ignore[arg-type] - it only ever creates and merges
    made.start()
    yield made
    made.stop()


def idle(recorder: EventRecorder) -> None:
    deadline = time.monotonic() + 10
    while recorder._queue.unfinished_tasks:
        assert time.monotonic() < deadline
        time.sleep(0.005)


def told(recorder: EventRecorder, server: Server, notice: Notice = ONE) -> list[Json]:
    recorder.tell(notice)
    idle(recorder)
    return list(server.made.values())


def test_what_was_said_is_not_said_again_within_a_minute(recorder: EventRecorder, server: Server) -> None:
    told(recorder, server)
    (event,) = told(recorder, server)
    assert "series" not in event


def test_what_comes_again_later_counts_up(
    recorder: EventRecorder, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(events, "AGAIN", 0.0)
    for _ in range(3):
        (event,) = told(recorder, server)
    assert event["series"]["count"] == 3
    assert event["series"]["lastObservedTime"] >= event["eventTime"]


@pytest.mark.parametrize("failure", [FencedError("no Lease"), RuntimeError("away")])
def test_what_was_not_written_is_written_when_it_comes_again(
    recorder: EventRecorder, server: Server, failure: Exception
) -> None:
    server.failures.append(failure)
    assert told(recorder, server) == []
    assert len(told(recorder, server)) == 1


def test_what_found_no_room_is_taken_when_it_comes_again(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(events, "BACKLOG", 1)
    recorder = EventRecorder(server, "operator")  # type: ignore[arg-type] - it only ever creates and merges
    other = Notice("postboat.dev/v1alpha1", "Mailbox", "mail", "bert", "uid2", False, "Conflict", "taken", 1)  # noqa: FBT003
    recorder.tell(other)
    recorder.tell(ONE)
    recorder.start()
    idle(recorder)
    assert len(told(recorder, server)) == 2
    recorder.stop()
