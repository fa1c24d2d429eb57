"""A monitor with stores, a world and a clock that the test plays: where mail lies, whose it is, and when it goes."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import pytest

from postboat.cluster.observe import Pod
from postboat.cluster.stores import ERASED, ERASING, LIVING, Cursor, StoreChanges, StoredMailbox, StoreError
from postboat.cluster.types import Key
from postboat.controller.mailstore import erasure
from postboat.controller.mailstore.erasure import REPORT_AFTER, TIME_BUDGET, Erasures
from postboat.controller.mailstore.monitor import Dependencies, MailMonitor
from postboat.controller.mailstore.status import MailStatus
from postboat.model.resolve import resolve
from postboat.model.retention.claims import MailKind
from postboat.model.retention.inventory import Inventory
from postboat.model.retention.reclaim import FINALIZER
from postboat.model.snapshot import Change, HighestStore, Home, InventoryComplete
from postboat.model.volumes import StoreVolume
from postboat.status.volumes import ACCEPT, written
from tests.golden import world as golden

if TYPE_CHECKING:
    from collections.abc import Mapping

    from postboat.api import Resource
    from postboat.cluster.events import Notice
    from postboat.controller.statuses.writer import Judgement
    from postboat.model.platform import Platform
    from postboat.model.retention.inventory import Orphan

OWN = {content.name: content for content in (golden.internal("mail", "mail"), golden.self_signed("mail", "mail"))}


@dataclass
class Stage:
    """Everything around a monitor."""

    server: Resource | None = field(default_factory=golden.server)
    mailboxes: dict[str, Resource] = field(default_factory=dict)
    held: dict[int, dict[str, StoredMailbox]] = field(default_factory=lambda: {0: {}})
    living: set[str] = field(default_factory=set)
    stuck: set[str] = field(default_factory=set)
    asked: list[str] = field(default_factory=list)
    now: float = 1000.0
    slowness: float = 0.0
    away: set[int] = field(default_factory=set)
    number: int = 0
    erased: list[tuple[int, str]] = field(default_factory=list)
    finalizers: dict[str, bool] = field(default_factory=dict)
    posted: list[Change] = field(default_factory=list)
    said: list[Notice] = field(default_factory=list)
    written: list[Mapping[str, Any]] = field(default_factory=list)
    listed: tuple[tuple[Orphan, ...], int] = ((), -1)
    names: dict[int, str] = field(default_factory=dict)
    """The volumes that the stores tell."""
    volumes: dict[int, StoreVolume] = field(default_factory=dict)

    # the world
    def get(self, kind: str, key: Key) -> Resource | None:
        return self.server if kind == "MailServer" else self.mailboxes.get(key.name)

    def of_namespace(self, _kind: str, _namespace: str) -> tuple[Resource, ...]:
        return tuple(self.mailboxes.values())

    def servers(self, _namespace: str) -> tuple[str, ...]:
        return ("mail",) if self.server is not None else ()

    def pods_of(self, _key: Key) -> list[Pod]:
        return [
            Pod("mail", f"mail-store-{n}", f"uid{n}", "mail", "store", "10.0.0.1", "", True, False, 0, (), {})  # noqa: FBT003
            for n in self.held
        ]

    # the stores
    def poll(self, _access: object, asked: Mapping[int, tuple[Pod, Cursor]]) -> dict[int, StoreChanges | StoreError]:
        self.number += 1
        return {
            store: StoreError("it does not answer")
            if store in self.away
            else StoreChanges(
                Cursor("run", self.number),
                tuple(self.held[store].values()),
                whole=True,
                volume=self.names.get(store, ""),
            )
            for store in asked
        }

    def erase(self, _access: object, store: int, _pod: Pod, mail: tuple[str, MailKind]) -> str:
        user, kind = mail
        if store in self.away:
            raise StoreError("it does not answer")
        self.now += self.slowness
        self.asked.append(user)
        if user in self.living:
            return LIVING
        if user in self.stuck:
            return ERASING
        held = self.held[store].pop(user, None)
        if held is not None and held.kind ^ kind:
            self.held[store][user] = replace(held, kind=held.kind ^ kind)
        self.erased.append((store, user))
        return ERASED

    # what is written
    def judge(self, judgement: Judgement) -> None:
        if (status := judgement.status()) is not None:
            self.written.append(status.fields)

    def enqueue(self, mailbox: Resource, *, wanted: bool) -> None:
        self.finalizers[mailbox.name] = wanted

    def tell(self, notice: Notice) -> None:
        self.said.append(notice)

    def hold(self, store: int, user: str, size: int = 100, kind: MailKind = MailKind.PERSONAL) -> None:
        self.held[store][user] = StoredMailbox(user, size, 1, kind)

    def mailbox(self, name: str, *, deleting: bool = False, store: int | None = 0, **spec: Any) -> None:  # noqa: ANN401
        status = {} if store is None else {"store": store}
        made = golden.resource("Mailbox", name, spec, status=status)
        held = (FINALIZER,) if deleting else ()
        self.mailboxes[name] = replace(made, deleting=deleting, finalizers=held)

    def platform(self) -> Platform:
        assert self.server is not None
        resolution = resolve(golden.of(self.server, self.mailboxes.values(), OWN))
        assert resolution.platform is not None
        return resolution.platform


@pytest.fixture
def stage(monkeypatch: pytest.MonkeyPatch) -> Stage:
    monkeypatch.setattr(erasure, "RETRY_INTERVAL", 0.0)
    return Stage()


def monitor(stage: Stage) -> MailMonitor:
    played: Any = stage

    def list_orphans(first: tuple[Orphan, ...], count: int) -> None:
        stage.listed = (first, count)

    def list_volumes(volumes: tuple[StoreVolume, ...]) -> None:
        stage.volumes = {one.store: one for one in volumes}

    key = Key("mail", "mail")
    dependencies = Dependencies(played, played, played, lambda: True)
    made = MailMonitor(
        key,
        dependencies,
        MailStatus(key, played, played, played, list_orphans, list_volumes),
        lambda change, _wake: stage.posted.append(change),
    )
    made.set_platform(stage.platform(), ())
    return made


def again(made: MailMonitor, stage: Stage, *changed: str) -> None:
    """Let the monitor look again at once."""
    made.set_platform(stage.platform() if stage.server is not None else None, changed)
    made._polled = 0.0
    made._sync()


def users(stage: Stage) -> list[str]:
    return [orphan.holding.user for orphan in stage.listed[0]]


def test_homes_are_posted_once_and_the_inventory_completes_with_the_last_store(stage: Stage) -> None:
    stage.server = golden.server(storage={"shards": 2})
    stage.held = {0: {}, 1: {}}
    stage.away = {1}
    stage.hold(0, "anna")
    made = monitor(stage)
    made._sync()
    assert stage.posted == [Home("anna", 0)], "what the silent one holds is not known"
    assert not made.inventory_complete
    assert stage.listed[1] == -1, "orphans are nobody's to know yet"
    stage.away = set()
    stage.hold(1, "bert")
    again(made, stage)
    assert stage.posted == [Home("anna", 0), Home("bert", 1), HighestStore(1), InventoryComplete()]
    again(made, stage)
    assert len(stage.posted) == 4
    assert made.homes() == {"anna": 0, "bert": 1}
    assert users(stage) == ["anna", "bert"]


def test_a_store_is_kept_until_all_stores_report_that_it_is_empty(stage: Stage) -> None:
    def held() -> list[int]:
        return [change.store for change in stage.posted if isinstance(change, HighestStore)]

    stage.held = {0: {}, 1: {}, 2: {}}
    stage.mailbox("anna", store=2)
    made = monitor(stage)
    made._sync()
    assert held() == [2], "mail may come to her at any time"
    stage.hold(2, "anna")
    again(made, stage)
    stage.server = golden.server(storage={"shards": 3})
    del stage.mailboxes["anna"]
    again(made, stage, "anna")
    assert held() == [2], "her mail is there, though she is not"
    stage.held[2].clear()
    stage.hold(1, "bert")
    stage.away = {0}
    again(made, stage)
    assert held() == [2]
    stage.away = set()
    again(made, stage)
    assert held() == [2, 1]
    stage.hold(2, "cleo")
    stage.away = {0}
    again(made, stage)
    assert held() == [2, 1, 2], "that there is more is known at once"
    made._stand_by()
    assert made.highest_store is None


def test_an_orphan_comes_with_an_event_and_goes_when_its_mailbox_is_back(stage: Stage) -> None:
    stage.mailbox("anna")
    stage.hold(0, "anna")
    made = monitor(stage)
    made._sync()
    assert stage.listed == ((), 0)
    del stage.mailboxes["anna"]
    again(made, stage, "anna")
    assert users(stage) == ["anna"]
    assert [notice.reason for notice in stage.said] == ["MailOrphaned"]
    stage.mailbox("anna")
    again(made, stage, "anna")
    assert stage.listed == ((), 0)
    told = stage.said[-1]
    assert (told.reason, told.kind, told.name) == ("MailInherited", "Mailbox", "anna")
    assert "former-owner-NAME" in told.note, "it says how to get scripts back"
    assert "former-owner-NAME" in stage.said[0].note
    again(made, stage, "anna")
    assert len(stage.said) == 2, "once"


def test_listed_orphans_get_no_second_event_after_a_restart(stage: Stage) -> None:
    stage.server = replace(golden.server(), status={"orphans": [{"username": "anna", "type": "User", "store": 0}]})
    stage.hold(0, "anna")
    monitor(stage)._sync()
    assert users(stage) == ["anna"]
    assert stage.said == []


def test_kept_mail_is_listed_though_a_group_has_its_name(stage: Stage) -> None:
    stage.mailbox("sales")
    stage.hold(0, "sales")
    made = monitor(stage)
    made._sync()
    del stage.mailboxes["sales"]
    stage.mailbox("sales", store=None, type="Group")
    again(made, stage, "sales")
    assert users(stage) == ["sales"]
    stage.mailbox("sales", type="Public")
    again(made, stage, "sales")
    assert users(stage) == ["sales"], "nor is the mail of a person that of a public mailbox"
    stage.mailboxes["sales"] = golden.resource("Mailbox", "sales", {"quota": "nonsense"}, status={"store": 0})
    again(made, stage, "sales")
    assert users(stage) == [], "a mistake makes no orphan"
    stage.mailbox("sales")
    again(made, stage, "sales")
    assert users(stage) == []
    assert [notice.reason for notice in stage.said] == ["MailOrphaned"]


def test_a_group_that_takes_the_name_keeps_no_mail_of_a_mailbox_under_deletion(stage: Stage) -> None:
    stage.mailbox("sales", deleting=True, reclaimPolicy="Delete")
    stage.mailbox("crew", store=None, username="sales", type="Group")
    stage.mailboxes["sales"] = replace(stage.mailboxes["sales"], created="2026-01-01")
    stage.mailboxes["crew"] = replace(stage.mailboxes["crew"], created="2026-01-02")
    stage.hold(0, "sales")
    made = monitor(stage)
    again(made, stage, "sales")
    assert stage.erased == [(0, "sales")]
    stage.mailboxes["sales"] = replace(stage.mailboxes["sales"], created="2026-01-03")
    stage.hold(0, "sales")
    again(made, stage, "sales")
    assert stage.erased == [(0, "sales")], "the younger one never had the name"
    assert stage.finalizers["sales"] is False


def test_usage_is_written_when_it_differs(stage: Stage) -> None:
    stage.mailbox("anna")
    stage.hold(0, "anna", 100)
    made = monitor(stage)
    made._sync()
    told = {"bytes": 100, "messages": 1, "limit": 0}
    assert stage.written == [{"usage": told}]
    stage.mailboxes["anna"] = replace(stage.mailboxes["anna"], status={"store": 0, "usage": told})
    for _ in range(3):
        again(made, stage, "anna")
    assert len(stage.written) == 1


def test_the_finalizer_follows_the_reclaim_policy(stage: Stage) -> None:
    stage.mailbox("anna", reclaimPolicy="Delete")
    stage.mailbox("bert")
    made = monitor(stage)
    made._sync()
    assert stage.finalizers == {"anna": True}
    stage.mailboxes["anna"] = replace(stage.mailboxes["anna"], finalizers=(FINALIZER,))
    stage.mailboxes["bert"] = replace(stage.mailboxes["bert"], finalizers=(FINALIZER,))
    again(made, stage, "anna", "bert")
    assert stage.finalizers == {"anna": True, "bert": False}


def test_no_finalizer_is_written_while_paused(stage: Stage) -> None:
    stage.server = golden.server(paused=True)
    stage.mailbox("anna", reclaimPolicy="Delete")
    stage.mailbox("bert", deleting=True, reclaimPolicy="Delete")
    stage.hold(0, "bert")
    monitor(stage)._sync()
    assert stage.finalizers == {}
    assert stage.erased == []


def test_the_finalizer_is_removed_after_the_mail_is_erased(stage: Stage) -> None:
    stage.mailbox("anna", deleting=True, reclaimPolicy="Delete")
    stage.hold(0, "anna")
    stage.living = {"anna"}
    made = monitor(stage)
    made._sync()
    assert (stage.erased, stage.finalizers) == ([], {})
    stage.living = set()
    again(made, stage)
    assert stage.erased == [(0, "anna")]
    assert stage.finalizers == {"anna": False}
    assert [notice.reason for notice in stage.said] == ["MailErased"]


def test_only_the_mailbox_that_has_the_name_may_erase(stage: Stage) -> None:
    stage.mailbox("anna", reclaimPolicy="Retain")
    stage.mailbox("copy", username="anna", reclaimPolicy="Delete")
    stage.mailboxes["anna"] = replace(stage.mailboxes["anna"], created="2026-01-01")
    stage.mailboxes["copy"] = replace(stage.mailboxes["copy"], created="2026-01-02")
    made = monitor(stage)
    made._sync()
    assert stage.finalizers == {}
    del stage.mailboxes["anna"]
    again(made, stage, "anna")
    again(made, stage)
    assert stage.finalizers == {"copy": True}, "now the name is its own"


def test_a_public_mailbox_is_erased_and_a_person_of_that_name_is_not(stage: Stage) -> None:
    stage.mailbox("offers", deleting=True, reclaimPolicy="Delete", type="Public")
    stage.hold(0, "offers", kind=MailKind.PUBLIC | MailKind.PERSONAL)
    made = monitor(stage)
    again(made, stage)
    assert stage.erased == [(0, "offers")]
    assert stage.held[0]["offers"].kind is MailKind.PERSONAL
    assert stage.finalizers == {"offers": False}


def test_the_first_store_also_erases_users_of_other_stores(stage: Stage) -> None:
    stage.server = golden.server(storage={"shards": 3})
    stage.held = {0: {}, 1: {}, 2: {}}
    stage.mailbox("anna", deleting=True, store=2, reclaimPolicy="Delete")
    stage.hold(2, "anna")
    again(monitor(stage), stage)
    assert stage.erased == [(0, "anna"), (2, "anna")]


def test_erasing_waits_for_an_unreachable_store_and_reports_it_once(stage: Stage) -> None:
    stage.mailbox("anna", deleting=True, reclaimPolicy="Delete")
    stage.away = {0}
    made = monitor(stage)
    for _ in range(3):
        again(made, stage)
        if stage.written:
            stage.mailboxes["anna"] = replace(stage.mailboxes["anna"], status={"store": 0, **stage.written[-1]})
    assert stage.finalizers == {}
    assert len(stage.written) == 1
    assert stage.written[0]["conditions"][0]["reason"] == "StoreUnavailable"
    stage.away = set()
    again(made, stage)
    assert stage.finalizers == {"anna": False}


def erasures(stage: Stage, *names: str) -> Erasures:
    """The deletions alone, by the clock of the test."""
    played: Any = stage
    key = Key("mail", "mail")
    mail_status = MailStatus(key, played, played, played, lambda _first, _count: None, lambda _volumes: None)
    made = Erasures(key, played, played, played, mail_status, lambda: stage.now)
    for name in names:
        stage.mailbox(name, deleting=True, reclaimPolicy="Delete")
        made.add(name)
    return made


def test_erasing_is_bounded_in_time_and_fair(stage: Stage) -> None:
    names = [f"user{number:02d}" for number in range(50)]
    made = erasures(stage, *names)
    stage.stuck, stage.slowness = set(names), TIME_BUDGET / 10
    platform = stage.platform()
    for rounds in range(1, 6):
        begun = stage.now
        made.process(Inventory(), platform, complete=True)
        assert stage.now - begun <= TIME_BUDGET + stage.slowness
        assert len(set(stage.asked)) == len(stage.asked) == 10 * rounds, "nobody twice before all others"
        stage.now += 0.5
    made.process(Inventory(), platform, complete=True)
    assert stage.asked[50:] == stage.asked[:10]


def test_mail_that_a_store_cannot_delete_is_said(stage: Stage) -> None:
    made = erasures(stage, "anna")
    stage.stuck = {"anna"}
    made.process(Inventory(), stage.platform(), complete=True)
    stage.now += REPORT_AFTER - 1
    made.process(Inventory(), stage.platform(), complete=True)
    assert stage.written == [], "much mail takes its time"
    stage.now += 2
    made.process(Inventory(), stage.platform(), complete=True)
    (condition,) = stage.written[0]["conditions"]
    assert (condition["type"], condition["status"]) == ("Erased", "False")
    assert "store 0 has not deleted all of it yet" in condition["message"]
    assert [notice.note for notice in stage.said] == [condition["message"]]
    stage.stuck = set()
    stage.now += 2
    made.process(Inventory(), stage.platform(), complete=True)
    assert stage.finalizers == {"anna": False}


def test_a_deletion_while_paused_has_the_reason_paused(stage: Stage) -> None:
    made = erasures(stage, "anna")
    stage.hold(0, "anna")
    stage.server = golden.server(paused=True)
    made.process(Inventory(), stage.platform(), complete=True)
    (condition,) = stage.written[0]["conditions"]
    assert (condition["type"], condition["status"], condition["reason"]) == ("Erased", "False", "Paused")
    assert "spec.paused" in condition["message"]
    assert stage.asked == []
    stage.server = golden.server()
    stage.now += 3
    made.process(Inventory(), stage.platform(), complete=True)
    assert stage.asked == ["anna"]


def test_the_finalizer_is_removed_when_the_mailserver_is_deleted(stage: Stage) -> None:
    stage.mailbox("anna", deleting=True, reclaimPolicy="Delete")
    stage.hold(0, "anna")
    stage.away = {0}
    made = monitor(stage)
    made._sync()
    assert stage.finalizers == {}
    assert stage.server is not None
    stage.server = replace(stage.server, deleting=True)
    made._polled = 0.0
    made._sync()
    assert stage.finalizers == {"anna": False}
    assert stage.erased == []


def test_a_store_on_another_volume_is_missed_until_it_is_back_or_accepted(stage: Stage) -> None:
    for name, messages in (("anna", 5), ("bert", 1), ("cleo", 0)):
        stage.mailbox(name)
        usage = {"bytes": 10 * messages, "messages": messages}
        stage.mailboxes[name] = replace(stage.mailboxes[name], status={"store": 0, "username": name, "usage": usage})
    stage.names[0] = "old"
    stage.hold(0, "anna", 50)
    stage.held[0]["anna"] = replace(stage.held[0]["anna"], messages=5)
    stage.hold(0, "bert", 10)
    made = monitor(stage)
    made._sync()
    assert stage.volumes == {0: StoreVolume(0, "old")}
    stage.names[0] = "new"
    stage.held[0].clear()
    stage.hold(0, "bert", 10)
    again(made, stage)
    lost = stage.volumes[0].missing
    assert stage.volumes[0].volume == "old"
    assert lost is not None
    assert (lost.volume, lost.mailboxes, lost.messages, lost.bytes) == ("new", 1, 5, 50)
    stage.mailboxes["anna"] = replace(stage.mailboxes["anna"], status={"store": 0, "username": "anna"})
    again(made, stage)
    assert stage.volumes[0].missing == lost, "it is not forgotten with the usage"
    server = golden.server()
    stage.server = replace(server, status={"stores": written(stage.volumes.values())})
    made._stand_by()
    again(made, stage)
    assert stage.volumes[0].missing == lost, "nor with the operator"
    stage.names[0] = "old"
    again(made, stage)
    assert stage.volumes == {0: StoreVolume(0, "old")}
    made._stand_by()
    stage.names[0] = "new"
    again(made, stage)
    assert stage.volumes[0].missing == lost
    stage.server = replace(stage.server, annotations={ACCEPT: "other,new"})
    again(made, stage)
    assert stage.volumes == {0: StoreVolume(0, "new")}
