"""The numbers of plans: what a reported digest says about what is in force."""

from __future__ import annotations

from postboat.cluster.observe import AgentReport, Claim, Pod, claim_of
from postboat.controller.rollout.progress import NEVER, REMEMBERED, Ledger, Target, lagging, unserved, workload_progress

POSTFIX = ("mail-smtp", "postfix")
EDGE = ("mail-smtp", "edge")


def pod(name: str, *, ready: bool = True, deleting: bool = False, template: str = "t") -> Pod:
    containers = ("postfix", "edge")
    return Pod("ns", name, name, "mail", "smtp", "10.0.0.1", "Running", ready, deleting, 0, containers, {}, template)


def to(replicas: int) -> Target:
    return Target(replicas, "t")


def says(digest: str, *, seen: str = "", error: str = "") -> AgentReport:
    return AgentReport(digest, seen or digest, error, ready=True)


def test_an_unchanged_digest_is_in_force_for_every_later_plan() -> None:
    ledger = Ledger()
    ledger.record({POSTFIX: "a", EDGE: "x"})
    assert ledger.record({POSTFIX: "b", EDGE: "x"}) == 2
    assert ledger.number(POSTFIX, "a") == 1
    assert ledger.number(EDGE, "x") == 2
    assert ledger.number(EDGE, "unknown") == NEVER


def test_a_digest_that_comes_back_counts_as_new() -> None:
    ledger = Ledger()
    for digest in ("a", "b", "a"):
        ledger.record({POSTFIX: digest})
    assert ledger.number(POSTFIX, "a") == 3
    assert ledger.number(POSTFIX, "b") == 2


def test_the_history_is_bounded() -> None:
    ledger = Ledger()
    for number in range(REMEMBERED + 10):
        ledger.record({POSTFIX: f"{number}"})
    assert ledger.number(POSTFIX, "9") == NEVER
    assert ledger.number(POSTFIX, "10") == 11


def test_the_slowest_container_of_the_slowest_pod_decides() -> None:
    ledger = Ledger()
    ledger.record({POSTFIX: "a", EDGE: "x"})
    ledger.record({POSTFIX: "b", EDGE: "y"})
    reports = {
        ("mail-smtp-0", "postfix"): says("b"),
        ("mail-smtp-0", "edge"): says("y"),
        ("mail-smtp-1", "postfix"): says("b"),
        ("mail-smtp-1", "edge"): says("x"),
    }
    pods = [pod("mail-smtp-0"), pod("mail-smtp-1")]
    progress = workload_progress(ledger, "mail-smtp", to(2), pods, reports)
    assert (progress.lowest, progress.ready, progress.current) == (1, 2, 1)
    assert [(behind.name, container) for behind, container, _ in lagging(ledger, pods, reports)] == [
        ("mail-smtp-1", "edge")
    ]


def test_a_missing_pod_has_nothing_in_force_but_one_that_leaves_does_not_count() -> None:
    ledger = Ledger()
    ledger.record({POSTFIX: "a"})
    reports = {("mail-smtp-0", "postfix"): says("a")}
    assert workload_progress(ledger, "mail-smtp", to(2), [pod("mail-smtp-0")], reports).lowest == NEVER
    pods = [pod("mail-smtp-0"), pod("mail-smtp-1", deleting=True)]
    assert workload_progress(ledger, "mail-smtp", to(1), pods, reports).lowest == 1
    assert workload_progress(ledger, "mail-smtp", to(0), [], {}).lowest == 1


def test_an_agent_that_refuses_the_demanded_digest_is_heard() -> None:
    ledger = Ledger()
    ledger.record({POSTFIX: "a"})
    ledger.record({POSTFIX: "b"})
    refused = {("mail-smtp-0", "postfix"): says("a", seen="b", error="InvalidConfiguration")}
    assert workload_progress(ledger, "mail-smtp", to(1), [pod("mail-smtp-0")], refused).error == "InvalidConfiguration"
    old = {("mail-smtp-0", "postfix"): says("a", seen="a", error="InvalidConfiguration")}
    assert workload_progress(ledger, "mail-smtp", to(1), [pod("mail-smtp-0")], old).error == ""


def test_a_pod_of_an_older_template_serves_the_content_but_the_rollout_is_not_over() -> None:
    ledger = Ledger()
    ledger.record({POSTFIX: "a"})
    reports = {(name, "postfix"): says("a") for name in ("mail-smtp-0", "mail-smtp-1")}
    pods = [pod("mail-smtp-0", template="older"), pod("mail-smtp-1")]
    progress = workload_progress(ledger, "mail-smtp", to(2), pods, reports)
    assert (progress.lowest, progress.ready, progress.current, progress.rolled) == (1, 2, 1, False)
    pods[0] = pod("mail-smtp-0")
    assert workload_progress(ledger, "mail-smtp", to(2), pods, reports).rolled
    assert not workload_progress(ledger, "mail-smtp", to(2), pods[:1], reports).rolled


def test_a_claim_is_unserved_when_its_pod_has_ended_and_is_not_to_come_back() -> None:
    def claim(name: str) -> Claim:
        labels = {"postboat.dev/server": "mail"}
        return claim_of({"metadata": {"namespace": "ns", "name": name, "labels": labels}})

    names = ["mail-mail-store-3", *(f"queue-mail-smtp-{number}" for number in (0, 1, 2, 10, 11)), "queue-mail-smtp-x"]
    claims = [claim(name) for name in names]
    pods = [pod("mail-smtp-0"), pod("mail-smtp-2", deleting=True)]
    found = unserved("mail-smtp", to(1), claims, pods)
    assert found == ("queue-mail-smtp-1", "queue-mail-smtp-10", "queue-mail-smtp-11")
    assert unserved("mail-smtp", to(11), claims, ()) == ("queue-mail-smtp-11",), "those that are missing are to come"
    assert unserved("mail-store", to(3), claims, ()) == ("mail-mail-store-3",)
