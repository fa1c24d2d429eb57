"""What stays when the operator or a whole platform goes: the mail, and nothing that holds an object up.

The platform that is deleted and made again is one of its own.
"""

from __future__ import annotations

import json
import secrets
import time
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from kubernetes.client import ApiException

from e2e.clients import Account, Directory, letter, wait_for_message, wait_for_message_when_back
from e2e.cluster.steps import StepError
from e2e.kube import GROUP, Kube, eventually
from e2e.mailbox_state import FINALIZER, deliver, mailbox, orphan, usage
from e2e.operator import Operator
from e2e.platform import Platform, manifest
from postboat.model import names
from tools import install


@pytest.fixture
def own_platform(kube: Kube, operator: Operator, directory: Directory) -> Iterator[tuple[Platform, Account]]:
    """A platform that a case may delete, with a user whose name would lead to the second of two stores."""
    assert operator.pods()
    user = next(name for name in (f"dora{number}" for number in range(100)) if names.store(name, 2) == 1)
    password = secrets.token_urlsafe(12)
    made = Platform(
        kube, directory, namespace=f"life-{secrets.token_hex(3)}", hostname="mail.life.test", domains=("life.test",)
    )
    made.create({user: password})
    yield made, made.account(user, password)
    kube.delete("v1", "Namespace", None, made.namespace)


@pytest.mark.row("M14")
def test_a_recreated_platform_finds_its_mail_where_it_lies(own_platform: tuple[Platform, Account]) -> None:
    """MailServer and Mailbox are made again, their statuses lost, and there is one store more than before."""
    platform, account = own_platform
    kube, user = platform.kube, account.user
    message = letter("stranger@outside.test", f"{user}@life.test")
    with platform.smtp() as session:
        session.send_message(message)
    wait_for_message(account, str(message["Message-ID"]))
    assert mailbox(platform, user)["status"]["store"] == 0
    kube.delete(GROUP, "MailServer", platform.namespace, platform.name)
    kube.delete(GROUP, "Mailbox", platform.namespace, user)
    eventually(lambda: not kube.pods(platform.namespace), "the pods are gone", timeout=120)
    kube.apply(
        platform.mailbox(user),
        manifest(
            "MailServer", platform.namespace, platform.name,
            {"hostname": platform.hostname, "storage": {"shards": 2}},
        ),
    )  # fmt: skip
    kube.wait_condition("MailServer", platform.namespace, platform.name, "Ready", timeout=240)
    kube.wait_condition("Mailbox", platform.namespace, user, "Ready")
    assert mailbox(platform, user)["status"]["store"] == 0, "it is where its mail is, not where its name leads"
    platform.locate()
    wait_for_message_when_back(replace(account, ca=platform.ca()), str(message["Message-ID"]))
    eventually(lambda: usage(platform, user).get("messages") == 1, "usage is known")


@pytest.mark.row("M14")
def test_deletion_in_the_foreground_ends_after_the_pods(own_platform: tuple[Platform, Account]) -> None:
    platform, _ = own_platform
    kube, namespace = platform.kube, platform.namespace
    servers = kube.dynamic.resources.get(api_version=GROUP, kind="MailServer")
    servers.delete(name=platform.name, namespace=namespace, body={"propagationPolicy": "Foreground"})
    eventually(lambda: kube.get(GROUP, "MailServer", namespace, platform.name) is None, "it is gone", timeout=180)
    assert not kube.pods(namespace, instance=platform.name)
    assert kube.objects("v1", "PersistentVolumeClaim", namespace), "the mail stays"


@pytest.mark.row("B4")
@pytest.mark.parametrize(
    ("change", "allowed"),
    [
        ({"metadata": {"finalizers": [FINALIZER]}}, True),
        ({"metadata": {"finalizers": None}}, True),
        ({"metadata": {"finalizers": ["example.org/theirs"]}}, False),
        ({"metadata": {"labels": {"a": "b"}}}, False),
        ({"metadata": {"annotations": {"a": "b"}}}, False),
        ({"spec": {"displayName": "Somebody"}}, False),
    ],
    ids=lambda value: "" if isinstance(value, bool) else json.dumps(value),
)
def test_the_operator_may_change_one_finalizer_and_nothing_else(
    platform: Platform,
    operator: Operator,
    alice: Account,
    change: dict[str, Any],
    allowed: bool,  # noqa: FBT001
) -> None:
    def attempt() -> None:
        platform.kube.api.call_api(
            f"/apis/{GROUP}/namespaces/{platform.namespace}/mailboxes/{alice.user}", "PATCH", body=change,
            query_params=[("dryRun", "All")], auth_settings=["BearerToken"], response_types_map={200: "object"},
            header_params={
                "Content-Type": "application/merge-patch+json",
                "Impersonate-User": f"system:serviceaccount:{operator.namespace}:{operator.name}",
            },
        )  # fmt: skip

    if allowed:
        attempt()
        return
    with pytest.raises(ApiException) as caught:
        attempt()
    assert caught.value.status in {403, 422}
    assert "the operator" in caught.value.body


@pytest.mark.alone
@pytest.mark.row("M14")
def test_uninstalling_the_operator_leaves_no_finalizer(platform: Platform, operator: Operator) -> None:
    account = platform.add_mailbox(reclaimPolicy="Delete")
    user = account.user
    eventually(lambda: FINALIZER in mailbox(platform, user)["metadata"].get("finalizers", []), "the finalizer")
    cluster = install.at_hand()
    install.uninstall(cluster)
    try:
        eventually(lambda: not operator.pods(), "the operator is gone")
        assert not mailbox(platform, user)["metadata"].get("finalizers")
        wait_for_message(account, deliver(platform, user))  # mail goes on
        platform.remove_mailbox(user)
        eventually(lambda: platform.kube.get(GROUP, "Mailbox", platform.namespace, user) is None, "it goes at once")
    finally:
        install.install(cluster)
    eventually(operator.leader, "the operator acts again", timeout=90)
    eventually(lambda: orphan(platform, user), "its mail was kept")


@pytest.mark.alone
@pytest.mark.row("M14")
def test_an_uninstall_whose_image_cannot_be_pulled_ends_soon_and_says_the_way_out(operator: Operator) -> None:
    """The Job of the hook has the image of the operator, which may be gone from its registry."""
    cluster = install.at_hand()
    release = ("--namespace", operator.namespace)
    changed = ("--reuse-values", "--set", "image.tag=nowhere", "--set", "releaseSeconds=30")
    try:
        cluster.run(cluster.helm, "upgrade", install.RELEASE, str(install.CHART), *release, *changed)
        begun = time.monotonic()
        with pytest.raises(StepError) as failure:
            install.uninstall(cluster)
        assert time.monotonic() - begun < 30 + 30, "helm waits no longer than the Job may take"
        assert "release-else-no-hooks" in str(failure.value)
        cluster.run(cluster.helm, "uninstall", install.RELEASE, *release, "--no-hooks", "--wait")
        eventually(lambda: not operator.pods(), "the operator is gone")
    finally:
        install.install(cluster)
    eventually(operator.leader, "the operator acts again", timeout=90)
