"""What the statuses of one platform say, and when: a pod that is away is no change of any object."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from postboat.cluster.types import Key
from postboat.controller import reporter as reporters
from postboat.controller.echoes import Echoes
from postboat.controller.reconcile import Decided
from postboat.controller.reporter import Reporter
from postboat.controller.rollout import NEVER, Progress
from postboat.model.resolve import resolve
from postboat.objects.plan import plan
from tests.golden import world

if TYPE_CHECKING:
    import pytest

    from postboat.api import Resource
    from postboat.cluster.events import Notice
    from postboat.controller.writer import Judgement

ANNA = world.resource("Mailbox", "anna", {})
OWN = {content.name: content for content in (world.internal("mail", "mail"), world.self_signed("mail", "mail"))}
WHOLE = (Progress("mail-smtp", 1, 1, 1, 9, "", rolled=True),)


@dataclass
class Stage:
    """A world that holds what it is told, a writer that only collects, and nobody who hears of events."""

    held: dict[tuple[str, str], Resource] = field(default_factory=dict)
    due: list[tuple[str, Judgement]] = field(default_factory=list)
    pauses: list[float] = field(default_factory=list)

    def get(self, kind: str, key: Key) -> Resource | None:
        return self.held.get((kind, key.name))

    def judge(self, judgement: Judgement, *, after: float = 0.0) -> None:
        self.due.append((judgement.name, judgement))
        self.pauses.append(after)

    def tell(self, notice: Notice) -> None:
        pass

    def statuses(self, name: str) -> list[dict[str, Any]]:
        due, self.due = self.due, []
        made = [judgement.status() for known, judgement in due if known == name]
        return [dict(status) for status in made if status is not None]


def begin(anna: Resource = ANNA) -> tuple[Stage, Reporter, Decided]:
    server = world.server()
    resolution = resolve(world.of(server, [anna], OWN))
    stage = Stage({("Mailbox", "anna"): anna, ("MailServer", "mail"): server})
    reporter = Reporter(Key("mail", "mail"), stage, stage, stage, Echoes())  # type: ignore[arg-type] - all it asks for
    return stage, reporter, Decided(plan(resolution), resolution)


def ready(status: dict[str, Any]) -> tuple[str, str]:
    one = next(condition for condition in status["conditions"] if condition["type"] == "Ready")
    return one["status"], one["reason"]


def served() -> Resource:
    """Give the Mailbox as it is once it has been in force."""
    stage, reporter, decided = begin()
    reporter.judged(decided, {("Mailbox", "anna"): ANNA}, 1)
    reporter.advance(1, WHOLE)
    (status,) = stage.statuses("anna")
    assert ready(status) == ("True", "InForce")
    return replace(ANNA, status=status)


def late(stage: Stage, reporter: Reporter, clock: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """Give what is said of the Mailbox after a long time without any progress."""
    moment = reporters.time.monotonic() + 3600
    clock.setattr(reporters.time, "monotonic", lambda: moment)
    reporter.advance(NEVER, WHOLE)
    return stage.statuses("anna")


def test_a_pod_that_is_away_makes_no_object_unready(monkeypatch: pytest.MonkeyPatch) -> None:
    anna = served()
    stage, reporter, decided = begin(anna)
    reporter.judged(decided, {("Mailbox", "anna"): anna}, 2)
    assert late(stage, reporter, monkeypatch) == []


def test_a_change_that_takes_long_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    anna = replace(served(), generation=2)
    stage, reporter, decided = begin(anna)
    reporter.judged(decided, {("Mailbox", "anna"): anna}, 2)
    assert [ready(status) for status in late(stage, reporter, monkeypatch)] == [("False", "Pending")]


def test_a_change_that_waits_for_the_end_of_a_pause_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    anna = replace(served(), generation=2)
    stage, reporter, decided = begin(anna)
    reporter.judged(decided, {("Mailbox", "anna"): anna}, 2, held=("Secret/mail-directory-01",))
    assert [ready(status) for status in late(stage, reporter, monkeypatch)] == [("False", "Paused")]


def test_the_pods_may_be_seen_before_the_plan_is_judged() -> None:
    stage, reporter, decided = begin()
    reporter.advance(1, WHOLE)
    reporter.judged(decided, {}, 1)
    assert ready(stage.statuses("mail")[-1]) == ("True", "InForce")


def test_the_server_is_not_ready_before_the_rollout_is_over() -> None:
    stage, reporter, decided = begin()
    reporter.judged(decided, {}, 1)
    reporter.advance(1, (replace(WHOLE[0], rolled=False),))
    assert ready(stage.statuses("mail")[-1]) == ("False", "Pending")


def test_what_comes_too_soon_is_written_later_and_not_dropped() -> None:
    stage, reporter, decided = begin()
    reporter.judged(decided, {}, 1)
    reporter.judged(decided, {}, 2)
    reporter.judged(decided, {}, 3)
    assert len(stage.due) == 3
    assert stage.pauses[0] == 0
    assert 0 < stage.pauses[2] <= stage.pauses[1] <= reporters.SERVER_PAUSE
    reporter.advance(1, ())
    count = len(stage.due)
    reporter.advance(1, ())
    assert len(stage.due) == count, "nothing new, nothing to write"


def test_a_fault_is_told_with_the_plan_and_the_objects_go_on() -> None:
    stage, reporter, decided = begin()
    reporter.advance(1, WHOLE)
    reporter.judged(decided, {("Mailbox", "anna"): ANNA}, 1, sync_error="Service mail-smtp: 422")
    assert [ready(status) for name, status in _all(stage)] == [("False", "SyncFailed"), ("True", "InForce")]


def _all(stage: Stage) -> list[tuple[str, dict[str, Any]]]:
    made = sorted(((name, judgement.status()) for name, judgement in stage.due), key=lambda pair: pair[0] != "mail")
    return [(name, dict(status)) for name, status in made if status is not None]
