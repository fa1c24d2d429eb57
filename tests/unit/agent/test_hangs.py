"""Hangs: what does not answer and makes no progress is started again, and a busy node looks like none of that."""

from __future__ import annotations

import os
import signal
import socket
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

from postboat.agent import hangs
from postboat.agent.children import Children, descendants, wait_until
from postboat.agent.hangs import HUNG, LOOK, MANY, STARTING, STUCK, Monitor
from postboat.agent.probe import Probe, Pulse
from postboat.agent.progress import progress
from postboat.agent.status import Status
from postboat.agent.supervisor import Supervisor

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.unit.agent.conftest import FakeDaemon


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def monotonic(self) -> float:
        return self.now


class FakeProbe:
    """Answers as long as it is told to; an answer that does not come takes its time."""

    def __init__(self, clock: Clock) -> None:
        self.clock, self.well, self.asked, self.lag = clock, True, 0, 0.0

    def answers(self, seconds: float) -> bool:
        self.asked += 1
        self.clock.now += 0 if self.well else seconds + self.lag
        return self.well


class FakeSupervisor:
    process = 7

    def __init__(self) -> None:
        self.restarts = 0

    def restart(self, *, at_once: bool) -> None:
        assert at_once
        self.restarts += 1
        self.process += 1


class World:
    """A monitor with a clock, a part that is asked, and the progress that it makes."""

    def __init__(self, daemon: FakeDaemon, monkeypatch: pytest.MonkeyPatch) -> None:
        self.clock, self.supervisor = Clock(), FakeSupervisor()
        self.probe = FakeProbe(self.clock)
        self.crowded = self.moves = self.disk = False
        self.turns = 0
        monkeypatch.setattr(hangs, "time", self.clock)
        monkeypatch.setattr(hangs, "progress", self.progress)
        monkeypatch.setattr(hangs, "descendants", tuple)
        monkeypatch.setattr(daemon, "pulses", self.pulses)
        self.monitor = Monitor(daemon, self.supervisor, Status("fake"))  # type: ignore[arg-type]

    def pulses(self) -> tuple[Pulse, ...]:
        return (Pulse("part", self.probe, ("part",), crowded=self.crowded),)  # type: ignore[arg-type]

    def progress(self, _programs: object) -> object:
        self.turns += self.moves
        return None if self.disk else {1: self.turns}

    def after(self, seconds: float) -> int:
        """The restarts after so many seconds of looks."""
        end = self.clock.now + seconds
        while self.clock.now < end:
            self.clock.now += LOOK
            self.monitor.look()
        return self.supervisor.restarts


@pytest.fixture
def world(daemon: FakeDaemon, monkeypatch: pytest.MonkeyPatch) -> World:
    return World(daemon, monkeypatch)


def test_what_answers_is_left_alone_and_asked_rarely(world: World) -> None:
    assert world.after(600) == 0
    assert 28 <= world.probe.asked <= 31
    assert not world.monitor.silent


def test_a_daemon_without_progress_is_restarted(world: World) -> None:
    world.after(60)
    world.probe.well = False
    assert world.after(HUNG) == 0
    assert world.monitor.silent, "and not ready before that"
    assert world.after(40) == 1
    world.probe.well = True
    assert world.after(60) == 1
    assert not world.monitor.silent
    assert not world.monitor.hopeless


def test_what_makes_progress_is_busy(world: World) -> None:
    world.after(60)
    world.probe.well, world.moves = False, True
    assert world.after(STUCK - 60) == 0
    assert world.after(120) == 1, "but not for ever"


@pytest.mark.parametrize("reason", ["crowded", "disk"])
def test_what_others_keep_from_answering_is_no_hang(world: World, reason: str) -> None:
    world.after(60)
    world.probe.well, world.moves, world.crowded = False, reason == "crowded", True
    world.disk = reason == "disk"
    assert world.after(3 * STUCK) == 0
    assert world.monitor.silent


def test_what_never_answered_is_no_hang(world: World) -> None:
    world.probe.well = False
    assert world.after(3 * STUCK) == 0
    assert not world.monitor.silent


