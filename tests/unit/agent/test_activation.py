"""Activation: what passes is switched in one step, what fails leaves everything as it was."""

from __future__ import annotations

import gzip
import json
import time
from typing import TYPE_CHECKING, Any

import pytest

from postboat.agent.activation import Activator
from postboat.agent.children import Outcome
from postboat.agent.errors import ActivationError, Failure
from postboat.agent.manifest import Effect
from postboat.agent.memory import oom_kills
from postboat.agent.stage import Stage
from postboat.agent.status import Status
from postboat.agent.validation import Effort, effort, judged

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

    from postboat.agent.manifest import Table
    from postboat.agent.tables import Delta, Row
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
    assert world.activator.activate() is None
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
    assert world.activator.activate() is Failure.INVALID_CONFIGURATION
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
    world.daemon.ready = lambda: world.active("main") == "one"  # type: ignore[method-assign]
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
    def explode(*_: object) -> str:
        raise RuntimeError("explosion")

    monkeypatch.setattr(world.daemon, "complaint", explode)
    world.write(main="one")
    assert world.activator.activate() is Failure.DAEMON_FAILED
    assert world.page["error"] == "DaemonFailed"
    monkeypatch.undo()
    world.activator.activate()
    assert world.page["error"] == ""


def test_validation_reads_the_staged_files_under_the_active_path(world: World) -> None:
    seen: list[str] = []

    def look(staged: Path, _: object) -> str:
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


TABLE = {"name": "users", "driver": "memory", "columns": ["user", "value"]}
SHARDS = {"00": "users\tdomain\tx\n", "07": "users\talice\tx\nusers\tbob\tx\n"}


class MemoryDriver:
    """Keeps the keys of a table."""

    limit = 5000
    replaces = False

    def __init__(self) -> None:
        self.keys: set[str] = set()

    def rebuild(self, tables: Mapping[Table, Iterable[Row]]) -> None:
        self.keys = {row[0] for rows in tables.values() for row in rows}

    def update(self, deltas: Mapping[Table, Delta]) -> bool:
        for delta in deltas.values():
            self.keys = (self.keys - delta.removed) | delta.changed.keys()
        return False


class TableWorld(World):
    """A mount with shards, and the table that is made of them."""

    driver: MemoryDriver

    def publish(self, shards: Mapping[str, str], named: Iterable[str] | None, main: str = "one") -> None:
        folder = self.mount / "tables"
        folder.mkdir(exist_ok=True)
        for path in folder.iterdir():
            path.unlink()
        for name, rows in shards.items():
            (folder / name).write_bytes(gzip.compress(rows.encode(), mtime=0))
        self.write(main=main)
        manifest = json.loads((self.mount / "manifest.json").read_text()) | {"tables": [TABLE]}
        if named is not None:
            manifest["shards"] = sorted(named)
        (self.mount / "manifest.json").write_text(json.dumps(manifest))


@pytest.fixture
def tables(tmp_path: Path, daemon: FakeDaemon, monkeypatch: pytest.MonkeyPatch) -> TableWorld:
    monkeypatch.setattr("postboat.agent.manifest.DRIVERS", ("memory",))
    monkeypatch.setattr("postboat.agent.activation._SETTLE", 0.2)
    driver = MemoryDriver()
    monkeypatch.setattr(daemon, "drivers", lambda: {"memory": driver})
    world = TableWorld(tmp_path, daemon)
    world.driver = driver
    return world


@pytest.mark.parametrize("lost", [{"00"}, {"07"}, {"00", "07"}])
def test_a_shard_that_is_missing_removes_nobody(tables: TableWorld, lost: set[str]) -> None:
    tables.publish(SHARDS, SHARDS)
    assert tables.activator.activate() is None
    tables.publish({name: rows for name, rows in SHARDS.items() if name not in lost}, SHARDS, main="two")
    assert tables.activator.activate() is Failure.INCOMPLETE_MOUNT
    assert tables.driver.keys == {"domain", "alice", "bob"}
    assert tables.page["error"] == "IncompleteMount"
    assert tables.active("main") == "two", "all else goes on"
    tables.publish(SHARDS, SHARDS, main="two")
    assert tables.activator.activate() is None
    assert tables.page["error"] == ""


def test_rows_of_other_shards_go_on_changing_while_one_is_missing(tables: TableWorld) -> None:
    tables.publish(SHARDS, SHARDS)
    tables.activator.activate()
    tables.publish({"00": "users\tdomain\tx\nusers\tother\tx\n"}, SHARDS)
    tables.activator.activate()
    assert tables.driver.keys == {"domain", "other", "alice", "bob"}
    tables.publish({"00": "users\tdomain\tx\n", "07": "users\tbob\tx\n"}, SHARDS)
    tables.activator.activate()
    assert tables.driver.keys == {"domain", "bob"}


