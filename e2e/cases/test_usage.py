"""Usage: what the status of a Mailbox shows is what its user is told, and showing it costs few writes.

Nothing is written while nothing changes.
"""

from __future__ import annotations

import re
import time
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import pytest

from e2e.cases.test_logs import logs
from e2e.cases.test_quota import KIB, quota
from e2e.clients import Account, letter, wait_for_message
from e2e.kube import GROUP, eventually
from e2e.mailbox_state import deliver, mailbox, usage
from e2e.platform import Platform


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
        eventually(partial(agrees_with_imap, platform, account), "usage")
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


@pytest.mark.row("M7", "L1")
def test_usage_is_right_after_concurrent_changes_and_logs_no_error(platform: Platform) -> None:
    accounts = [platform.add_mailbox() for _ in range(5)]
    mail = letter("alice@example.test", "bob@example.test").as_bytes()

    def append(account: Account) -> None:
        for _ in range(4):
            with account.imap(timeout=60) as session:  # forty logins at once, on a node busy with other cases
                session.append("INBOX", mail)

    with ThreadPoolExecutor(40) as pool:
        list(pool.map(append, accounts * 8))

    def all_counted() -> bool:
        return all(usage(platform, account.user).get("messages") == 8 * 4 for account in accounts)

    eventually(all_counted, "what all sessions have appended is counted")
    said = [line for line in logs(platform, "store").splitlines() if re.search(r"quota_clone|dict", line)]
    assert [line for line in said if re.search(r"(Error|Warning|Panic|Fatal):", line)] == []
    for account in accounts:
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

    eventually(all_counted, "all deliveries are counted")
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
