"""What a round of writing leads to: the words of the MailServer, what pods shall have, and who is in force."""

from __future__ import annotations

import gzip
import json
from base64 import b64decode
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pytest

from postboat.cluster.apply import Outcome
from postboat.cluster.types import ConnectionFailedError, FencedError, Key, api_error
from postboat.controller.planner import Decided
from postboat.controller.reconcile.apply_plan import PlanApplier
from postboat.controller.reconcile.worker import NamespaceEndsError, NotLeadingError
from postboat.model import names
from postboat.model.resolve import resolve
from postboat.objects.config import LAYOUT
from postboat.objects.dependence import Standing
from postboat.objects.plan import demanded
from tests.golden import world

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from postboat.objects.dependence import Ref
    from postboat.objects.plan import KubeObject

RESOLUTION = resolve(world.snapshot(world.documents(world.HERE / "cases" / "quickstart" / "input.yaml")))
DECIDED = Decided(world.planned(RESOLUTION), RESOLUTION)
NUMBER = names.shard("alice")
SHARD = ("Secret", f"mail-directory-{NUMBER:02d}")
ALICE, BOB = ("Mailbox", "alice"), ("Mailbox", "bob")
REFUSED = api_error(403, "Forbidden", "PATCH")


@dataclass
class Stage:
    """Applier, observer and reporter in one: the next outcome goes in, and what was told comes out."""

    outcome: Outcome = field(default_factory=Outcome)
    applied: list[KubeObject] = field(default_factory=list)
    manifest: str = ""
    surplus: dict[str, str] = field(default_factory=dict)
    pruned: list[bool] = field(default_factory=list)
    followed: list[Mapping[Any, str]] = field(default_factory=list)
    waiting: list[set[Any]] = field(default_factory=list)
    free: list[set[Any]] = field(default_factory=list)

    def apply(self, objects: Sequence[KubeObject], _before: object = None) -> Outcome:
        self.applied += objects
        return self.outcome

    def get(self, _kind: object, _namespace: str, _name: str) -> dict[str, Any] | None:
        return {"data": {"manifest.json": self.manifest}} if self.manifest else None

    def surplus_shards(self, _family: object, _objects: object) -> dict[str, str]:
        return self.surplus

    def adopt(self, _family: object) -> Outcome:
        return Outcome()

    def prune(self, _family: object, _objects: object, *, only_shards: bool) -> Outcome:
        self.pruned.append(only_shards)
        return Outcome()

    def follow(self, digests: Mapping[Any, str], _targets: object) -> int:
        self.followed.append(digests)
        return len(self.followed)

    def unwritten(self, _decided: object, waiting: Mapping[Any, object]) -> None:
        self.waiting.append(set(waiting))

    def judged(self, _decided: object, touched: Mapping[Any, object], _sequence: int, *, sync_error: str) -> None:
        assert isinstance(sync_error, str)
        self.free.append(set(touched))

    def refuse(self, *refs: Ref, failure: Exception = REFUSED, note: str = "", waiting: Mapping[Ref, Ref]) -> None:
        standing = Standing(there=bool(note), note=note)
        unwritten = dict.fromkeys((*refs, *waiting), standing)
        self.outcome = Outcome(failures=dict.fromkeys(refs, failure), waiting=dict(waiting), unwritten=unwritten)


@pytest.fixture
def stage() -> Stage:
    return Stage()


@pytest.fixture
def execution(stage: Stage) -> PlanApplier:
    made: Any = stage
    execution = PlanApplier(Key("mail", "mail"), made, made, made, made)
    execution.endpoints_due = False
    return execution


def apply(execution: PlanApplier, *touched: tuple[str, str], lacking: str = "") -> str:
    resource = world.resource("Mailbox", "anybody", {})
    return execution.apply(DECIDED, RESOLUTION.server, dict.fromkeys(touched, resource), lacking)


def test_the_words_name_some_and_count_the_others(stage: Stage, execution: PlanApplier) -> None:
    refs = [("Secret", f"mail-directory-{number:02d}") for number in range(8)]
    stage.refuse(*refs, waiting={("StatefulSet", "mail-smtp"): refs[0]})
    told = apply(execution, lacking="Secret d-dkim could not be created: no")
    first = ", ".join(f"Secret/mail-directory-0{number} (PATCH: 403 Forbidden)" for number in range(5))
    assert told == (
        f"8 objects could not be written: {first} and 3 more; StatefulSet/mail-smtp must wait; "
        "Secret d-dkim could not be created: no"
    )