def test_a_shard_that_the_manifest_does_not_name_is_gone(tables: TableWorld) -> None:
    tables.publish(SHARDS, SHARDS)
    tables.activator.activate()
    tables.publish({"00": SHARDS["00"]}, {"00"})
    assert tables.activator.activate() is None
    assert tables.driver.keys == {"domain"}


def test_a_shard_is_empty_when_it_says_so(tables: TableWorld) -> None:
    tables.publish(SHARDS, SHARDS)
    tables.activator.activate()
    tables.publish({"00": SHARDS["00"], "07": ""}, SHARDS)
    assert tables.activator.activate() is None
    assert tables.driver.keys == {"domain"}


def test_a_shard_may_come_before_the_manifest_that_names_it(tables: TableWorld) -> None:
    tables.publish({"00": SHARDS["00"]}, {"00"})
    tables.activator.activate()
    tables.publish(SHARDS, {"00"})
    assert tables.activator.activate() is None
    assert tables.driver.keys == {"domain", "alice", "bob"}


@pytest.mark.parametrize("lost", [{"00"}, {"07"}, {"00", "07"}])
def test_no_daemon_begins_without_a_shard(tables: TableWorld, lost: set[str]) -> None:
    """It would refuse for good whom it does not find."""
    tables.publish({name: rows for name, rows in SHARDS.items() if name not in lost}, SHARDS)
    assert tables.activator.activate() is Failure.INCOMPLETE_MOUNT
    assert tables.supervisor.wishes == []
    tables.publish(SHARDS, SHARDS)
    assert tables.activator.activate() is None
    assert tables.supervisor.wishes == ["begin"]


def test_a_container_that_restarts_without_a_shard_goes_on_with_its_tables(tables: TableWorld) -> None:
    tables.publish(SHARDS, SHARDS)
    tables.activator.activate()
    tables.publish({}, SHARDS)
    tables.begin()
    assert tables.activator.activate() is Failure.INCOMPLETE_MOUNT
    assert tables.supervisor.wishes == ["begin"]
    assert tables.driver.keys == {"domain", "alice", "bob"}


def test_an_operator_of_an_older_version_names_no_shards(tables: TableWorld) -> None:
    tables.publish(SHARDS, None)
    assert tables.activator.activate() is None
    tables.publish({"00": SHARDS["00"]}, None)
    assert tables.activator.activate() is None
    assert tables.driver.keys == {"domain"}


@pytest.mark.parametrize(
    "outcome",
    [
        Outcome(-9, "", late=True),
        Outcome(-9, ""),
        Outcome(-11, "half of a line"),
        Outcome(137, "Killed"),
        Outcome(143, ""),
        Outcome(127, "[Errno 11] Resource temporarily unavailable"),
        Outcome(126, ""),
        Outcome(83, "Fatal: block_alloc(): Out of memory"),
    ],
)
def test_an_end_that_is_no_verdict_refuses_nothing(outcome: Outcome) -> None:
    with pytest.raises(ActivationError) as raised:
        judged("doveconf", outcome, frozenset({83}))
    assert raised.value.failure is Failure.NOT_VALIDATED


@pytest.mark.parametrize("outcome", [Outcome(0, ""), Outcome(1, "fatal: bad"), Outcome(89, "Error: unknown setting")])
def test_an_end_of_its_own_is_a_verdict(outcome: Outcome) -> None:
    assert judged("doveconf", outcome, frozenset({83})) is outcome


@pytest.mark.parametrize("status", [-9, 137, 1])
def test_a_validator_that_lacked_memory_refuses_nothing(status: int) -> None:
    with pytest.raises(ActivationError) as raised:
        judged("rspamadm", Outcome(status, "Killed"), out_of_memory=True)
    assert raised.value.failure is Failure.OUT_OF_MEMORY
    assert judged("rspamadm", Outcome(0, ""), out_of_memory=True).status == 0


@pytest.mark.parametrize("content", ["low 0\noom_kill 3\n", "oom_kill_disable 0\nunder_oom 0\noom_kill 3\n"])
def test_oom_kills_are_counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: str) -> None:
    (tmp_path / "there").write_text(content)
    monkeypatch.setattr("postboat.agent.memory._COUNTERS", (tmp_path / "missing", tmp_path / "there"))
    assert oom_kills() == 3
    monkeypatch.setattr("postboat.agent.memory._COUNTERS", (tmp_path / "missing",))
    assert oom_kills() == 0


def interrupted(*_: object) -> str:
    raise ActivationError(Failure.NOT_VALIDATED, "killed")


