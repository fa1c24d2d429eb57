"""Spam: what the filter flags goes to Junk or not, and what lies in Junk goes away in time, dormant users included.

The flag is provoked by a message with everything that a bad program does wrong, not by a test pattern.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from email.utils import formatdate
from functools import partial

import pytest

from e2e.clients import Account
from e2e.kube import GROUP, eventually
from e2e.platform import Platform
from e2e.post import spam


@pytest.fixture(scope="module")
def no_move(platform: Platform) -> Iterator[None]:
    """A server that leaves spam in the inbox unless a mailbox says otherwise, and keeps Junk for 20 seconds."""
    given = {"mailboxes": {"junk": {"move": False, "retention": "20s"}}}
    platform.kube.patch(GROUP, "MailServer", platform.namespace, platform.name, {"spec": given})
    platform.kube.wait_condition("MailServer", platform.namespace, platform.name, "Ready")
    yield
    platform.kube.patch(GROUP, "MailServer", platform.namespace, platform.name, {"spec": {"mailboxes": None}})
    platform.kube.wait_condition("MailServer", platform.namespace, platform.name, "Ready")


def honest(platform: Platform, recipient: str, *headers: str) -> str:
    """Send a good message with these headers; return its subject."""
    subject = f"hello-{secrets.token_hex(4)}"
    lines = (
        "From: Friend <friend@outside.test>", f"To: <{recipient}>", f"Subject: {subject}",
        f"Message-ID: <{subject}@outside.test>", f"Date: {formatdate()}",
        "MIME-Version: 1.0", "Content-Type: text/plain; charset=us-ascii", *headers, "", "Dear friend, see you.", "",
    )  # fmt: skip
    with platform.smtp() as session:
        assert not session.sendmail("friend@outside.test", [recipient], "\r\n".join(lines))
    return subject


def where(account: Account, subject: str) -> str:
    """The folder of a message, and the empty text when it is nowhere."""
    with account.imap() as session:
        for folder in ("INBOX", "Junk"):
            session.select_folder(folder, readonly=True)
            if session.search(["SUBJECT", subject]):
                return folder
    return ""


def wait_where(account: Account, subject: str) -> str:
    return str(eventually(lambda: where(account, subject), f"{subject} of {account.user}"))


def files(platform: Platform, account: Account, folder: str) -> list[str]:
    """The messages of a folder as they lie on the volume: a login would be an occasion to clean up."""
    for pod in platform.kube.pods(platform.namespace, "store", platform.name):
        command = ["find", f"/srv/mail/{account.user}/Maildir/{folder}", "-type", "f", "-name", "*,S=*"]
        found = platform.kube.exec(platform.namespace, pod["metadata"]["name"], "dovecot", command)
        if "No such file" not in found:
            return found.split()
    return []


@pytest.mark.row("M8")
def test_flagged_mail_goes_to_junk_unless_the_user_says_no(platform: Platform) -> None:
    mover, keeper = platform.add_mailbox(), platform.add_mailbox(junk={"move": False})
    subject = spam(platform, f"{mover.user}@example.test", f"{keeper.user}+tag@example.org")
    assert wait_where(mover, subject) == "Junk"
    assert wait_where(keeper, subject) == "INBOX"
    with keeper.imap() as session:
        session.select_folder("INBOX", readonly=True)
        assert session.search(["HEADER", "X-Spam", "Yes"]), "the flag is there for scripts of the user's own"
    platform.kube.apply(platform.mailbox(keeper.user, junk={"move": True}))
    platform.kube.wait_condition("Mailbox", platform.namespace, keeper.user, "Ready")
    assert wait_where(keeper, spam(platform, f"{keeper.user}@example.test")) == "Junk"
    for account in (mover, keeper):
        platform.remove_mailbox(account.user)


@pytest.mark.row("M8")
def test_a_stranger_cannot_set_the_flag(platform: Platform) -> None:
    account = platform.add_mailbox()
    subject = honest(platform, f"{account.user}@example.test", "X-Spam: Yes")
    assert wait_where(account, subject) == "INBOX"
    with account.imap() as session:
        session.select_folder("INBOX", readonly=True)
        assert not session.search(["HEADER", "X-Spam", ""]), "the header of the sender is gone"
    platform.remove_mailbox(account.user)


@pytest.mark.row("M8")
@pytest.mark.usefixtures("no_move")
def test_the_defaults_of_the_server_count_where_a_mailbox_says_nothing(platform: Platform) -> None:
    plain = platform.add_mailbox()
    own = platform.add_mailbox(junk={"move": True})
    subject = spam(platform, f"{plain.user}@example.test", f"{own.user}@example.test")
    assert wait_where(plain, subject) == "INBOX"
    assert wait_where(own, subject) == "Junk"
    for account in (plain, own):
        platform.remove_mailbox(account.user)


@pytest.mark.row("M8")
@pytest.mark.usefixtures("no_move")
def test_junk_is_emptied_in_time_also_of_those_who_never_come(platform: Platform) -> None:
    brief = platform.add_mailbox(junk={"move": True})
    long = platform.add_mailbox(junk={"move": True, "retention": "15d"})
    good = honest(platform, f"{brief.user}@example.test")
    subject = spam(platform, f"{brief.user}@example.test", f"{long.user}@example.test")
    for account in (brief, long):
        eventually(partial(files, platform, account, ".Junk"), f"the spam of {account.user}")
    eventually(lambda: not files(platform, brief, ".Junk"), "nobody has logged in, and the spam is gone", timeout=180)
    assert len(files(platform, long, ".Junk")) == 1, "its time has not come"
    assert where(long, subject) == "Junk"
    assert where(brief, good) == "INBOX", "only Junk is emptied"
    for account in (brief, long):
        platform.remove_mailbox(account.user)


@pytest.mark.row("M8")
@pytest.mark.usefixtures("no_move")
def test_the_end_of_a_session_empties_junk_too(platform: Platform) -> None:
    account = platform.add_mailbox(junk={"retention": "1s"})
    with account.imap() as session:
        session.append("Junk", b"Subject: old\r\n\r\nold\r\n")
        session.append("INBOX", b"Subject: old\r\n\r\nold\r\n")

    def junk() -> int:
        with account.imap() as session:
            return int(session.folder_status("Junk", ["MESSAGES"])[b"MESSAGES"])

    eventually(lambda: junk() == 0, "Junk is empty", timeout=45)
    with account.imap() as session:
        assert session.folder_status("INBOX", ["MESSAGES"])[b"MESSAGES"] == 1
    platform.remove_mailbox(account.user)
