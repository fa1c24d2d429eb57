"""Faults: PID 1 and each daemon of each pod killed under a stream of mail, pods deleted, daemons away.

What was acknowledged is never lost; while something is away mail is deferred, and it comes later by itself.
"""

from __future__ import annotations

import smtplib

import pytest

from e2e.clients import Account, letter, wait_for_message, wait_for_message_when_back
from e2e.kube import Object, eventually
from e2e.mail_stream import AcknowledgedMail, Stream
from e2e.platform import Platform
from e2e.post import drained
from e2e.processes import container_processes, container_statuses, kill

# Seconds until mail that was deferred three times is tried again: the queue manager waits 30 s, and each time longer.
RETRIED = 300

COMPONENTS = ("smtp", "imap", "store", "filter", "valkey")


def one_pod(platform: Platform, component: str) -> Object:
    return platform.kube.pods(platform.namespace, component, platform.name)[0]


def ready_again(platform: Platform, component: str) -> None:
    def look() -> bool:
        pods = platform.kube.pods(platform.namespace, component, platform.name)
        states = [container_statuses(pod) for pod in pods]
        return bool(pods) and all(found and all(state["ready"] for state in found) for found in states)

    eventually(look, f"{component} is ready again", timeout=90)


@pytest.mark.row("B2")
@pytest.mark.parametrize("component", COMPONENTS)
@pytest.mark.parametrize("victim", ["pid 1", "daemons"])
def test_nothing_acknowledged_is_lost_when_processes_are_killed(
    platform: Platform, component: str, victim: str
) -> None:
    receiver, sender = platform.add_mailbox(), platform.add_mailbox()
    acknowledged = AcknowledgedMail()
    with Stream(sender, f"{receiver.user}@example.org", acknowledged) as stream:
        eventually(lambda: len(acknowledged.message_ids) >= 5, "the stream flows")
        for container, running in container_processes(one_pod(platform, component)).items():
            chosen = [process for process in running if (process.inner == 1) == (victim == "pid 1")]
            assert chosen, f"{container} has no such process: {running}"
            kill(chosen)
        before = len(acknowledged.message_ids)
        eventually(
            lambda: len(acknowledged.message_ids) >= before + 5,
            f"mail is accepted again; {stream.refusals[-3:]}",
            timeout=120,
        )
    permanent = [text for text in stream.refusals if "(5" in text]
    assert not permanent, "while something is away the answer is 4xx, never 5xx"
    ready_again(platform, component)
    acknowledged.check(receiver, timeout=RETRIED)
    drained(platform)  # a copy may have come, and wait to come again
    platform.remove_mailbox(receiver.user)
    platform.remove_mailbox(sender.user)


@pytest.mark.row("B2")
@pytest.mark.parametrize("component", ["smtp", "store", "filter"])
def test_nothing_acknowledged_is_lost_when_a_pod_is_deleted(platform: Platform, component: str) -> None:
    receiver, sender = platform.add_mailbox(), platform.add_mailbox()
    acknowledged = AcknowledgedMail()
    pod = one_pod(platform, component)
    with Stream(sender, f"{receiver.user}@example.org", acknowledged) as stream:
        eventually(lambda: len(acknowledged.message_ids) >= 5, "the stream flows")
        platform.kube.core.delete_namespaced_pod(pod["metadata"]["name"], platform.namespace, grace_period_seconds=0)
        eventually(lambda: one_pod_is_new(platform, component, pod), "a new pod", timeout=120)
        before = len(acknowledged.message_ids)
        eventually(
            lambda: len(acknowledged.message_ids) >= before + 5,
            f"mail is accepted again; {stream.refusals[-3:]}",
            timeout=120,
        )
    ready_again(platform, component)
    acknowledged.check(receiver, timeout=RETRIED)
    drained(platform)  # a copy may have come, and wait to come again
    platform.remove_mailbox(receiver.user)
    platform.remove_mailbox(sender.user)


def one_pod_is_new(platform: Platform, component: str, old: Object) -> bool:
    pods = platform.kube.pods(platform.namespace, component, platform.name)
    return bool(pods) and pods[0]["metadata"]["uid"] != old["metadata"]["uid"]


@pytest.mark.row("B2")
def test_without_the_filter_mail_is_deferred_and_comes_later(platform: Platform, alice: Account) -> None:
    pod = one_pod(platform, "filter")
    kill(process for running in container_processes(pod).values() for process in running if process.inner != 1)
    message = letter("stranger@outside.test", "alice@example.test")

    def taken() -> bool:
        try:
            with platform.smtp() as session:
                session.send_message(message)
        except smtplib.SMTPResponseException as error:
            assert 400 <= error.smtp_code < 500, error
            return False
        except smtplib.SMTPServerDisconnected:
            return False
        return True

    eventually(taken, "mail is taken when the filter is back", timeout=90)
    assert b"Message-ID" in wait_for_message(alice, message["Message-ID"])


@pytest.mark.row("B2")
def test_without_the_store_mail_waits_in_the_queue(platform: Platform, alice: Account) -> None:
    workload = f"{platform.name}-store"
    message = letter("stranger@outside.test", "alice@example.test")
    platform.kube.core.delete_namespaced_pod(f"{workload}-0", platform.namespace, grace_period_seconds=0)
    with platform.smtp() as session:
        session.send_message(message)
    wait_for_message_when_back(alice, message["Message-ID"])