def test_without_a_verdict_the_same_files_are_validated_again(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    world.write(main="one")
    with monkeypatch.context() as patch:
        patch.setattr(world.daemon, "complaint", interrupted)
        assert world.activator.activate() is Failure.NOT_VALIDATED
    assert (world.page["error"], world.supervisor.wishes) == ("NotValidated", [])
    assert world.activator.activate() is None
    assert world.supervisor.wishes == ["begin"]
    world.write(main="two")
    with monkeypatch.context() as patch:
        patch.setattr(world.daemon, "complaint", interrupted)
        assert world.activator.activate() is Failure.NOT_VALIDATED
    assert world.active("main") == "one"
    assert world.activator.activate() is None
    assert world.active("main") == "two"


def test_a_validator_that_needs_long_gets_longer(world: World) -> None:
    """The stub stands for a validator that needs 500 s of a small share of a processor."""
    given: list[Effort] = []

    def slow(_: Path, effort: Effort) -> str:
        given.append(effort)
        return "" if effort.seconds > 500 else interrupted()

    world.daemon.complaint = slow  # type: ignore[method-assign]
    world.write(main="one")
    for _ in range(2):
        assert world.activator.activate() is Failure.NOT_VALIDATED
    assert world.activator.activate() is None
    assert [(one.seconds, one.niceness) for one in given] == [(240, 0), (480, 0), (960, 0)]
    world.write(main="two")
    world.activator.activate()
    assert given[-1] == Effort(60, 10), "what serves is not disturbed"
    assert effort(99, serving=True).seconds == effort(99, serving=False).seconds == 960


def test_what_is_refused_is_validated_again_later(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """A full disk makes a validator refuse too."""
    world.write(main="one")
    world.activator.activate()
    world.write(main="two")
    refusals = iter(["No space left on device"])
    world.daemon.complaint = lambda *_: next(refusals, "")  # type: ignore[method-assign]
    assert world.activator.activate() is Failure.INVALID_CONFIGURATION
    assert world.activator.activate() is Failure.INVALID_CONFIGURATION, "not with each change of the mount"
    now = time.monotonic()
    monkeypatch.setattr("time.monotonic", lambda: now + 61)
    assert world.activator.activate() is None
    assert world.active("main") == "two"


@pytest.mark.parametrize("failure", list(Failure))
def test_every_failure_has_a_next_try(world: World, failure: Failure) -> None:
    world.write(main="bad")
    world.activator.activate()
    pauses = [world.activator._pause(failure) for _ in range(10)]
    assert min(pauses) >= 1
    assert max(pauses) <= 60, "while nothing serves"


def test_a_restarted_container_does_not_judge_again_what_it_had_in_force(world: World) -> None:
    world.write(main="one")
    world.activator.activate()
    assert len(world.daemon.efforts) == 1
    world.begin()
    assert world.activator.activate() is None
    assert world.supervisor.wishes == ["begin"]
    assert len(world.daemon.efforts) == 1
    world.write(main="two")
    world.begin()
    assert world.activator.activate() is None
    assert len(world.daemon.efforts) == 2


def test_a_restarted_container_goes_on_whatever_is_wrong(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    world.write(main="one")
    world.activator.activate()
    world.write(main="two")
    world.begin()
    monkeypatch.setattr(world.daemon, "complaint", interrupted)
    assert world.activator.activate() is Failure.NOT_VALIDATED
    assert world.supervisor.wishes == ["begin"]
    (world.mount / "main").unlink()
    world.begin()
    assert world.activator.activate() is Failure.INCOMPLETE_MOUNT
    assert world.supervisor.wishes == ["begin"]


def test_liveness_fails_when_nothing_comes_in_force_for_long(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(world.activator._thread, "is_alive", lambda: True)
    now = time.monotonic()
    world.activator.activate()
    monkeypatch.setattr("time.monotonic", lambda: now + 5000)
    assert world.activator.alive, "who waits for the operator is not mended by a restart"
    world.write(main="bad")
    world.activator.activate()
    assert world.activator.alive
    monkeypatch.setattr("time.monotonic", lambda: now + 6000)
    assert not world.activator.alive
    world.write(main="good")
    world.activator.activate()
    assert world.activator.alive


def test_a_busy_node_that_keeps_a_daemon_from_answering_is_no_refusal(world: World) -> None:
    world.write(main="one")
    world.activator.activate()
    world.write(main="two")
    answers = iter([True])
    world.daemon.ready = lambda: next(answers, False)  # type: ignore[method-assign]
    assert world.activator.activate() is Failure.DAEMON_FAILED
    assert world.active("main") == "one"
    world.daemon.ready = lambda: True  # type: ignore[method-assign]
    assert world.activator.activate() is None
    assert world.active("main") == "two"
