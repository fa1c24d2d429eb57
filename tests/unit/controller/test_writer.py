"""Statuses on their way to the server: a failed write is tried again and its difference is not forgotten."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING, Any

import pytest

from postboat.cluster.types import ApiError, FencedError, Key, ResourceType
from postboat.controller.echoes import Echoes
from postboat.controller.world import RESOURCES
from postboat.controller.writer import Judgement, StatusWriter
from tests.golden import world

if TYPE_CHECKING:
    from collections.abc import Mapping

    from postboat.cluster.types import Json

ANNA = world.resource("Mailbox", "anna", {})
NEW = {"observedGeneration": 1}


class Server:
    """Fails as often as it is told to, then takes every write."""

    def __init__(self, *failures: Exception) -> None:
        self.failures = list(failures)
        self.taken: list[Json] = []
        self.done = threading.Event()

    def merge(self, _kind: ResourceType, _namespace: str, _name: str, body: Json, *, subresource: str) -> Json:
        assert subresource == "status"
        if self.failures:
            raise self.failures.pop(0)
        self.taken.append(body)
        self.done.set()
        return {}


def judge(echoes: Echoes) -> Judgement:
    def status() -> Mapping[str, Any] | None:
        if echoes.newest(ANNA).status == NEW:
            return None
        echoes.wrote(ANNA, NEW)
        return NEW

    return Judgement(RESOURCES["Mailbox"], ANNA.namespace, ANNA.name, status)


@pytest.mark.parametrize("failure", [ApiError(500, "", "PATCH"), FencedError("no Lease")])
def test_a_status_is_written_after_a_failure(failure: Exception) -> None:
    server, echoes = Server(failure), Echoes()
    writer = StatusWriter(server, echoes)  # type: ignore[arg-type] - it only ever merges
    writer.start()
    writer.judge(judge(echoes))
    assert server.done.wait(5)
    assert server.taken == [{"status": NEW}]
    writer.stop()


def test_nothing_is_remembered_of_an_object_that_is_gone() -> None:
    server, echoes = Server(ApiError(404, "", "PATCH")), Echoes()
    writer = StatusWriter(server, echoes)  # type: ignore[arg-type] - it only ever merges
    writer.start()
    writer.judge(judge(echoes))
    deadline = time.monotonic() + 5
    while (server.failures or len(echoes) or len(writer)) and time.monotonic() < deadline:
        time.sleep(0.01)
    assert len(echoes) == 0
    assert server.taken == []
    writer.stop()


def test_what_was_written_counts_until_the_watch_shows_it() -> None:
    echoes = Echoes()
    echoes.wrote(ANNA, {"store": None, **NEW})
    assert echoes.newest(ANNA).status == NEW
    echoes.forget("Mailbox", Key(ANNA.namespace, ANNA.name))
    assert echoes.newest(ANNA) == ANNA
