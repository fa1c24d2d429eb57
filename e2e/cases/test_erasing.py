"""Mail is erased on request only: by stores that answer to nobody but the operator, late rather than never.

Waits are for a status or for what a client sees; the stores and the operator speak over a port of their own.
"""

from __future__ import annotations

import json
import os
import smtplib
import subprocess
import textwrap
from pathlib import Path
from typing import Any

import pytest

from e2e.clients import Account, wait_for_message, wait_for_message_when_back
from e2e.external_clients import ExternalClients
from e2e.kube import GROUP, Kube, eventually
from e2e.mailbox_state import FINALIZER, deliver, events_of, folder_there, mailbox, on_store, orphan
from e2e.operator import ROOT, Operator
from e2e.platform import Platform, manifest
from tools import install

STORE_PORT = 9443


def ask_store(platform: Platform, token: str | None, path: str = "/v1/mailboxes", body: str = "") -> tuple[int, Any]:
    """What the operator's port of the store answers to somebody in its own pod: code and content."""
    script = (
        "import http.client, ssl, sys\n"
        "token, path, body = sys.argv[1:]\n"
        "context = ssl._create_unverified_context()\n"
        f"c = http.client.HTTPSConnection('127.0.0.1', {STORE_PORT}, context=context, timeout=10)\n"
        "headers = {'Authorization': 'Bearer ' + token} if token else {}\n"
        "c.request('POST' if body else 'GET', path, body or None, headers)\n"
        "r = c.getresponse(); print(r.status, r.read().decode())\n"
    )
    answer = on_store(platform, "python3", "-c", script, token or "", path, body)
    code, _, content = answer.strip().partition(" ")
    assert code.isdigit(), answer
    return int(code), json.loads(content)


def documented(word: str) -> str:
    """The block of commands in the section about mail without a Mailbox that holds a word."""
    section = (ROOT / "docs/operations.md").read_text().split("## Mail without a Mailbox\n")[1].split("\n## ")[0]
    paragraphs = section.split("\n\n")
    (block,) = (part for part in paragraphs if part.startswith("    ") and word in part)
    return textwrap.dedent(block)


def shell(platform: Platform, user: str, commands: str) -> str:
    """Run documented commands with the names of this platform in the places of those in the text."""
    kubectl = install.at_hand().kubectl
    script = commands.replace("-n mail", f"-n {platform.namespace}").replace("alice", user)
    path = f"{Path(kubectl).parent}:{os.environ['PATH']}"
    environment = {**os.environ, "PATH": path, "KUBECONFIG": platform.kube.kubeconfig}
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", script],
        check=False,
        capture_output=True,
        text=True,
        env=environment,
        timeout=180,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.row("M14")
def test_erasing_waits_for_a_store_that_is_down(platform: Platform, alice: Account) -> None:
    account = platform.add_mailbox(reclaimPolicy="Delete")
    user = account.user
    wait_for_message(account, deliver(platform, user))
    eventually(lambda: FINALIZER in mailbox(platform, user)["metadata"].get("finalizers", []), "the finalizer")

    def place(selector: dict[str, str] | None) -> None:
        pods = {"store": {"nodeSelector": selector}}
        platform.kube.patch(GROUP, "MailServer", platform.namespace, platform.name, {"spec": {"pods": pods}})

    def store_pods() -> list[str]:
        pods = platform.kube.pods(platform.namespace, "store", platform.name)
        return [pod["status"]["phase"] for pod in pods]

    place({"nowhere": "at-all"})
    try:
        eventually(lambda: store_pods() == ["Pending"], "the store is down", timeout=120)
        platform.kube.delete(GROUP, "Mailbox", platform.namespace, user)

        def waits() -> bool:
            conditions = (mailbox(platform, user).get("status") or {}).get("conditions") or []
            return any(one["type"] == "Erased" and one["reason"] == "StoreUnavailable" for one in conditions)

        eventually(waits, "the Mailbox says what it waits for")
        eventually(lambda: events_of(platform, user, "StoreUnavailable"), "and an Event does")
        other = platform.add_mailbox(wait=False)
        eventually(lambda: platform.answer(f"{other.user}@example.test") == 250, "others go on meanwhile")
        platform.remove_mailbox(other.user)
    finally:
        place(None)
    eventually(lambda: platform.kube.get(GROUP, "Mailbox", platform.namespace, user) is None, "it goes", timeout=120)
    platform.kube.wait_condition("MailServer", platform.namespace, platform.name, "Ready", timeout=120)
    assert not folder_there(platform, user)
    wait_for_message_when_back(alice, deliver(platform, alice.user))  # edges and queue have seen that the store is back


