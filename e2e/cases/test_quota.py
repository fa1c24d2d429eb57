"""Quotas: a full mailbox is refused at RCPT and nowhere later, and its user sees it coming.

What a user says goes over what the server says; the server's defaults here are switched on for these cases only.
"""

from __future__ import annotations

import imaplib
import json
import re
from collections.abc import Iterator
from email.message import EmailMessage

import pytest
from imapclient.exceptions import IMAPClientError
from kubernetes.client import ApiException

from e2e.clients import SECONDS, Account, letter, rcpt, wait_for_message
from e2e.kube import GROUP, TimedOutError, eventually
from e2e.platform import Platform, manifest
from e2e.post import address, answer, group, present

KIB = 1024
FULL = "552"


@pytest.fixture(scope="module")
def defaults(platform: Platform) -> Iterator[None]:
    """A default quota, and a warning at half of it."""
    given = {"mailboxes": {"quota": "40Ki", "quotaWarning": 50}}
    platform.kube.patch(GROUP, "MailServer", platform.namespace, platform.name, {"spec": given})
    platform.kube.wait_condition("MailServer", platform.namespace, platform.name, "Ready")
    yield
    platform.kube.patch(GROUP, "MailServer", platform.namespace, platform.name, {"spec": {"mailboxes": None}})
    platform.kube.wait_condition("MailServer", platform.namespace, platform.name, "Ready")


