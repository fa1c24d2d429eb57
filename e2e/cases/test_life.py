"""The life of mailboxes: usage, mail that outlives its Mailbox, mail that goes with it, and namespaces that go.

Waits are for a status or for what a client sees; the stores and the operator speak over a port of their own.
"""

from __future__ import annotations

import imaplib
import json
import os
import secrets
import smtplib
import subprocess
import textwrap
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from kubernetes.client import ApiException

from e2e import folders
from e2e.cases.test_quota import KIB, quota
from e2e.clients import Account, Directory, letter, wait_for_message, wait_for_message_when_back
from e2e.kube import GROUP, Kube, Object, eventually
from e2e.operator import ROOT, Operator
from e2e.platform import Platform, manifest
from e2e.post import address, copies, older, post, present, verdict
from e2e.stranger import Stranger
from postboat.model import names
from tools import install

FINALIZER = "postboat.dev/erase-mail"
STORE_PORT = 9443


def mailbox(platform: Platform, name: str) -> Object:
    found = platform.kube.get(GROUP, "Mailbox", platform.namespace, name)
    assert found is not None, f"no Mailbox {name}"
    return found


def usage(platform: Platform, name: str) -> dict[str, int]:
    return dict((mailbox(platform, name).get("status") or {}).get("usage") or {})


def orphan(platform: Platform, user: str) -> Object | None:
    """The entry of a user among the orphans of the MailServer."""
    server = platform.kube.get(GROUP, "MailServer", platform.namespace, platform.name)
    assert server is not None
    listed = (server.get("status") or {}).get("orphans") or []
    return next((one for one in listed if one["username"] == user), None)


def deliver(platform: Platform, user: str, body: str = "Dear reader,\n") -> str:
    message = letter("stranger@outside.test", f"{user}@example.test", body=body)
    with platform.smtp() as session:
        session.send_message(message)
    return str(message["Message-ID"])


def on_store(platform: Platform, *command: str) -> str:
    """The output of a command in the first store."""
    return platform.kube.exec(platform.namespace, f"{platform.name}-store-0", "dovecot", command)


def folder_there(platform: Platform, user: str) -> bool:
    return on_store(platform, "sh", "-c", f"test -e /srv/mail/{user} && echo there || echo gone").strip() == "there"


def ended(command: Callable[[], object]) -> bool:
    """Whether the server has closed the session in which a command is given: imaplib says so in many ways."""
    try:
        command()
    except (OSError, imaplib.IMAP4.error):
        return True
    return False


def trash(platform: Platform) -> str:
    return on_store(platform, "ls", "/srv/mail/.postboat/trash").strip()


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


def events_of(platform: Platform, name: str, reason: str) -> list[str]:
    found = platform.kube.objects("events.k8s.io/v1", "Event", platform.namespace)
    return [one["note"] for one in found if one["regarding"]["name"] == name and one["reason"] == reason]


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
        timeout=90,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def agrees_with_imap(platform: Platform, account: Account) -> bool:
    """Hold the columns of a mailbox with a quota of 1Mi and one message of 100 KB to what its user is told."""
    shown = platform.kube.columns("Mailbox", platform.namespace, account.user)
    used, limit = quota(account) or (0, 0)
    assert shown["Messages"] == 1, shown
    assert (shown["Quota"], limit, usage(platform, account.user)["limit"]) == ("1Mi", KIB, KIB * KIB)
    assert 100_000 < shown["Usage"] < 120_000
    assert abs(shown["Usage"] - used * KIB) <= KIB
    assert shown["Percent"] == shown["Usage"] * 100 // KIB**2 == 10
    return True


@pytest.mark.row("M7")
def test_usage_on_show_is_what_the_user_is_told(platform: Platform) -> None:
    """After a delivery, after an APPEND, and after the deletion of both."""
    delivered, appended = platform.add_mailbox(quota="1Mi"), platform.add_mailbox(quota="1Mi")
    body = ("x" * 62 + "\n") * 1700
    wait_for_message(delivered, deliver(platform, delivered.user, body=body))
    with appended.imap() as session:
        session.append("INBOX", letter("alice@example.test", "bob@example.test", body=body).as_bytes())
    for account in (delivered, appended):
        eventually(partial(agrees_with_imap, platform, account), "usage", timeout=30)
        with account.imap() as session:
            session.select_folder("INBOX")
            session.delete_messages(session.search(["ALL"]))
            session.expunge()

    def empty(user: str) -> bool:
        shown = platform.kube.columns("Mailbox", platform.namespace, user)
        assert (shown["Usage"], shown["Messages"], shown["Percent"]) == (0, 0, 0), shown
        return True

    for account in (delivered, appended):
        eventually(partial(empty, account.user), "usage after the deletion", timeout=40)
        platform.remove_mailbox(account.user)


