"""Activation: what passes is switched in one step, what fails leaves everything as it was."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from postboat.agent.activation import Activator
from postboat.agent.manifest import Effect
from postboat.agent.stage import Stage
from postboat.agent.status import Status

if TYPE_CHECKING:
    from pathlib import Path

    from tests.unit.agent.conftest import FakeDaemon


class FakeSupervisor:
    """Keeps the wishes of an activator."""

    process = 1

    def __init__(self) -> None:
        self.wishes: list[str] = []

    def begin(self) -> None:
        self.wishes.append("begin")

    def restart(self) -> None:
        self.wishes.append("restart")

    def reload(self, number: int) -> None:
        self.wishes.append(f"signal {number}")


class World:
    """A mounted folder and the activator that follows it."""

    def __init__(self, root: Path, daemon: FakeDaemon) -> None:
        self.mount, self.run, self.daemon = root / "mount", root / "run", daemon
        self.mount.mkdir()
        self.begin()

    def begin(self) -> None:
        """Start as after a restart of the container."""
        self.status, self.supervisor = Status("fake"), FakeSupervisor()
        stage = Stage(self.run)
        self.activator = Activator(self.mount, stage, self.daemon, self.supervisor, self.status)  # type: ignore[arg-type]

    def write(self, effect: str = "reload", **files: str) -> None:
        entries = [{"key": key, "path": f"d/{key}.cf", "effect": effect, "mode": "0640"} for key in files]
        (self.mount / "manifest.json").write_text(json.dumps({"files": entries}))
        for key, content in files.items():
            (self.mount / key).write_text(content)

    def active(self, key: str) -> str:
        return (self.run / "active" / "d" / f"{key}.cf").read_text()

    @property
    def page(self) -> dict[str, Any]:
        page: dict[str, Any] = json.loads(self.status.page())
        return page


@pytest.fixture
def world(tmp_path: Path, daemon: FakeDaemon, monkeypatch: pytest.MonkeyPatch) -> World:
    monkeypatch.setattr("postboat.agent.activation._SETTLE", 0.2)
    return World(tmp_path, daemon)


def test_the_first_content_starts_the_daemon(world: World) -> None:
    world.write(main="hello")
    assert world.activator.activate()
    assert world.active("main") == "hello"
    assert (world.run / "active/d/main.cf").stat().st_mode & 0o777 == 0o640
    assert world.supervisor.wishes == ["begin"]
    assert world.page["digest"] == world.page["seen"] != ""
    assert world.page["activations"] == 1


@pytest.mark.parametrize(("effect", "wishes"), [("live", []), ("reload", ["signal 1"]), ("restart", ["restart"])])
def test_a_change_does_the_least_that_is_needed(world: World, effect: str, wishes: list[str]) -> None:
    world.write(effect, main="one")
    world.activator.activate()
    world.write(effect, main="two")
    world.activator.activate()
    world.activator.activate()
    assert world.active("main") == "two"
    assert world.supervisor.wishes == ["begin", *wishes]
    assert len(list((world.run / "generations").iterdir())) == 2


def test_what_is_refused_changes_nothing_and_is_tried_again_when_it_changes(world: World) -> None:
    world.write(main="one")
    world.activator.activate()
    digest = world.page["digest"]
    world.write(main="bad")
    assert world.activator.activate()
    assert world.active("main") == "one"
    assert world.page["error"] == "InvalidConfiguration"
    assert world.page["digest"] == digest != world.page["seen"]
    world.write(main="three")
    world.activator.activate()
    assert world.active("main") == "three"
    assert world.page["error"] == ""


def test_tables_are_opened_again_though_the_files_that_came_with_them_are_refused(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.write(main="one")
    world.activator.activate()
    monkeypatch.setattr("postboat.agent.tables.Directory.apply", lambda *_: True)
    world.write(main="bad")
    world.activator.activate()
    assert world.page["error"] == "InvalidConfiguration"
    assert world.supervisor.wishes == ["begin", "signal 1"]


def test_nothing_starts_before_the_mount_is_complete(world: World) -> None:
    world.activator.activate()
    assert world.page["error"] == "IncompleteMount"
    world.write(main="one", other="two")
    (world.mount / "other").unlink()
    world.activator.activate()
    assert world.page["error"] == "IncompleteMount"
    assert world.supervisor.wishes == []
    world.write(main="one", other="two")
    world.activator.activate()
    assert world.supervisor.wishes == ["begin"]


def test_a_restarted_container_goes_on_with_what_it_had(world: World) -> None:
    world.write(main="one")
    world.activator.activate()
    digest = world.page["digest"]
    world.write(main="bad")
    world.begin()
    world.activator.activate()
    assert world.active("main") == "one"
    assert world.supervisor.wishes == ["begin"]
    assert (world.page["digest"], world.page["error"]) == (digest, "InvalidConfiguration")
    world.write(main="good")
    world.activator.activate()
    assert world.active("main") == "good"


def test_a_restarted_container_meets_its_own_generations(world: World) -> None:
    for _ in range(3):
        world.write(main="one")
        world.activator.activate()
        assert world.page["error"] == ""
        world.begin()


def test_a_daemon_that_stops_answering_gets_its_old_configuration_back(world: World) -> None:
    world.write(main="one")
    world.activator.activate()
    world.write(main="deadly")
    answers = iter([True])
    world.daemon.ready = lambda: next(answers, False)  # type: ignore[method-assign]
    world.activator.activate()
    assert world.active("main") == "one"
    assert world.supervisor.wishes == ["begin", "signal 1", "signal 1"]
    assert world.page["error"] == "InvalidConfiguration"
    world.activator.activate()
    assert world.supervisor.wishes == ["begin", "signal 1", "signal 1"]


def test_a_daemon_that_did_not_answer_before_keeps_the_new_one(world: World) -> None:
    world.write(main="one")
    world.activator.activate()
    world.daemon.answers = False
    world.write(main="two")
    world.activator.activate()
    assert world.active("main") == "two"
    assert world.page["error"] == ""


def test_any_exception_is_an_error_in_the_status(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    def explode(_: object) -> str:
        raise RuntimeError("explosion")

    monkeypatch.setattr(world.daemon, "complaint", explode)
    world.write(main="one")
    assert not world.activator.activate()
    assert world.page["error"] == "DaemonFailed"
    monkeypatch.undo()
    world.activator.activate()
    assert world.page["error"] == ""


def test_a_rehearsal_sees_itself_behind_the_name_of_the_active_folder(world: World) -> None:
    seen: list[str] = []

    def look(staged: Path) -> str:
        seen.append((staged / "d/main.cf").read_text())
        return ""

    world.daemon.complaint = look  # type: ignore[method-assign]
    world.write(main=f"include {world.run}/active/d/other.cf", other="x")
    world.activator.activate()
    assert "/active/" not in seen[0]
    assert "-rehearsal/d/other.cf" in seen[0]
    assert "/active/" in world.active("main")


def test_the_strongest_effect_counts_also_for_a_file_that_goes(world: World) -> None:
    world.write("restart", main="one", gone="two")
    world.activator.activate()
    (world.mount / "gone").unlink()
    (world.mount / "manifest.json").write_text(
        json.dumps({"files": [{"key": "main", "path": "d/main.cf", "effect": "restart", "mode": "0640"}]})
    )
    world.activator.activate()
    assert world.supervisor.wishes == ["begin", "restart"]
    assert Effect.RESTART > Effect.RELOAD > Effect.LIVE
