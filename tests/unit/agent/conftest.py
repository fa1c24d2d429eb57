"""A daemon made of shell commands, and the reaping that the main thread of an agent does."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING

import pytest

from postboat.agent.children import Children
from postboat.agent.daemons.base import Daemon, override

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from postboat.agent.probe import Probe
    from postboat.agent.validation import Effort


class FakeDaemon(Daemon):
    """Runs `script`, refuses what holds the word `bad`, and is ready when it is told to be."""

    name = "fake"
    script = "exec sleep 600"
    answers = True

    def __init__(self, active: Path, state: Path, children: Children) -> None:
        super().__init__(active, state, children)
        self.efforts: list[Effort] = []

    @override
    def command(self) -> tuple[str, ...]:
        return ("sh", "-c", self.script)

    @override
    def complaint(self, staged: Path, effort: Effort) -> str:
        self.efforts.append(effort)
        return "bad" if any(b"bad" in path.read_bytes() for path in staged.rglob("*.cf")) else ""

    @override
    def probes(self) -> tuple[Probe, ...]:
        return ()

    @override
    def ready(self) -> bool:
        return self.answers


@pytest.fixture
def children() -> Iterator[Children]:
    """Children whose statuses a thread collects, as the agent's main thread does."""
    found, ended = Children(), threading.Event()

    def reap() -> None:
        while not ended.is_set():
            found.reap()
            time.sleep(0.005)

    thread = threading.Thread(target=reap)
    thread.start()
    yield found
    found.end_others(1)
    ended.set()
    thread.join()


@pytest.fixture
def daemon(children: Children, tmp_path: Path) -> FakeDaemon:
    """A daemon with folders of its own."""
    return FakeDaemon(tmp_path / "run" / "active", tmp_path / "state", children)