def test_what_begins_again_gets_its_time(world: World) -> None:
    world.after(60)
    world.supervisor.process += 1
    world.probe.well, world.moves = False, True
    assert world.after(STARTING - 60) == 0
    assert world.after(120) == 1


def test_a_starved_node_stretches_the_time(world: World) -> None:
    world.after(60)
    world.probe.well, world.probe.lag = False, 30.0
    assert world.after(2 * HUNG) == 0, "most of that time this process had no turn itself"


def test_restarts_that_do_not_help_are_counted(world: World) -> None:
    world.after(60)
    world.probe.well = False
    assert not world.monitor.hopeless
    assert world.after(200 * MANY) >= MANY
    assert world.monitor.hopeless
    world.probe.well = True
    world.after(60)
    assert not world.monitor.hopeless


def test_a_daemon_that_does_not_run_is_not_asked(world: World) -> None:
    world.supervisor.process = 0
    world.probe.well = False
    assert world.after(600) == 0
    assert world.probe.asked == 0


def test_a_new_daemon_has_no_past(world: World) -> None:
    world.after(60)
    world.probe.well = False
    world.after(HUNG)
    world.supervisor.process += 1
    assert world.after(HUNG) == 0


@contextmanager
def supervised(daemon: FakeDaemon, children: Children) -> Iterator[Supervisor]:
    supervisor = Supervisor(daemon, children, Status("fake"), grace=30.0)
    supervisor.begin()
    assert wait_until(lambda: bool(supervisor.process), 10)
    yield supervisor
    supervisor.stop()
    assert supervisor.wait_stopped(20)


def test_a_stopped_process_goes_on(daemon: FakeDaemon, children: Children, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(daemon, "pulses", tuple)
    with supervised(daemon, children) as supervisor:
        monitor = Monitor(daemon, supervisor, Status("fake"))
        pid = supervisor.process

        def state() -> str:
            return next(process.state for process in descendants() if process.pid == pid)

        os.kill(pid, signal.SIGSTOP)
        assert wait_until(lambda: state() == "T", 10)
        monitor.look()
        assert state() == "T", "it may be stopped for a moment"
        monitor.look()
        assert wait_until(lambda: state() != "T", 10)
        assert supervisor.process == pid


def test_a_hung_daemon_is_ended_at_once(daemon: FakeDaemon, children: Children) -> None:
    daemon.script = "trap '' TERM; sleep 600 & wait; wait"
    with supervised(daemon, children) as supervisor:
        pid = supervisor.process
        os.kill(pid, signal.SIGSTOP)
        supervisor.restart(at_once=True)
        assert wait_until(lambda: supervisor.process not in {0, pid}, 10), "no grace of 30 s for what hangs"
        daemon.script = "exec sleep 600"
        supervisor.restart(at_once=True)
        assert wait_until(lambda: len(children.others()) == 0 and bool(supervisor.process), 10)


def test_progress_is_seen_and_stillness_too(children: Children) -> None:
    still = children.start(("sleep", "600"))
    busy = children.start(("sh", "-c", "while :; do sleep 0.01; done"))
    assert wait_until(lambda: progress(("sleep\x00600",)) == progress(("sleep\x00600",)) != {}, 10)
    before = progress(("while :",))
    assert wait_until(lambda: progress(("while :",)) != before, 10)
    for child in (still, busy):
        child.send(signal.SIGKILL)
        child.wait(5)
    assert progress(("sleep\x00600",)) == {}


def test_an_answer_may_come_in_parts() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            for end in (b"NOTFOUND\t1\n", b""):
                connection, _ = server.accept()
                with connection:
                    connection.sendall(b"VERSION\t1\t3\n")
                    connection.recv(100)
                    connection.sendall(end)

        thread = threading.Thread(target=serve)
        thread.start()
        probe = Probe(server.getsockname()[1], (b"\nNOTFOUND\t1",), ask=b"USER\n", anywhere=True)
        assert probe.answers(5)
        assert not probe.answers(5)
        thread.join()