@pytest.mark.row("M14")
def test_an_orphan_is_erased_on_request(platform: Platform) -> None:
    """By the very commands of docs/operations.md."""
    account = platform.add_mailbox()
    user = account.user
    wait_for_message(account, deliver(platform, user))
    platform.remove_mailbox(user)
    eventually(lambda: orphan(platform, user), "the orphan is listed")
    listed = shell(platform, user, documented("orphanCount"))
    assert any(line.startswith(f"{user}\t") for line in listed.splitlines()), listed
    shell(platform, user, documented("reclaimPolicy: Delete"))
    assert platform.kube.get(GROUP, "Mailbox", platform.namespace, user) is None
    assert not folder_there(platform, user)
    eventually(lambda: orphan(platform, user) is None, "it is listed no more")


@pytest.fixture
def pending_platform(kube: Kube, operator: Operator, kube_namespace: str) -> str:
    """A MailServer whose pods never start, with a Mailbox that holds the finalizer."""
    assert operator.pods()
    nowhere = {"nodeSelector": {"nowhere": "at-all"}}
    pods = dict.fromkeys(("smtp", "imap", "store", "filter", "valkey"), nowhere)
    server = {"hostname": "mail.pending.test", "pods": pods, "mailboxes": {"reclaimPolicy": "Delete"}}
    kube.apply(manifest("MailServer", kube_namespace, "mail", server), manifest("Mailbox", kube_namespace, "carol", {}))

    def held() -> bool:
        found = kube.get(GROUP, "Mailbox", kube_namespace, "carol")
        return found is not None and FINALIZER in (found["metadata"].get("finalizers") or [])

    eventually(held, "the finalizer")
    eventually(lambda: kube.pods(kube_namespace, "store"), "pods that wait")
    return kube_namespace


@pytest.mark.row("M14")
def test_a_namespace_goes_though_no_store_answers(kube: Kube, pending_platform: str) -> None:
    kube.delete("v1", "Namespace", None, pending_platform)
    eventually(lambda: kube.get("v1", "Namespace", None, pending_platform) is None, "the namespace goes", timeout=180)


@pytest.mark.row("M14")
def test_a_mailbox_whose_server_has_gone_is_held_by_nothing(kube: Kube, pending_platform: str) -> None:
    kube.delete(GROUP, "Mailbox", pending_platform, "carol")  # waits: its store has never answered

    def waits() -> bool:
        found = kube.get(GROUP, "Mailbox", pending_platform, "carol")
        assert found is not None
        return any(one["type"] == "Erased" for one in (found.get("status") or {}).get("conditions") or [])

    eventually(waits, "it waits for its store")
    kube.delete(GROUP, "MailServer", pending_platform, "mail")
    eventually(lambda: kube.get(GROUP, "Mailbox", pending_platform, "carol") is None, "it goes")


@pytest.mark.row("B4")
def test_only_the_operator_is_told_about_mailboxes(
    platform: Platform, alice: Account, stranger: ExternalClients
) -> None:
    token = platform.kube.secret(platform.namespace, f"{platform.name}-internal")["operator-token"].decode()
    assert ask_store(platform, None)[0] == 401
    assert ask_store(platform, token[:-1] + "x")[0] == 401
    assert ask_store(platform, token[:-1])[0] == 401
    assert ask_store(platform, None, "/v1/erase", json.dumps({"user": alice.user}))[0] == 401
    wait_for_message(alice, deliver(platform, alice.user))
    code, content = ask_store(platform, token)
    assert code == 200
    assert alice.user in {entry[0] for entry in content["mailboxes"]}
    pod = platform.kube.pods(platform.namespace, "store", platform.name)[0]
    assert not stranger.connects("pod", pod["status"]["podIP"], STORE_PORT), "the port is open to a foreign pod"


@pytest.mark.row("M14")
def test_a_store_erases_nobody_who_lives_and_nothing_outside(platform: Platform, alice: Account) -> None:
    token = platform.kube.secret(platform.namespace, f"{platform.name}-internal")["operator-token"].decode()
    wait_for_message(alice, deliver(platform, alice.user))
    code, content = ask_store(platform, token, "/v1/erase", json.dumps({"user": alice.user}))
    assert (code, content["state"]) == (409, "living")
    for name in ("../etc", ".postboat", "", "a/b", "..", "alice/", "ALICE", "x" * 65):
        assert ask_store(platform, token, "/v1/erase", json.dumps({"user": name}))[0] == 400, name
    assert folder_there(platform, alice.user)
    with smtplib.SMTP(platform.hostname, 25, timeout=20) as session:
        assert session.docmd("NOOP")[0] == 250
