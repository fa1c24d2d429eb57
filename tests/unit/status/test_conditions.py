"""Conditions keep their time, statuses are written only when they say something new."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta

import pytest

from postboat.agent.errors import Failure
from postboat.agent.fill import Fill
from postboat.api import Resource
from postboat.model.resolve import Resolution, resolve
from postboat.model.retention.claims import MailKind
from postboat.model.retention.inventory import Holding, Orphan
from postboat.model.verdict import ACCEPTED, Reason, Verdict
from postboat.status import conditions
from postboat.status.observation import Moment, Observation, Workload
from postboat.status.report import report
from postboat.status.server import report_server
from postboat.status.storage import judged
from tests.golden import world

LATER = Moment(world.NOW + timedelta(hours=1))
MOMENT = Moment(world.NOW)
ANNA = world.resource("Mailbox", "anna", {})
OWN = {content.name: content for content in (world.internal("mail", "mail"), world.self_signed("mail", "mail"))}


def _resolution(*resources: Resource) -> Resolution:
    return resolve(world.of(world.server(), resources, OWN))


def _condition(status: dict[str, object] | None, kind: str) -> dict[str, str]:
    assert status is not None
    listed = status["conditions"]
    assert isinstance(listed, list)
    return next(condition for condition in listed if condition["type"] == kind)


def test_a_condition_keeps_its_time_until_its_status_changes() -> None:
    one = conditions.merge((), [conditions.Condition("Ready", False, Reason.PENDING, "a")], 1, world.NOW)  # noqa: FBT003
    two = conditions.merge(one, [conditions.Condition("Ready", False, Reason.CONFLICT, "b")], 2, LATER.now)  # noqa: FBT003
    three = conditions.merge(two, [conditions.Condition("Ready", True, Reason.IN_FORCE, "c")], 2, LATER.now)  # noqa: FBT003
    times = [entry[0]["lastTransitionTime"] for entry in (one, two, three)]
    assert times == ["2026-11-23T12:00:00Z", "2026-11-23T12:00:00Z", "2026-11-23T13:00:00Z"]
    assert two[0]["message"] == "b"


def test_a_status_is_written_once() -> None:
    resolution = _resolution(ANNA)
    verdict = resolution.verdicts["Mailbox", "anna"]
    status = report(ANNA, verdict, resolution.platform, MOMENT, in_force=True)
    assert status is not None
    assert status["store"] == 0
    again = replace(ANNA, status=status | {"usage": {"bytes": 1}})
    assert report(again, verdict, resolution.platform, LATER, in_force=True) is None
    assert report(again, verdict, resolution.platform, LATER, in_force=False) is not None


def test_a_status_tells_what_is_in_force_where_nothing_is_written() -> None:
    server = world.server(mailboxes={"quota": "1536Mi"})
    own = world.resource("Mailbox", "bert", {"quota": "0"})
    group = world.resource("Mailbox", "crew", {"type": "Group"})
    local = world.resource("MailDomain", "example.org", {})
    relayed = world.resource("MailDomain", "example.net", {"delivery": "Relay", "relay": {"host": "mx.example.net"}})
    resolution = resolve(world.of(server, (ANNA, own, group, local, relayed), OWN))
    told = {
        one.name: report(one, resolution.verdicts[one.kind, one.name], resolution.platform, MOMENT, in_force=True)
        for one in (ANNA, own, group, local, relayed)
    }
    quotas = {name: (status or {}).get("quota") for name, status in told.items()}
    assert quotas == {"anna": "1536Mi", "bert": "0", "crew": None, "example.org": None, "example.net": None}
    assert [(told[name] or {}).get("delivery") for name in ("example.org", "example.net")] == ["Local", "Relay"]


def test_ready_waits_for_the_replicas() -> None:
    resolution = _resolution(ANNA)
    verdict = resolution.verdicts["Mailbox", "anna"]
    waiting = report(ANNA, verdict, resolution.platform, MOMENT, in_force=False)
    assert _condition(waiting, "Accepted")["status"] == "True"
    assert _condition(waiting, "Ready")["reason"] == "Pending"


def test_a_refused_mailbox_keeps_its_store() -> None:
    placed = replace(ANNA, status={"store": 2})
    verdict = Verdict(Reason.CONFLICT, "taken", "spec.username")
    status = report(placed, verdict, None, MOMENT, in_force=False)
    assert status is not None
    assert status["store"] == 2
    assert _condition(status, "Accepted")["message"] == "spec.username: taken"


def test_the_server_tells_what_keeps_it_from_being_ready() -> None:
    server = world.server()
    planned = world.planned(_resolution())
    verdict = planned.verdicts["MailServer", "mail"]
    whole = tuple(Workload(name, 1, 1, 1) for name in ("smtp", "store"))
    cases = {
        "InForce": Observation(workloads=whole, in_force=True),
        "Pending": Observation(workloads=whole),
        "WorkloadsNotReady": Observation(workloads=(*whole, Workload("imap", 2, 1, 1))),
        "ConfigurationRefused": Observation(workloads=(Workload("smtp", 1, 1, 0, "InvalidConfiguration"),)),
        "ConfigurationDelayed": Observation(workloads=(Workload("smtp", 1, 1, 0, "NotValidated"),)),
        "SyncFailed": Observation(sync_error="Secret mail-smtp could not be written", workloads=whole),
    }
    for reason, seen in cases.items():
        status = report_server(server, verdict, planned, seen, MOMENT)
        assert _condition(status, "Ready")["reason"] == reason
        assert _condition(status, "CertificateTrusted")["reason"] == "SelfSigned"


def test_a_pod_that_serves_nothing_is_not_said_to_go_on() -> None:
    planned = world.planned(_resolution())
    verdict = planned.verdicts["MailServer", "mail"]
    for word in Failure:
        for goes_on, words in ((True, "goes on with the configuration before"), (False, "it does not serve")):
            seen = Observation(workloads=(Workload("filter", 1, 0, 0, word, goes_on=goes_on),))
            condition = _condition(report_server(world.server(), verdict, planned, seen, MOMENT), "WorkloadsReady")
            assert condition["message"].startswith("filter: ")
            assert words in condition["message"]
            assert word in condition["message"]
            assert (condition["reason"] == "ConfigurationRefused") == (word == "InvalidConfiguration")


def test_mail_of_both_kinds_is_listed_under_one_name() -> None:
    both = Holding("sales", 0, 100, 1, MailKind.PERSONAL | MailKind.PUBLIC)
    person, public = Orphan(both, MailKind.PERSONAL, world.NOW), Orphan(both, MailKind.PUBLIC, LATER.now)
    alone = Orphan(Holding("zoe", 1, 7, 1), MailKind.PERSONAL, world.NOW)
    known = [{"username": "sales", "type": "User", "store": 0, "since": "2026-01-01T00:00:00Z"}]
    server = replace(world.server(), status={"orphans": known})
    resolution = _resolution()
    seen = Observation(orphans=(person, public, alone), orphan_count=3)
    status = report_server(server, resolution.verdicts["MailServer", "mail"], world.planned(resolution), seen, MOMENT)
    assert status is not None
    assert status["orphanCount"] == 3
    assert status["orphans"] == [
        {"username": "sales", "type": "User", "store": 0, "since": "2026-01-01T00:00:00Z"},
        {"username": "sales", "type": "Public", "store": 0, "since": "2026-11-23T13:00:00Z"},
        {"username": "zoe", "type": "User", "store": 1, "bytes": 7, "since": "2026-11-23T12:00:00Z"},
    ], "whose are the bytes of one name with both kinds, nobody knows"


def test_without_keys_the_server_says_what_it_waits_for() -> None:
    resolution = resolve(world.of(world.server(), (), {}))
    planned = world.planned(resolution)
    status = report_server(world.server(), resolution.verdicts["MailServer", "mail"], planned, Observation(), MOMENT)
    assert "mail-internal, mail-selfsigned" in _condition(status, "ConfigSynced")["message"]
    assert _condition(status, "Ready")["status"] == "False"


def test_what_holds_no_more_is_taken_away() -> None:
    resolution = _resolution(ANNA)
    verdict = resolution.verdicts["Mailbox", "anna"]
    status = report(ANNA, verdict, resolution.platform, MOMENT, in_force=True)
    assert status is not None
    refused = Verdict(Reason.CONFLICT, "taken", "spec.username")
    patch = report(replace(ANNA, status=status), refused, resolution.platform, LATER, in_force=False)
    assert patch is not None
    assert (patch["username"], patch["type"], patch["store"]) == (None, None, 0)
    there = {field: value for field, value in patch.items() if value is not None}
    assert report(replace(ANNA, status=there), refused, resolution.platform, LATER, in_force=False) is None


def test_without_a_platform_an_object_keeps_its_facts() -> None:
    resolution = _resolution(ANNA)
    verdict = resolution.verdicts["Mailbox", "anna"]
    status = report(ANNA, verdict, resolution.platform, MOMENT, in_force=True)
    assert status is not None
    assert report(replace(ANNA, status=status), verdict, None, LATER, in_force=True) is None


def test_a_paused_server_tells_whether_changes_wait() -> None:
    planned = world.planned(_resolution())
    verdict = planned.verdicts["MailServer", "mail"]
    whole = (Workload("smtp", 1, 1, 1),)
    nothing = Observation(workloads=whole, in_force=True, held=())
    status = report_server(world.server(), verdict, planned, nothing, MOMENT)
    assert [_condition(status, kind)["reason"] for kind in ("ConfigSynced", "Ready")] == ["Paused", "InForce"]
    waiting = Observation(workloads=whole, held=tuple(f"Secret/mail-directory-{number:02d}" for number in range(7)))
    status = report_server(world.server(), verdict, planned, waiting, MOMENT)
    assert "changes wait for 7 objects: Secret/mail-directory-00, " in _condition(status, "ConfigSynced")["message"]
    assert _condition(status, "Ready") | {"lastTransitionTime": ""} == {
        **_condition(status, "ConfigSynced"),
        "type": "Ready",
        "lastTransitionTime": "",
    }


GIB = 1 << 30


@pytest.mark.parametrize(
    ("available", "needed", "inodes_available", "reason", "ready"),
    [
        (GIB // 2, 0, 50, "StorageAvailable", True),
        (GIB // 5 + GIB // 200, 0, 50, "StorageAvailable", True),
        (GIB // 2, GIB // 4, 50, "StorageAvailable", True),
        (GIB // 2, 0, 21, "StorageAvailable", True),
        (GIB // 2, GIB // 3, 50, "StorageFilling", True),
        (GIB // 20 + GIB // 200, 0, 50, "StorageFilling", True),
        (GIB // 2, 0, 6, "StorageFilling", True),
        (GIB // 8, GIB // 8, 50, "StorageFilling", True),
        (GIB // 5 - 1, 0, 50, "StorageFilling", True),
        (GIB // 2, 0, 20, "StorageFilling", True),
        (GIB // 20, 0, 50, "StorageNearlyFull", True),
        (GIB // 2, 0, 5, "StorageNearlyFull", True),
        (GIB // 8, GIB // 7, 50, "StorageFull", False),
        (0, 0, 50, "StorageFull", False),
        (GIB // 2, 0, 0, "StorageFull", False),
    ],
)
def test_the_server_tells_how_full_its_volumes_are(
    available: int, needed: int, inodes_available: int, reason: str, *, ready: bool
) -> None:
    planned = world.planned(_resolution())
    verdict = planned.verdicts["MailServer", "mail"]
    volumes = (
        judged("mail-smtp-0", Fill(GIB, available, needed, 100, inodes_available)),
        judged("mail-smtp-1", Fill(GIB, GIB, 0, 0, 0)),
    )
    seen = Observation(workloads=(Workload("smtp", 2, 2, 2, volumes=volumes),), in_force=True)
    status = report_server(world.server(), verdict, planned, seen, MOMENT)
    stored = _condition(status, "StorageAvailable")
    assert stored["reason"] == reason
    assert (stored["status"] == "False") == (reason in {"StorageNearlyFull", "StorageFull"})
    assert (_condition(status, "Ready")["status"] == "True") is ready
    assert ("mail-smtp-0" in stored["message"]) == (reason != "StorageAvailable")
    assert "mail-smtp-1" not in stored["message"]


def test_numbers_of_volumes_are_rounded() -> None:
    one = judged("mail-smtp-0", Fill(10 * GIB, GIB, 150 << 20, 0, 0))
    assert one.words == "mail-smtp-0: 90 % used, 1.0 GiB of 10 GiB left (it takes nothing with less than 150 MiB)"
    assert judged("mail-smtp-0", Fill(10 * GIB, GIB + 5000, 150 << 20, 0, 0)).words.endswith(one.words[-40:])


def test_without_a_word_of_volumes_nothing_is_claimed() -> None:
    planned = world.planned(_resolution())
    seen = Observation(workloads=(Workload("smtp", 1, 1, 1),), in_force=True)
    status = report_server(world.server(), planned.verdicts["MailServer", "mail"], planned, seen, MOMENT)
    assert status is not None
    assert "StorageAvailable" not in {one["type"] for one in status["conditions"]}


@pytest.mark.parametrize(
    ("service", "policy", "said"),
    [
        ({}, None, None),
        ({"type": "ClusterIP"}, None, None),
        ({"type": "NodePort"}, "Local", "AddressesKept"),
        ({"type": "LoadBalancer"}, "Local", "AddressesKept"),
        ({"type": "LoadBalancer", "externalTrafficPolicy": "Local"}, "Local", "AddressesKept"),
        ({"type": "NodePort", "externalTrafficPolicy": "Cluster"}, "Cluster", "AddressesHidden"),
    ],
)
def test_clients_keep_their_addresses_unless_the_service_says_otherwise(
    service: Mapping[str, str], policy: str | None, said: str | None
) -> None:
    server = world.server(service=service)
    resolution = resolve(world.of(server, (), OWN))
    planned = world.planned(resolution)
    services = {item.name: item.body["spec"] for item in planned.objects if item.kind == "Service"}
    assert {services[name].get("externalTrafficPolicy") for name in ("mail-smtp", "mail-imap")} == {policy}
    status = report_server(server, resolution.verdicts["MailServer", "mail"], planned, Observation(), MOMENT)
    assert status is not None
    found = {entry["type"]: entry["reason"] for entry in status["conditions"]}
    assert found.get("ClientAddressesKept") == said


def test_claims_without_pods_are_told_and_kept_in_mind_until_pods_are_known() -> None:
    resolution = _resolution(world.resource("Mailbox", "anna", {}))
    server, verdict = world.server(), resolution.verdicts["MailServer", "mail"]
    names = tuple(f"queue-mail-smtp-{number}" for number in range(1, 8))
    smtp = Workload("smtp", 1, 1, 1, unserved=names)
    seen = Observation(workloads=(smtp,), in_force=True)
    status = report_server(server, verdict, world.planned(resolution), seen, MOMENT)
    told = _condition(status, "ClaimsServed")
    assert (told["status"], told["reason"]) == ("False", "ClaimWithoutPod")
    assert "queue-mail-smtp-1, " in told["message"]
    assert "and 2 more" in told["message"]
    assert _condition(status, "Ready")["status"] == "True"
    known = replace(server, status=status or {})
    begun = report_server(known, verdict, world.planned(resolution), Observation(), MOMENT)
    assert _condition(begun, "ClaimsServed") == told
    whole = replace(seen, workloads=(Workload("smtp", 1, 1, 1),))
    assert (
        _condition(report_server(known, verdict, world.planned(resolution), whole, MOMENT), "ClaimsServed")["status"]
        == "True"
    )


def test_a_condition_says_which_replicas_it_waits_for() -> None:
    workloads = (Workload("imap", 2, 2, 2), Workload("smtp", 3, 2, 1), Workload("store", 1, 1, 0))
    ready = _condition(report(ANNA, ACCEPTED, None, MOMENT, in_force=False, workloads=workloads), "Ready")
    assert (ready["status"], ready["reason"]) == ("False", "Pending")
    waits = "Waiting for 2 of 3 replicas of smtp and 1 of 1 replicas of store to load generation 1."
    assert ready["message"] == waits
    nobody = _condition(report(ANNA, ACCEPTED, None, MOMENT, in_force=False), "Ready")
    assert nobody["message"] == "Waiting for all replicas to load generation 1."
    planned = world.planned(_resolution())
    server = report_server(world.server(), ACCEPTED, planned, Observation(workloads=workloads[:1]), MOMENT)
    assert _condition(server, "Ready")["message"] == "Waiting for all replicas to load generation 1."