@pytest.mark.row("M7")
def test_a_flood_of_deliveries_is_a_few_writes_and_rest_is_none(platform: Platform, rest_seconds: float) -> None:
    account = platform.add_mailbox()
    versions = set()
    with platform.smtp() as session:
        for number in range(30):
            session.send_message(letter("stranger@outside.test", f"{account.user}@example.test", subject=f"{number}"))
            versions.add(mailbox(platform, account.user)["metadata"]["resourceVersion"])

    def all_counted() -> bool:
        versions.add(mailbox(platform, account.user)["metadata"]["resourceVersion"])
        return usage(platform, account.user).get("messages") == 30

    eventually(all_counted, "all deliveries are counted", timeout=60)
    assert len(versions) < 10, "not a write for each delivery"

    def state() -> list[str]:
        kinds = ("Mailbox", "MailServer")
        objects = [one for kind in kinds for one in platform.kube.objects(GROUP, kind, platform.namespace)]
        return [f"{one['metadata']['name']} {one['metadata']['resourceVersion']}" for one in objects]

    last = [state(), time.monotonic()]

    def at_rest() -> bool:
        now = state()
        if now != last[0]:
            last[:] = [now, time.monotonic()]
        return time.monotonic() - float(str(last[1])) > rest_seconds

    eventually(at_rest, "nothing is written while nothing changes", timeout=rest_seconds + 60, every=1)
    platform.remove_mailbox(account.user)


@pytest.mark.row("M14")
def test_mail_outlives_its_mailbox_and_is_found_again(platform: Platform) -> None:
    account = platform.add_mailbox()
    user = account.user
    sent = deliver(platform, user)
    wait_for_message(account, sent)
    platform.kube.delete(GROUP, "Mailbox", platform.namespace, user)
    listed = eventually(lambda: orphan(platform, user), "the orphan is listed", timeout=30)
    assert listed["store"] == 0
    assert listed["bytes"] > 0
    assert listed["since"]
    eventually(lambda: platform.answer(f"{user}@example.test") == 550, "mail to it is refused")
    said = eventually(
        lambda: [note for note in events_of(platform, platform.name, "MailOrphaned") if user in note], "an Event"
    )
    assert "store 0" in said[0]
    platform.kube.apply(platform.mailbox(user))
    platform.kube.wait_condition("Mailbox", platform.namespace, user, "Ready", timeout=30)
    wait_for_message(account, sent)
    eventually(lambda: orphan(platform, user) is None, "it is no orphan any more", timeout=30)
    eventually(lambda: usage(platform, user).get("messages") == 1, "usage is on show again", timeout=30)
    platform.remove_mailbox(user)


@pytest.mark.row("M14")
def test_whose_mailbox_is_deleted_is_logged_out_and_nobody_else(platform: Platform, alice: Account) -> None:
    """Though the mail is kept: whoever was dismissed sees nothing of what comes after."""
    account = platform.add_mailbox()
    wait_for_message(account, deliver(platform, account.user))
    with alice.imap() as other:
        other.select_folder("INBOX")
        session, idle = account.imap(), account.imap()
        session.select_folder("INBOX")
        idle.select_folder("INBOX")
        idle.idle()

        def listen_again() -> None:
            idle.idle_done()
            idle.idle()

        platform.remove_mailbox(account.user)
        eventually(lambda: ended(session.noop), "the session of the deleted Mailbox ends", timeout=20)
        eventually(lambda: ended(listen_again), "and one that listens")
        session.shutdown()
        idle.shutdown()
        assert folder_there(platform, account.user)
        other.noop()
        assert other.folder_exists("INBOX"), "others notice nothing"