def heavy(recipient: str, kib: int, sender: str = "stranger@outside.test") -> EmailMessage:
    return letter(sender, recipient, body=("x" * 62 + "\n") * (kib * KIB // 64))


def refusal(platform: Platform, recipient: str, size: int = 0) -> str:
    """The answer to RCPT on port 25 in a session of its own, with a declared size."""
    with platform.smtp() as session:
        session.ehlo()
        session.mail("stranger@outside.test", [f"SIZE={size}"] if size else [])
        code, text = session.rcpt(recipient)
        return f"{code} {text.decode()}"


def quota(account: Account) -> tuple[int, int] | None:
    """Usage and limit in KiB as GETQUOTAROOT tells them; None where there is no limit."""
    with imaplib.IMAP4_SSL(account.hostname, 993, ssl_context=account.context(), timeout=SECONDS) as session:
        session.login(account.user, account.password)
        _, answers = session.getquotaroot("INBOX")
    text = b" ".join(part for answer in answers for part in answer if part).decode()
    found = re.search(r"STORAGE (\d+) (\d+)", text)
    return (int(found[1]), int(found[2])) if found else None


def fill(platform: Platform, account: Account, kib: int) -> None:
    """Deliver a message whose size is not declared: what comes while there is room is taken whole."""
    address = f"{account.user}@example.test"
    message = heavy(address, kib)
    with platform.smtp() as session:
        session.ehlo()
        session.mail("stranger@outside.test")
        assert session.rcpt(address)[0] == 250
        assert session.data(message.as_bytes())[0] == 250
    wait_for_message(account, message["Message-ID"])


def empty(account: Account, *folders: str) -> None:
    with account.imap() as session:
        for folder in folders:
            session.select_folder(folder)
            session.delete_messages(session.search())
            session.expunge()


def logs_in(account: Account) -> bool:
    try:
        account.imap().logout()
    except (OSError, IMAPClientError):
        return False
    return True


@pytest.mark.row("M7")
def test_a_full_mailbox_is_refused_at_rcpt_on_every_port(platform: Platform, alice: Account) -> None:
    account = platform.add_mailbox(quota="20Ki")
    address = f"{account.user}@example.test"
    assert refusal(platform, address).startswith("250")
    assert refusal(platform, address, size=10 * KIB).startswith("250")
    assert refusal(platform, address, size=30 * KIB).startswith(f"{FULL} 5.2.2"), "it would not fit"
    fill(platform, account, 24)
    assert quota(account) is not None
    usage, limit = quota(account) or (0, 0)
    assert (usage > limit, limit) == (True, 20)
    for spelling in (address, f"{account.user}@example.org", f"{account.user}+tag@example.test", address.upper()):
        assert refusal(platform, spelling).startswith(f"{FULL} 5.2.2"), spelling
    for port in (587, 465):
        with alice.submission(port) as session:
            code, text = rcpt(session, address, sender="alice@example.test")
            assert (code, text[:5]) == (552, "5.2.2"), port
            assert rcpt(session, "bob@example.test", sender="alice@example.test")[0] == 250
    with account.imap() as session:
        session.select_folder("INBOX")
        session.copy(session.search(), "Trash")  # what is full must still let its user delete
        with pytest.raises(IMAPClientError, match="OVERQUOTA"):
            session.copy(session.search(), "Sent")
        with pytest.raises(IMAPClientError, match="OVERQUOTA"):
            session.append("INBOX", heavy(address, 1).as_bytes())
    empty(account, "INBOX", "Trash")
    assert refusal(platform, address).startswith("250"), "there is room again"
    platform.remove_mailbox(account.user)


@pytest.mark.row("M7")
@pytest.mark.row("A1")
def test_an_address_of_one_full_mailbox_is_refused_and_one_of_several_is_not(
    platform: Platform, alice: Account, bob: Account
) -> None:
    account = platform.add_mailbox(quota="20Ki")
    name = account.user
    forwarding = platform.add_mailbox(forward={"to": [f"{name}@example.test"]})
    with present(
        platform,
        manifest("MailDomain", platform.namespace, "umlaut", {"domain": "höhe.test"}),
        address(platform, f"{name}-a", name),
        address(platform, f"{name}-b", name, localPart="here", domain="example.org"),
        address(platform, f"{name}-c", name, "bob"),
        group(platform, f"{name}-g", name),
    ):
        alone = [f"{local}@example.test" for local in (f"{name}-a", f"{name}-g", forwarding.user)]
        others = (f"{name}-a+tag@example.org", f"{name}-A@EXAMPLE.ORG", "here@example.org")
        for recipient in (*alone, *others):
            assert refusal(platform, recipient, size=10 * KIB).startswith("250"), recipient
            assert refusal(platform, recipient, size=30 * KIB).startswith(f"{FULL} 5.2.2"), recipient
        fill(platform, account, 24)
        for recipient in (*alone, *others):
            assert refusal(platform, recipient).startswith(f"{FULL} 5.2.2"), recipient
        with platform.smtp() as session:
            for local in (name, f"{name}-a"):
                assert answer(session, f"{local}@höhe.test", "SMTPUTF8")[0] == 552, local
        with alice.submission() as session:
            assert rcpt(session, alone[0], sender="alice@example.test")[0] == 552
        message = letter("stranger@outside.test", f"{name}-c@example.test")
        with platform.smtp() as session:
            session.send_message(message)
        wait_for_message(bob, message["Message-ID"])
        empty(account, "INBOX")
        for recipient in (*alone, *others):
            assert refusal(platform, recipient).startswith("250"), "there is room again"
        wait_for_message(account, message["Message-ID"], timeout=120)
    platform.remove_mailbox(forwarding.user)
    platform.remove_mailbox(name)


@pytest.mark.row("M7")
def test_what_was_taken_at_rcpt_is_never_bounced(platform: Platform, alice: Account) -> None:
    account = platform.add_mailbox(quota="20Ki")
    address = f"{account.user}@example.test"
    messages = [heavy(address, 24, "alice@example.test") for _ in range(2)]
    sessions = [alice.submission() for _ in messages]
    for session in sessions:
        session.mail("alice@example.test")
        assert session.rcpt(address)[0] == 250, "both come while there is room"
    smtp = platform.kube.pods(platform.namespace, "smtp", platform.name)[0]["metadata"]["name"]

    def waiting() -> bool:
        queue = platform.kube.exec(platform.namespace, smtp, "postfix", ["postqueue", "-p"])
        return f"{account.user}@mailbox.invalid" in queue

    def come(*expected: EmailMessage) -> bool:
        with account.imap() as session:
            session.select_folder("INBOX")
            found = session.fetch(session.search(), ["ENVELOPE"])
        return {one["Message-ID"] for one in expected} <= {
            one[b"ENVELOPE"].message_id.decode() for one in found.values()
        }

    places = (lambda: come(messages[0]), waiting)
    for session, message, place in zip(sessions, messages, places, strict=True):
        assert session.data(message.as_bytes())[0] == 250
        session.quit()
        eventually(place, "the first message comes, and the other one waits in the queue")
    assert refusal(platform, address).startswith(FULL)
    platform.kube.apply(platform.mailbox(account.user, quota="0"))
    platform.kube.wait_condition("Mailbox", platform.namespace, account.user, "Ready")

    def both() -> bool:
        platform.kube.exec(platform.namespace, smtp, "postfix", ["postqueue", "-f"])
        return come(*messages)

    eventually(both, "the other one comes when there is room", timeout=60, every=2)
    eventually(lambda: not waiting(), "nothing waits any more")
    platform.remove_mailbox(account.user)


@pytest.mark.row("M7")
def test_a_store_that_is_away_refuses_nothing(platform: Platform) -> None:
    account = platform.add_mailbox(quota="1Mi")
    address = f"{account.user}@example.test"
    store = next(
        pod["metadata"]["name"]
        for pod in platform.kube.pods(platform.namespace, "store", platform.name)
        if pod["metadata"]["name"].endswith("-0")
    )

    def sent_while_it_was_away() -> EmailMessage | None:
        platform.kube.delete("v1", "Pod", platform.namespace, store)
        eventually(lambda: not logs_in(account), "the store is away", every=0.05)
        message = letter("stranger@outside.test", address)
        with platform.smtp() as session:
            session.send_message(message)
        return None if logs_in(account) else message

    message = eventually(sent_while_it_was_away, "a store that was away all the time", timeout=300)
    eventually(lambda: logs_in(account), "the store is back", timeout=90)
    smtp = platform.kube.pods(platform.namespace, "smtp", platform.name)[0]["metadata"]["name"]
    platform.kube.exec(platform.namespace, smtp, "postfix", ["postqueue", "-f"])
    wait_for_message(account, message["Message-ID"], timeout=90)
    platform.remove_mailbox(account.user)


@pytest.mark.row("M7")
@pytest.mark.usefixtures("defaults")
def test_the_default_counts_where_a_mailbox_says_nothing(platform: Platform) -> None:
    plain, own, free = platform.add_mailbox(), platform.add_mailbox(quota="20Ki"), platform.add_mailbox(quota="0")
    assert (quota(plain) or (0, 0))[1] == 40
    shown = [platform.kube.columns("Mailbox", platform.namespace, one.user)["Quota"] for one in (plain, own, free)]
    assert shown == ["40Ki", "20Ki", "0"]
    assert (quota(own) or (0, 0))[1] == 20
    assert quota(free) is None
    for account in (plain, free):
        fill(platform, account, 44)
    assert refusal(platform, f"{plain.user}@example.test").startswith(f"{FULL} 5.2.2")
    assert refusal(platform, f"{free.user}@example.test").startswith("250")
    platform.kube.apply(platform.mailbox(plain.user, quota="1Mi"))
    platform.kube.wait_condition("Mailbox", platform.namespace, plain.user, "Ready")
    eventually(lambda: refusal(platform, f"{plain.user}@example.test").startswith("250"), "the new limit counts")
    for account in (plain, own, free):
        platform.remove_mailbox(account.user)


def subjects(account: Account) -> list[str]:
    with account.imap() as session:
        session.select_folder("INBOX", readonly=True)
        found = session.fetch(session.search(), ["ENVELOPE"])
        return [one[b"ENVELOPE"].subject.decode() for one in found.values()]


def warns(platform: Platform) -> bool:
    """Whether deliveries warn at the level by now: one that goes on in an open session knows the settings before."""
    probe = platform.add_mailbox()
    fill(platform, probe, 26)
    try:
        eventually(lambda: len(subjects(probe)) > 1, "a warning", timeout=2)
    except TimedOutError:
        return False
    finally:
        platform.remove_mailbox(probe.user)
    return True


@pytest.mark.row("M7")
@pytest.mark.usefixtures("defaults")
def test_the_user_is_warned_once_when_the_level_is_passed(platform: Platform) -> None:
    eventually(lambda: warns(platform), "deliveries know the level")
    account = platform.add_mailbox()
    fill(platform, account, 10)
    assert subjects(account) == ["A letter"], "below the level nothing is said"
    fill(platform, account, 16)
    warned = eventually(lambda: [one for one in subjects(account) if one != "A letter"], "the warning")
    assert warned == ["Your mailbox is 50% full"]
    fill(platform, account, 2)
    fill(platform, account, 20)
    assert [one for one in subjects(account) if one != "A letter"] == warned, "it is said once, and fits always"
    assert refusal(platform, f"{account.user}@example.test").startswith(FULL)
    platform.remove_mailbox(account.user)


@pytest.mark.row("M7")
@pytest.mark.parametrize("value", ["2 GB", "-1", "1Xi", "much"])
def test_a_quota_of_no_known_unit_is_refused_by_name(platform: Platform, value: str) -> None:
    with pytest.raises(ApiException) as caught:
        platform.kube.create(platform.mailbox("wrong-quota", quota=value))
    assert 400 <= caught.value.status < 500
    assert "spec.quota" in json.loads(caught.value.body)["message"]
