"""Logs: one transaction can be followed by its queue id and Message-ID over all daemons, and logins are on record.

What is read is the standard output of the containers, as an administrator sees it by `kubectl logs`.
"""

from __future__ import annotations

import re

import pytest
from imapclient.exceptions import LoginError

from e2e.clients import Account, letter, wait_for_message
from e2e.kube import eventually
from e2e.platform import Platform
from e2e.processes import containers


def logs(platform: Platform, component: str) -> str:
    """The recent lines of all containers of a component, pod by pod."""
    texts = []
    for pod in platform.kube.pods(platform.namespace, component, platform.name):
        for container in containers(pod):
            name = pod["metadata"]["name"]
            texts.append(platform.kube.logs(platform.namespace, name, container["name"], since_seconds=120))
    return "\n".join(texts)


@pytest.mark.row("L1")
def test_one_message_is_followed_through_all_daemons(platform: Platform, alice: Account, bob: Account) -> None:
    message = letter("alice@example.test", "bob@example.org", subject="To be traced")
    message_id = message["Message-ID"]
    with alice.submission() as session:
        session.send_message(message)
    wait_for_message(bob, message_id)

    def story() -> bool:
        postfix = logs(platform, "smtp")
        found = re.search(rf"cleanup\[\d+\]: (\w+): message-id={re.escape(message_id)}", postfix)
        assert found, "the queue id stands beside the Message-ID"
        queue_id = found[1]
        assert re.search(rf"smtpd\[\d+\]: {queue_id}: client=.*sasl_username=alice", postfix), "who sent it"
        delivery = rf"lmtp\[\d+\]: {queue_id}: to=<bob@mailbox\.invalid>, orig_to=<bob@example\.org>.*status=sent"
        assert re.search(delivery, postfix), "the mailbox, and the address that led there"
        rspamd = logs(platform, "filter")
        assert re.search(rf"qid: <{queue_id}>.*rcpts: <bob@example\.org>", rspamd), "the address that it was sent to"
        assert message_id.strip("<>") in rspamd
        stored = rf"lmtp\(bob\).*msgid={re.escape(message_id)}: stored mail into mailbox 'INBOX'"
        assert re.search(stored, logs(platform, "store")), "where it lies"
        return True

    eventually(story, "every daemon has written its part")


@pytest.mark.row("L2")
def test_logins_and_logouts_are_logged(platform: Platform) -> None:
    account = platform.add_mailbox()
    account.imap().logout()
    with pytest.raises(LoginError):
        type(account)(account.hostname, account.user, "wrong-password-of-the-log-test", account.ca).imap()

    def look() -> bool:
        text = logs(platform, "imap")
        assert re.search(rf"imap-login: .*[Ll]ogin.*user=<{account.user}>.*rip=", text), "the login"
        assert re.search(rf"imap-login: .*([Dd]isconnected|Logged out).*user=<{account.user}>", text), "the logout"
        assert re.search(rf"user=<{account.user}>.*auth failed|auth failed.*user=<{account.user}>", text), "the refusal"
        return True

    eventually(look, "login, logout and refusal in the log")
    platform.remove_mailbox(account.user)


@pytest.mark.row("L1")
def test_no_log_holds_a_password(platform: Platform) -> None:
    account = platform.add_mailbox()
    account.imap().logout()
    account.submission().quit()
    with pytest.raises(LoginError):
        type(account)(account.hostname, account.user, "wrong-password-of-the-log-test", account.ca).imap()
    for component in ("smtp", "imap", "store", "filter", "valkey"):
        text = logs(platform, component)
        assert account.password not in text
        assert "wrong-password-of-the-log-test" not in text
    platform.remove_mailbox(account.user)
