"""What the statuses of one platform say, and when: a pod that is away is no change of any object."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import pytest

from postboat.cluster.types import Key
from postboat.controller.planner import Decided
from postboat.controller.rollout.progress import NEVER, Progress
from postboat.controller.statuses import reporter as reporters
from postboat.controller.statuses.pending import PendingStatuses
from postboat.controller.statuses.reporter import Reporter
from postboat.model.resolve import resolve
from tests.golden import world

if TYPE_CHECKING:
    from collections.abc import Callable

    from postboat.api import Resource
    from postboat.cluster.events import Notice
    from postboat.controller.statuses.writer import Judgement

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

    def __len__(self) -> int:
        return len(self.due)

    def tell(self, notice: Notice) -> None:
        pass

    def statuses(self, name: str) -> list[dict[str, Any]]:
        due, self.due = self.due, []
        made = [judgement.status() for known, judgement in due if known == name]
        return [dict(status.fields) for status in made if status is not None]


def begin(anna: Resource = ANNA, *, begun: bool = False) -> tuple[Stage, Reporter, Decided]:
    server = world.server()
    resolution = resolve(world.of(server, [anna], OWN))
    stage = Stage({("Mailbox", "anna"): anna, ("MailServer", "mail"): server})
    reporter = Reporter(Key("mail", "mail"), stage, stage, stage, PendingStatuses(), begun=begun)  # type: ignore[arg-type] - all it asks for
    return stage, reporter, Decided(world.planned(resolution), resolution)


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
    return [(name, dict(status.fields)) for name, status in made if status is not None]


def test_an_object_made_again_gets_nothing_from_its_predecessor() -> None:
    stage, reporter, decided = begin()
    reporter.judged(decided, {("Mailbox", "anna"): ANNA}, 1)
    stage.held["Mailbox", "anna"] = replace(ANNA, uid="another")
    reporter.advance(1, WHOLE)
    assert stage.statuses("anna") == []


def test_a_server_made_again_gets_nothing_from_its_predecessor() -> None:
    stage, reporter, decided = begin()
    stage.held["MailServer", "mail"] = replace(stage.held["MailServer", "mail"], uid="another")
    reporter.judged(decided, {}, 1)
    reporter.advance(1, WHOLE)
    assert stage.statuses("mail") == []


@pytest.mark.parametrize("generation", [1, 2])
def test_what_comes_from_another_server_is_not_ready_before_these_pods_serve_it(generation: int) -> None:
    anna = replace(served(), generation=generation)
    stage, reporter, decided = begin(anna, begun=True)
    reporter.judged(decided, {("Mailbox", "anna"): anna}, 2)
    assert [ready(status) for status in stage.statuses("anna")] == [("False", "Pending")]
    reporter.advance(2, WHOLE)
    assert [ready(status) for status in stage.statuses("anna")] == [("True", "InForce")]
    reporter.judged(decided, {("Mailbox", "anna"): anna}, 3)
    assert stage.statuses("anna") == []


def test_without_any_pod_nothing_is_served(monkeypatch: pytest.MonkeyPatch) -> None:
    anna = served()
    stage, reporter, decided = begin(anna)
    reporter.judged(decided, {("Mailbox", "anna"): anna}, 2)
    monkeypatch.setattr("tests.unit.controller.test_reporter.WHOLE", (replace(WHOLE[0], ready=0),))
    assert [ready(status) for status in late(stage, reporter, monkeypatch)] == [("False", "Pending")]


def _forged(anna: Resource) -> Resource:
    conditions = [{**one, "status": "False", "reason": "Pending"} for one in anna.status["conditions"]]
    return replace(anna, status={**anna.status, "conditions": conditions})


@pytest.mark.parametrize("harm", [_forged, lambda anna: replace(anna, status={})])
@pytest.mark.parametrize("in_force", [1, NEVER])
def test_a_status_that_somebody_else_has_written_is_put_right(
    harm: Callable[[Resource], Resource], in_force: int
) -> None:
    anna = served()
    stage, reporter, decided = begin(anna)
    reporter.advance(in_force, WHOLE)
    reporter.judged(decided, {("Mailbox", "anna"): anna}, 1)
    stage.due.clear()
    stage.held["Mailbox", "anna"] = harm(anna)
    reporter.restore(anna, harm(anna))
    (status,) = stage.statuses("anna")
    assert ready(status) == ("True", "InForce")


def test_a_forged_ready_is_put_right() -> None:
    stage, reporter, decided = begin()
    reporter.judged(decided, {("Mailbox", "anna"): ANNA}, 1)
    stage.due.clear()
    stage.held["Mailbox", "anna"] = forged = replace(ANNA, status=served().status)
    reporter.restore(ANNA, forged)
    assert [ready(status) for status in stage.statuses("anna")] == [("False", "Pending")]


def test_a_forged_place_is_no_fact() -> None:
    anna = served()
    _, reporter, decided = begin(anna)
    reporter.judged(decided, {("Mailbox", "anna"): anna}, 1)
    assert anna.status["store"] == 0
    assert not reporter.restore(anna, replace(anna, status={**anna.status, "store": 5}))
    assert reporter.restore(anna, replace(anna, status={**anna.status, "usage": {}}))
