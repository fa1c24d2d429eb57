"""Processes: every child is reaped, a command's end counts, and a daemon that dies comes back."""

from __future__ import annotations

import os
import signal
import time
from typing import TYPE_CHECKING

import pytest

from postboat.agent.children import Children, descendants, wait_until
from postboat.agent.status import Status
from postboat.agent.supervisor import Supervisor

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.unit.agent.conftest import FakeDaemon


@pytest.fixture
def supervisor(daemon: FakeDaemon, children: Children) -> Iterator[Supervisor]:
    found = Supervisor(daemon, children, Status("fake"), grace=1.0)
    yield found
    found.stop()
    assert found.wait_stopped(20)


def test_a_command_gives_status_and_output(children: Children) -> None:
    outcome = children.run(("sh", "-c", "cat; echo error >&2; exit 3"), given=b"input\n")
    assert (outcome.status, outcome.output) == (3, "input\nerror")


def test_the_output_of_a_command_may_be_its_errors_alone(children: Children) -> None:
    outcome = children.run(("sh", "-c", "echo secret; echo error >&2; exit 3"), errors_only=True)
    assert (outcome.status, outcome.output) == (3, "error")


def test_much_output_does_not_block(children: Children) -> None:
    outcome = children.run(("sh", "-c", "head -c 1000000 /dev/zero | tr '\\0' x; echo end"))
    assert outcome.status == 0
    assert outcome.output.endswith("xend")
    assert len(outcome.output) <= 65536


def test_a_command_that_cannot_start_is_an_outcome(children: Children) -> None:
    assert children.run(("/no/such/command",)).status == 127


def test_a_command_that_takes_too_long_is_killed(children: Children) -> None:
    assert children.run(("sleep", "600"), seconds=0.2).status == -signal.SIGKILL


def test_a_background_process_that_keeps_the_pipe_does_not_delay_the_command(children: Children) -> None:
    began = time.monotonic()
    assert children.run(("sh", "-c", "sleep 600 & echo done")).output == "done"
    assert time.monotonic() - began < 5


def test_orphans_are_found_and_ended_and_reaped(children: Children) -> None:
    children.run(("sh", "-c", "sleep 601 & sleep 602 & true"))
    orphans = children.others()
    assert len(orphans) == 2
    children.end_others(2)
    assert not children.others()
    assert wait_until(lambda: not any(os.path.exists(f"/proc/{pid}") for pid in orphans), 2)  # noqa: PTH110


def test_running_commands_are_spared(children: Children) -> None:
    child = children.start(("sh", "-c", "sleep 603; true"))
    assert wait_until(lambda: len(descendants()) >= 2, 2)
    children.end_others(0.2)
    assert child.status is None
    child.send(signal.SIGKILL)
    assert child.wait(2)


def test_a_stubborn_process_is_killed(children: Children) -> None:
    children.run(("sh", "-c", "(trap '' TERM; sleep 604 & wait; sleep 605) & true"))
    children.end_others(0.3)
    assert wait_until(lambda: not children.others(), 2)


def test_a_daemon_that_dies_comes_back(supervisor: Supervisor) -> None:
    supervisor.begin()
    assert wait_until(lambda: supervisor.process > 0, 5)
    first = supervisor.process
    os.kill(first, signal.SIGKILL)
    assert wait_until(lambda: supervisor.process not in (0, first), 5)
    assert not supervisor.hopeless


def test_a_wish_to_restart_is_no_failure(supervisor: Supervisor) -> None:
    supervisor.begin()
    assert wait_until(lambda: supervisor.process > 0, 5)
    first = supervisor.process
    supervisor.restart()
    assert wait_until(lambda: supervisor.process not in (0, first), 10)
    assert b'"restarts": 0' in supervisor._status.page()


def test_a_daemon_that_never_stays_is_hopeless(
    daemon: FakeDaemon, supervisor: Supervisor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("postboat.agent.supervisor.FIRST_PAUSE", 0.0)
    daemon.script = "exit 1"
    supervisor.begin()
    assert wait_until(lambda: supervisor.hopeless, 20)


def test_a_command_that_cannot_start_is_tried_again(
    daemon: FakeDaemon, supervisor: Supervisor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(daemon, "command", lambda: ("/no/such/daemon",))
    supervisor.begin()
    time.sleep(0.3)
    monkeypatch.setattr(daemon, "command", lambda: ("sleep", "606"))
    assert wait_until(lambda: supervisor.process > 0, 5)


def test_sessions_may_end_within_the_grace_and_not_after(
    daemon: FakeDaemon, children: Children, tmp_path: Path
) -> None:
    mark = tmp_path / "finished"
    daemon.script = f"(trap '' TERM; sleep 0.5; touch {mark}; sleep 607) & exec sleep 608"
    supervisor = Supervisor(daemon, children, Status("fake"), grace=1.0)
    supervisor.begin()
    assert wait_until(lambda: supervisor.process > 0, 5)
    time.sleep(0.1)
    supervisor.stop()
    assert supervisor.process == 0
    assert supervisor.wait_stopped(15)
    assert mark.exists()
    assert not children.others()
