"""Volumes that are gone, or that nobody serves any more: what is said of the mail on them.

The platform is one of its own, since its volumes are deleted.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterator

import pytest

from e2e.clients import Account, Directory, letter, wait_for_message_when_back
from e2e.kube import GROUP, Kube, Object, eventually
from e2e.mailbox_state import events_of, usage
from e2e.operator import Operator
from e2e.platform import Platform


@pytest.fixture
def losing(kube: Kube, operator: Operator, directory: Directory) -> Iterator[tuple[Platform, Account]]:
    """A platform with one user."""
    assert operator.pods()
    password = secrets.token_urlsafe(12)
    made = Platform(
        kube, directory, namespace=f"volumes-{secrets.token_hex(3)}", hostname="mail.loss.test", domains=("loss.test",)
    )
    made.create({"emma": password})
    yield made, made.account("emma", password)
    kube.delete("v1", "Namespace", None, made.namespace)


def told(platform: Platform, type_: str) -> Object:
    """A condition of the MailServer, as far as there is one."""
    return platform.kube.condition("MailServer", platform.namespace, platform.name, type_) or {"reason": ""}


def send(platform: Platform) -> str:
    message = letter("stranger@outside.test", "emma@loss.test")
    with platform.smtp() as session:
        session.send_message(message)
    return str(message["Message-ID"])


@pytest.mark.row("M14")
@pytest.mark.row("B8")
def test_a_store_that_comes_back_empty_is_told_until_it_is_accepted(losing: tuple[Platform, Account]) -> None:
    platform, account = losing
    kube, namespace, name = platform.kube, platform.namespace, platform.name
    for _ in range(3):
        send(platform)
    eventually(lambda: usage(platform, "emma").get("messages") == 3, "usage is known")
    eventually(lambda: told(platform, "MailPresent")["reason"] == "MailPresent", "the volume has a name")
    kube.delete("v1", "PersistentVolumeClaim", namespace, f"mail-{name}-store-0")
    kube.delete("v1", "Pod", namespace, f"{name}-store-0")
    late = send(platform)  # it waits in the queue, and comes before anybody has looked
    eventually(lambda: told(platform, "MailPresent")["reason"] == "StoreEmpty", "the loss is told", timeout=180)
    wait_for_message_when_back(account, late)
    eventually(lambda: usage(platform, "emma").get("messages") == 1, "usage follows")
    said = told(platform, "MailPresent")
    assert said["status"] == "False"
    assert " of 1 mailboxes" in said["message"]
    eventually(lambda: events_of(platform, name, "StoreEmpty"), "an Event")
    volume = said["message"].rpartition("=")[2]
    accepted = {"metadata": {"annotations": {"postboat.dev/accept-volumes": volume}}}
    kube.patch(GROUP, "MailServer", namespace, name, accepted)
    eventually(lambda: told(platform, "MailPresent")["reason"] == "MailPresent", "it is accepted")


@pytest.mark.row("B8")
def test_a_queue_without_a_pod_is_told_until_its_claim_is_gone(losing: tuple[Platform, Account]) -> None:
    platform, _ = losing
    kube, namespace, name = platform.kube, platform.namespace, platform.name
    kube.patch(GROUP, "MailServer", namespace, name, {"spec": {"smtp": {"replicas": 2}}})
    eventually(lambda: len(kube.pods(namespace, "smtp")) == 2, "two pods")
    kube.wait_condition("MailServer", namespace, name, "Ready", timeout=180)
    assert told(platform, "ClaimsServed")["status"] == "True"
    kube.patch(GROUP, "MailServer", namespace, name, {"spec": {"smtp": {"replicas": 1}}})
    eventually(lambda: told(platform, "ClaimsServed")["reason"] == "ClaimWithoutPod", "it is told", timeout=180)
    claim = f"queue-{name}-smtp-1"
    assert claim in told(platform, "ClaimsServed")["message"]
    assert kube.get("v1", "PersistentVolumeClaim", namespace, claim) is not None, "nothing is deleted"
    kube.wait_condition("MailServer", namespace, name, "Ready", timeout=180)
    kube.delete("v1", "PersistentVolumeClaim", namespace, claim)
    eventually(lambda: told(platform, "ClaimsServed")["status"] == "True", "it is gone")
