"""Mail that waits for a store is tried at once when the store is back, and for nothing else."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, cast

import pytest

from postboat.agent.children import Children, Outcome
from postboat.agent.recovery import Recovery
from tests.unit.render.test_render import file, rendered

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from postboat.agent.probe import Probe

STORES = [f"mail-store-{number}.mail-store.mail.svc.cluster.local" for number in range(2)]


class Commands:
    """Takes down what is run."""

    def __init__(self) -> None:
        self.seen: list[Sequence[str]] = []

    def run(self, command: Sequence[str]) -> Outcome:
        self.seen.append(command)
        return Outcome(0, "")


class Scene:
    """Two stores, one of which may be away, and the notes of flush(8)."""

    def __init__(self, folder: Path) -> None:
        (folder / "main.cf").write_bytes(file(rendered(storage={"shards": 2}), "smtp", "main.cf").content)
        self.notes = folder / "flush"
        self.notes.mkdir()
        self.away: set[str] = set()
        self.asked: list[str] = []
        self.commands = Commands()
        self.recovery = Recovery(folder, cast("Children", self.commands), self.notes, self._answers)
        self.expected = ("postqueue", "-c", str(folder), "-s", "mailbox.invalid")

    def _answers(self, probe: Probe) -> bool:
        assert isinstance(probe.address, tuple)
        host, port = probe.address
        assert (port, probe.tls and probe.tls.name) == (10024, "mail.example.org")
        self.asked.append(host)
        return host not in self.away

    def deferred(self, time: float) -> None:
        note = self.notes / "mailbox_invalid"
        note.write_text("4jcMQc0yzSz1ZFyY")
        os.utime(note, (time, time))


@pytest.fixture
def scene(tmp_path: Path) -> Scene:
    return Scene(tmp_path)


def test_while_nothing_waits_no_store_is_asked(scene: Scene) -> None:
    scene.recovery.look()
    assert scene.asked == []


def test_mail_is_tried_when_a_store_is_back(scene: Scene) -> None:
    scene.away = {STORES[1]}
    scene.deferred(100)
    scene.recovery.look()
    scene.recovery.look()
    assert scene.commands.seen == [], "it is still away"
    scene.away = set()
    scene.recovery.look()
    assert scene.commands.seen == [scene.expected]
    scene.recovery.look()
    assert len(scene.commands.seen) == 1, "once"


def test_one_that_is_back_does_not_wait_for_another(scene: Scene) -> None:
    scene.away = set(STORES)
    scene.deferred(100)
    scene.recovery.look()
    scene.away = {STORES[0]}
    scene.recovery.look()
    assert scene.commands.seen == [scene.expected]
    scene.away = set()
    scene.recovery.look()
    assert len(scene.commands.seen) == 2


def test_mail_that_a_store_itself_puts_off_keeps_its_pace(scene: Scene) -> None:
    for time in (100, 200, 300):
        scene.deferred(time)
        scene.recovery.look()
    assert sorted(scene.asked) == sorted(STORES * 3), "one question for each time that something was put off"
    scene.recovery.look()
    assert len(scene.asked) == 6
    assert scene.commands.seen == []
