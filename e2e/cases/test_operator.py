"""The operator itself: away and back again, twice at once, and rendered offline.

Mail must not notice any of it.
"""

from __future__ import annotations

import itertools
import smtplib
import threading
from pathlib import Path

import pytest
import yaml
from imapclient.exceptions import LoginError

from e2e.clients import Account, letter, wait_for_message
from e2e.kube import Object, eventually
from e2e.mail_stream import AcknowledgedMail, Stream
from e2e.operator import Operator
from e2e.platform import Platform, password_secret
from e2e.processes import container_statuses


def restarts(platform: Platform) -> dict[str, tuple[str, int]]:
    """Pod -> (uid, restarts of its containers)."""
    return {
        pod["metadata"]["name"]: (
            pod["metadata"]["uid"],
            sum(status["restartCount"] for status in container_statuses(pod)),
        )
        for pod in platform.kube.pods(platform.namespace, instance=platform.name)
    }


@pytest.mark.alone
@pytest.mark.row("B2")
def test_mail_flows_without_the_operator(platform: Platform, operator: Operator, away_seconds: float) -> None:
    receiver, sender = platform.add_mailbox(), platform.add_mailbox()
    before = restarts(platform)
    acknowledged = AcknowledgedMail()
    operator.scale(0)
    try:
        with Stream(sender, f"{receiver.user}@example.org", acknowledged) as stream:
            late = platform.add_mailbox("made-meanwhile", wait=False)
            threading.Event().wait(away_seconds)
            assert stream.refusals == []
        with pytest.raises((LoginError, smtplib.SMTPException)):
            late.imap()
    finally:
        operator.scale(1)
    platform.kube.wait_condition("Mailbox", platform.namespace, late.user, "Ready", timeout=120)
    late.imap().logout()
    acknowledged.check(receiver)
    assert restarts(platform) == before, "nothing restarts when the operator comes back"
    for user in (receiver.user, sender.user, late.user):
        platform.remove_mailbox(user)


@pytest.mark.alone
@pytest.mark.row("B1")
def test_two_operators_do_not_fight(platform: Platform, operator: Operator) -> None:
    operator.scale(2)
    try:
        holder = eventually(operator.leader, "a leader")
        account = platform.add_mailbox()
        operator.kube.core.delete_namespaced_pod(holder, operator.namespace, grace_period_seconds=0)
        eventually(lambda: operator.leader() not in {None, "", holder}, "the other one leads")
        changed = platform.add_mailbox()
        changed.imap().logout()
        for user in (account.user, changed.user):
            platform.remove_mailbox(user)
    finally:
        operator.scale(1)


def canonical(one: Object) -> str:
    return yaml.safe_dump(one, sort_keys=True)


@pytest.mark.row("B10")
def test_offline_render_is_what_is_applied(platform: Platform, operator: Operator, tmp_path: Path) -> None:
    """A folder of the platform's own objects renders to the bytes of the live ConfigMaps."""
    attempts = itertools.count()

    def look() -> bool:
        compare(platform, operator, tmp_path / f"attempt-{next(attempts)}")
        return True

    eventually(look, "what is applied is what is rendered, as soon as nothing changes any more", timeout=120, every=2)


def compare(platform: Platform, operator: Operator, folder: Path) -> None:
    source, target = folder / "in", folder / "out"
    source.mkdir(parents=True)
    inputs: list[Object] = []
    for kind in ("MailServer", "MailDomain", "Mailbox"):
        inputs += platform.kube.objects("postboat.dev/v1alpha1", kind, platform.namespace)
    secrets = [one for one in platform.kube.objects("v1", "Secret", platform.namespace) if not is_shard(one)]
    (source / "platform.yaml").write_text(yaml.safe_dump_all([*inputs, *secrets]))
    operator.render(source, target)
    rendered = {
        (one["kind"], one["metadata"]["name"]): one
        for path in target.rglob("*.yaml")
        for one in yaml.safe_load_all(path.read_text())
        if one and "kind" in one
    }
    maps = platform.kube.objects("v1", "ConfigMap", platform.namespace, "app.kubernetes.io/managed-by=postboat")
    assert len(maps) >= 5
    for live in maps:
        offline = rendered["ConfigMap", live["metadata"]["name"]]
        assert offline["data"] == live["data"]
    shards = [one for one in platform.kube.objects("v1", "Secret", platform.namespace) if is_shard(one)]
    assert shards
    for live in shards:
        assert canonical(rendered["Secret", live["metadata"]["name"]]["data"]) == canonical(live["data"])


def is_shard(one: Object) -> bool:
    labels = one["metadata"].get("labels") or {}
    return labels.get("app.kubernetes.io/managed-by") == "postboat" and "-directory-" in one["metadata"]["name"]


@pytest.mark.row("B1")
def test_a_password_secret_without_the_watch_label_counts_too(platform: Platform) -> None:
    account = platform.add_mailbox()
    secret = password_secret(platform.namespace, f"{account.user}-password", {"password": "unlabelled"})
    secret["metadata"]["labels"] = {}
    platform.kube.apply(secret)
    changed = Account(account.hostname, account.user, "unlabelled", account.ca)

    def look() -> bool:
        try:
            changed.imap().logout()
        except LoginError:
            return False
        return True

    eventually(look, "the new password works", timeout=90, every=1)
    message = letter("stranger@outside.test", f"{account.user}@example.test")
    with platform.smtp() as session:
        session.send_message(message)
    wait_for_message(changed, message["Message-ID"])
    platform.remove_mailbox(account.user)
