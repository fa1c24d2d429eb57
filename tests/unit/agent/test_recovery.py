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
        self.records = folder / "defer"
        self.away: set[str] = set()
        self.asked: list[str] = []
        self.commands = Commands()
        self.recovery = Recovery(folder, cast("Children", self.commands), self.notes, self.records, self._answers)
        self.expected = ("postqueue", "-c", str(folder), "-s", "mailbox.invalid")

    def _answers(self, probe: Probe) -> bool:
        assert isinstance(probe.address, tuple)
        host, port = probe.address
        assert (port, probe.tls and probe.tls.name) == (10024, "mail.example.org")
        self.asked.append(host)
        return host not in self.away

    def recorded(self, reason: str, status: str, domain: str = "mailbox.invalid") -> None:
        """Have defer(8) write down why a message waits, in its own words."""
        folder = self.records / "4"
        folder.mkdir(parents=True, exist_ok=True)
        recipient = f"bob@{domain}"
        (folder / f"4jcMQc0yzSz{len(list(folder.iterdir()))}ZFyY").write_text(
            f"\n<{recipient}> (expanded from <bob@example.org>): {reason}\nrecipient={recipient}\n"
            f"original_recipient=bob@example.org\noffset=501\nstatus={status}\naction=delayed\nreason={reason}\n"
        )

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


UNREACHED = {
    "Cannot start TLS: handshake failure": "4.7.5",
    "delivery temporarily suspended: Cannot start TLS: handshake failure": "4.7.5",
    "connect to mail-store-0.mail-store.mail.svc.cluster.local[10.0.0.1]:10024: Connection refused": "4.4.1",
    "conversation with mail-store-0[10.0.0.1] timed out while receiving the initial server greeting": "4.4.2",
    "Host or domain name not found. Name service error for name=mail-store-0 type=A: Host not found": "4.4.3",
    "host mail-store-0[10.0.0.1] said: 421 4.3.2 Shutting down (in reply to MAIL FROM command)": "4.3.2",
}


@pytest.mark.parametrize(("reason", "status"), UNREACHED.items())
def test_mail_is_tried_when_a_store_was_back_before_it_was_asked(scene: Scene, reason: str, status: str) -> None:
    scene.recorded(reason, status)
    scene.deferred(100)
    scene.recovery.look()
    assert scene.commands.seen == [scene.expected]
    scene.recovery.look()
    assert len(scene.commands.seen) == 1, "once"


KEPT_PACE = {
    "host mail-store-0[10.0.0.1] said: 452 4.2.2 Quota exceeded (in reply to end of DATA command)": "4.2.2",
    "host mail-store-0[10.0.0.1] said: 451 4.3.0 Temporary internal error": "4.3.0",
    "lost connection with mail-store-0[10.0.0.1] while sending end of data -- message may be sent again": "4.4.2",
    "conversation with mail-store-0[10.0.0.1] timed out while sending message body": "4.4.2",
}


@pytest.mark.parametrize(("reason", "status"), KEPT_PACE.items())
def test_what_a_store_put_off_or_broke_off_keeps_its_pace(scene: Scene, reason: str, status: str) -> None:
    scene.recorded(reason, status)
    scene.deferred(100)
    scene.recovery.look()
    assert scene.commands.seen == []


def test_mail_for_other_servers_keeps_its_pace(scene: Scene) -> None:
    scene.recorded("connect to mx.example.net[192.0.2.1]:25: Connection refused", "4.4.1", "example.net")
    scene.deferred(100)
    scene.recovery.look()
    assert scene.commands.seen == []


def test_mail_that_waits_for_a_store_that_is_away_is_tried_when_all_answer(scene: Scene) -> None:
    scene.away = {STORES[0]}
    scene.recorded("Cannot start TLS: handshake failure", "4.7.5")
    scene.deferred(100)
    scene.recovery.look()
    assert scene.commands.seen == []
    scene.away = set()
    scene.recovery.look()
    scene.recovery.look()
    assert scene.commands.seen == [scene.expected], "once"


def test_a_store_that_answers_and_takes_nothing_is_not_flooded(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    now = 1000.0
    monkeypatch.setattr("postboat.agent.recovery.time.monotonic", lambda: now)
    for second in range(30):
        now = 1000.0 + second
        scene.recorded("Cannot start TLS: handshake failure", "4.7.5")
        scene.deferred(100 + second)
        scene.recovery.look()
    assert len(scene.commands.seen) == 3