@pytest.mark.row("M14")
def test_delete_erases_and_ends_sessions(platform: Platform) -> None:
    account = platform.add_mailbox(reclaimPolicy="Delete")
    user = account.user
    eventually(lambda: FINALIZER in mailbox(platform, user)["metadata"].get("finalizers", []), "the finalizer")
    wait_for_message(account, deliver(platform, user))
    session = account.imap()
    session.select_folder("INBOX")
    platform.kube.delete(GROUP, "Mailbox", platform.namespace, user)
    eventually(lambda: platform.kube.get(GROUP, "Mailbox", platform.namespace, user) is None, "it goes", timeout=60)
    assert not folder_there(platform, user)
    assert user not in trash(platform)
    with pytest.raises(Exception, match=r"."):  # closed: imaplib says so in many ways
        session.noop()
    session.shutdown()
    assert orphan(platform, user) is None
    assert [note for note in events_of(platform, platform.name, "MailErased") if user in note]
    again = platform.add_mailbox(user)
    with again.imap() as fresh:
        fresh.select_folder("INBOX")
        assert fresh.search(["ALL"]) == []
    platform.remove_mailbox(user)


@pytest.mark.row("M14")
def test_a_mailbox_in_conflict_erases_nothing(platform: Platform) -> None:
    account = platform.add_mailbox()
    user, copy = account.user, f"{account.user}-copy"
    wait_for_message(account, deliver(platform, user))
    older(platform, "Mailbox", user)
    spec = {"username": user, "reclaimPolicy": "Delete"}
    platform.kube.apply(manifest("Mailbox", platform.namespace, copy, spec))
    assert user in verdict(platform, "Mailbox", copy, "Conflict")
    assert not mailbox(platform, copy)["metadata"].get("finalizers")
    for name in (copy, user):
        platform.kube.delete(GROUP, "Mailbox", platform.namespace, name)
    eventually(lambda: orphan(platform, user), "the mail is kept and listed", timeout=30)
    assert folder_there(platform, user)


@pytest.mark.row("M14")
def test_the_next_of_a_name_has_none_of_the_rights_of_the_last(platform: Platform) -> None:
    """What a colleague shared with somebody whose mail was erased, and what the others of the file were given."""
    owner, friend = platform.add_mailbox(), platform.add_mailbox()
    guest = platform.add_mailbox(reclaimPolicy="Delete")
    eventually(lambda: FINALIZER in mailbox(platform, guest.user)["metadata"].get("finalizers", []), "the finalizer")
    shared = f"Shared/{owner.user}/Work"
    with folders.session(owner) as imap:
        folders.ok(imap.create("Work"))
        for account in (guest, friend):
            folders.ok(imap.setacl("Work", account.user, "lr"))
        folders.ok(folders.append(imap, "Work"))
    for account in (guest, friend):
        with folders.session(account) as imap:
            assert shared in folders.folders(imap)
    platform.remove_mailbox(guest.user)
    eventually(lambda: platform.kube.get(GROUP, "Mailbox", platform.namespace, guest.user) is None, "it goes")
    again = platform.add_mailbox(guest.user)
    with folders.session(again) as imap:
        assert shared not in folders.folders(imap)
        folders.no(imap.select(shared))
    with folders.session(owner) as imap:
        given = folders.grants(imap, "Work")
        assert guest.user not in given
        assert given[friend.user] == {"l", "r"}
        assert folders.subjects(imap, "Work") == ["Put here"]
    with folders.session(friend) as imap:
        assert shared in folders.folders(imap)
    for account in (owner, friend, again):
        platform.remove_mailbox(account.user)