def test_pods_are_expected_to_have_what_a_refused_shard_was(stage: Stage, execution: PlanApplier) -> None:
    stage.refuse(SHARD, note=f"{LAYOUT} edge=e smtp=s store=t", waiting={})
    apply(execution, ALICE)
    assert stage.followed == [demanded(DECIDED.plan, {NUMBER: {"edge": "e", "smtp": "s", "store": "t"}})]
    assert stage.followed[0] != DECIDED.plan.digests
    assert (stage.waiting, stage.free) == ([{ALICE}], [set()])
    apply(execution, BOB)
    assert (stage.waiting[1:], stage.free[1:]) == ([set()], [{BOB}])
    stage.outcome = Outcome()
    apply(execution)
    assert stage.followed[-1] == DECIDED.plan.digests
    assert stage.free[-1] == {ALICE}


def test_only_shards_are_pruned_while_anything_is_unwritten(stage: Stage, execution: PlanApplier) -> None:
    apply(execution)
    stage.refuse(("Service", "mail-imap"), waiting={})
    apply(execution)
    assert stage.pruned == [False, True]


def named(objects: Sequence[KubeObject], unit: str = "smtp") -> list[str]:
    """The shards that the manifest of a unit names, as it was applied last."""
    bodies = [item.body for item in objects if item.ref == ("ConfigMap", f"mail-{unit}")]
    shards: list[str] = json.loads(bodies[-1]["data"]["manifest.json"])["shards"]
    return shards


def test_pods_do_not_wait_for_a_shard_that_was_never_there(stage: Stage, execution: PlanApplier) -> None:
    number = f"{NUMBER:02d}"
    apply(execution)
    assert number in named(stage.applied)
    stage.refuse(SHARD, waiting={})
    apply(execution)
    assert number not in named(stage.applied)
    assert number not in named(stage.applied, "store")
    stage.outcome = Outcome()
    apply(execution)
    assert number in named(stage.applied)


def test_pods_go_on_waiting_for_a_shard_that_was_there(stage: Stage, execution: PlanApplier) -> None:
    """Somebody deleted it, and it cannot be written again: its rows must not be taken for deleted."""
    number = f"{NUMBER:02d}"
    stage.manifest = json.dumps({"shards": [number]})
    stage.refuse(SHARD, waiting={})
    apply(execution)
    assert number in named(stage.applied)


def test_a_shard_that_a_manifest_still_names_is_emptied(stage: Stage, execution: PlanApplier) -> None:
    """Whom a plan leaves out must not log in any longer, but where a named shard is missing its rows stay."""
    stage.surplus = {"mail-directory-07": f"{LAYOUT} edge=e smtp=s"}
    apply(execution)
    assert "mail-directory-07" not in [item.name for item in stage.applied]
    stage.refuse(("ConfigMap", "mail-smtp"), waiting={})
    apply(execution)
    body = next(item.body for item in stage.applied if item.name == "mail-directory-07")
    assert {key: gzip.decompress(b64decode(value)) for key, value in body["data"].items()} == {"edge": b"", "smtp": b""}
    assert stage.followed[-1] != stage.followed[0], "pods are expected to have it"


def test_what_a_broken_round_changed_is_sorted_by_the_next_one(stage: Stage, execution: PlanApplier) -> None:
    stage.refuse(SHARD, failure=ConnectionFailedError("PATCH"), waiting={})
    stage.outcome.stopped = True
    assert apply(execution, ALICE).endswith("the rest was not tried")
    assert stage.pruned == []
    assert stage.followed == [DECIDED.plan.digests]
    stage.refuse(SHARD, waiting={})
    apply(execution, BOB)
    assert stage.waiting == [{ALICE, BOB}]


@pytest.mark.parametrize(
    ("failure", "raised"),
    [
        (FencedError("no Lease"), NotLeadingError),
        (api_error(403, "Forbidden", "PATCH", ending=True), NamespaceEndsError),
    ],
)
def test_what_is_no_fault_is_not_told(
    stage: Stage, execution: PlanApplier, failure: Exception, raised: type[Exception]
) -> None:
    stage.refuse(SHARD, failure=failure, waiting={})
    with pytest.raises(raised):
        apply(execution, ALICE)
    assert stage.free == []