@pytest.mark.row("M14")
def test_the_finalizer_follows_the_policy(platform: Platform) -> None:
    account = platform.add_mailbox()
    user = account.user

    def finalizers() -> list[str]:
        return list(mailbox(platform, user)["metadata"].get("finalizers") or [])

    def server(policy: str | None) -> None:
        spec = {"mailboxes": {"reclaimPolicy": policy} if policy else None}
        platform.kube.patch(GROUP, "MailServer", platform.namespace, platform.name, {"spec": spec})

    def own(policy: str | None) -> None:
        platform.kube.patch(GROUP, "Mailbox", platform.namespace, user, {"spec": {"reclaimPolicy": policy}})

    assert finalizers() == []
    own("Delete")
    eventually(lambda: finalizers() == [FINALIZER], "Delete brings the finalizer")
    own("Retain")
    eventually(lambda: not finalizers(), "Retain takes it away")
    own(None)
    server("Delete")
    try:
        eventually(lambda: finalizers() == [FINALIZER], "the default of the MailServer counts")
        own("Retain")
        eventually(lambda: not finalizers(), "the Mailbox beats its MailServer")
    finally:
        server(None)
    own(None)
    platform.remove_mailbox(user)


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

        eventually(waits, "the Mailbox says what it waits for", timeout=30)
        eventually(lambda: events_of(platform, user, "StoreUnavailable"), "and an Event does", timeout=30)
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
    eventually(lambda: orphan(platform, user), "the orphan is listed", timeout=30)
    listed = shell(platform, user, documented("orphanCount"))
    assert any(line.startswith(f"{user}\t") for line in listed.splitlines()), listed
    shell(platform, user, documented("reclaimPolicy: Delete"))
    assert platform.kube.get(GROUP, "Mailbox", platform.namespace, user) is None
    assert not folder_there(platform, user)
    eventually(lambda: orphan(platform, user) is None, "it is listed no more", timeout=30)


@pytest.mark.row("M14")
def test_a_rename_is_refused_with_the_way_to_do_it(platform: Platform) -> None:
    account = platform.add_mailbox()
    with pytest.raises(ApiException) as caught:
        platform.kube.patch(GROUP, "Mailbox", platform.namespace, account.user, {"spec": {"username": "other"}})
    assert caught.value.status == 422
    assert "username never changes: make a Mailbox with the new name, and a MailAddress for the old one" in (
        caught.value.body
    )
    successor = platform.add_mailbox()
    platform.remove_mailbox(account.user)
    with present(platform, address(platform, "former-name", successor.user, localPart=account.user)):
        assert copies(platform, post(platform, f"{account.user}@example.test")) == {successor.user: 1}
    platform.remove_mailbox(successor.user)


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

    eventually(held, "the finalizer", timeout=60)
    eventually(lambda: kube.pods(kube_namespace, "store"), "pods that wait", timeout=60)
    return kube_namespace


@pytest.mark.row("M14")
def test_a_namespace_goes_though_no_store_answers(kube: Kube, pending_platform: str) -> None:
    kube.delete("v1", "Namespace", None, pending_platform)
    eventually(lambda: kube.get("v1", "Namespace", None, pending_platform) is None, "the namespace goes", timeout=90)


@pytest.mark.row("M14")
def test_a_mailbox_whose_server_has_gone_is_held_by_nothing(kube: Kube, pending_platform: str) -> None:
    kube.delete(GROUP, "Mailbox", pending_platform, "carol")  # waits: its store has never answered

    def waits() -> bool:
        found = kube.get(GROUP, "Mailbox", pending_platform, "carol")
        assert found is not None
        return any(one["type"] == "Erased" for one in (found.get("status") or {}).get("conditions") or [])

    eventually(waits, "it waits for its store", timeout=30)
    kube.delete(GROUP, "MailServer", pending_platform, "mail")
    eventually(lambda: kube.get(GROUP, "Mailbox", pending_platform, "carol") is None, "it goes", timeout=30)


@pytest.mark.row("B4")
def test_only_the_operator_is_told_about_mailboxes(platform: Platform, alice: Account, stranger: Stranger) -> None:
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
    kube.wait_condition("Mailbox", platform.namespace, user, "Ready", timeout=60)
    assert mailbox(platform, user)["status"]["store"] == 0, "it is where its mail is, not where its name leads"
    platform.locate()
    wait_for_message(replace(account, ca=platform.ca()), str(message["Message-ID"]))
    eventually(lambda: usage(platform, user).get("messages") == 1, "usage is known", timeout=30)


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
        eventually(lambda: not operator.pods(), "the operator is gone", timeout=60)
        assert not mailbox(platform, user)["metadata"].get("finalizers")
        wait_for_message(account, deliver(platform, user))  # mail goes on
        platform.remove_mailbox(user)
        eventually(lambda: platform.kube.get(GROUP, "Mailbox", platform.namespace, user) is None, "it goes at once")
    finally:
        install.install(cluster)
    eventually(operator.leader, "the operator acts again", timeout=90)
    eventually(lambda: orphan(platform, user), "its mail was kept", timeout=60)
