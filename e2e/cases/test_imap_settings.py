"""Settings of IMAP that a switch turns on: master user, action log, Trash for deleted mail, connections per address.

All of them are switched at once, in front of an open session that must not notice.
"""

from __future__ import annotations

import poplib
import re
import secrets
import smtplib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, replace

import pytest
from imapclient import IMAPClient
from imapclient.exceptions import IMAPClientError, LoginError

from e2e.cases.test_logs import logs
from e2e.cases.test_quota import fill
from e2e.clients import Account, letter, rcpt, wait_for_message
from e2e.kube import GROUP, eventually
from e2e.managesieve import ManageSieve, RefusedError
from e2e.namesakes import namesakes
from e2e.platform import Platform, manifest, password_secret
from e2e.post import post, present
from e2e.world import World

SECRET = "master-of-the-case"


@dataclass(frozen=True)
class Settings:
    """What the cases of switched settings share: the master's password, and the session that was open all the time."""

    master: str
    held: IMAPClient

    def as_user(self, account: Account, password: str = "") -> Account:
        return replace(account, user=f"{account.user}*root", password=password or self.master)


def switch(platform: Platform, spec: dict[str, object]) -> None:
    platform.kube.patch(GROUP, "MailServer", platform.namespace, platform.name, {"spec": spec})
    platform.kube.wait_condition("MailServer", platform.namespace, platform.name, "Ready")


@pytest.fixture(scope="module")
def settings(platform: Platform, bob: Account) -> Iterator[Settings]:
    master = f"master {secrets.token_urlsafe(8)} €%"
    platform.kube.apply(password_secret(platform.namespace, SECRET, {"word": master}))
    with bob.imap() as held:
        held.select_folder("INBOX")
        switch(platform, {
            "imap": {"logActions": True, "moveDeletedToTrash": True, "maxConnectionsPerUserIP": 3},
            "masterUser": {"passwordSecret": {"name": SECRET, "key": "word"}},
        })  # fmt: skip
        yield Settings(master, held)
        switch(platform, {"imap": None, "masterUser": None})
        held.noop()
        assert held.folder_exists("INBOX"), "the session has outlived all switches"
    platform.kube.delete("v1", "Secret", platform.namespace, SECRET)


def plain_login(account: Account) -> IMAPClient:
    """Log in by AUTHENTICATE PLAIN, which takes any character of a password."""
    session = IMAPClient(account.hostname, 993, ssl=True, ssl_context=account.context(), timeout=20)
    try:
        session.plain_login(account.user, account.password)
    except LoginError:
        session.shutdown()
        raise
    return session


def delivered(platform: Platform, account: Account, count: int = 1) -> list[str]:
    """Deliver messages and tell their ids in the order of their numbers."""
    sent = []
    for _ in range(count):
        message = letter("stranger@outside.test", f"{account.user}@example.test")
        with platform.smtp() as session:
            session.send_message(message)
        wait_for_message(account, message["Message-ID"])
        sent.append(message["Message-ID"])
    return sent


def messages(session: IMAPClient, folder: str) -> int:
    return int(session.folder_status(folder, ["MESSAGES"])[b"MESSAGES"])


@pytest.mark.row("M9")
@pytest.mark.row("M11")
def test_both_are_off_by_default(platform: Platform) -> None:
    account = platform.add_mailbox()
    with pytest.raises(LoginError):
        replace(account, user=f"{account.user}*root").imap()
    delivered(platform, account)
    with account.imap() as session:
        session.select_folder("INBOX")
        session.delete_messages(session.search())
        session.expunge()
        assert messages(session, "INBOX") == messages(session, "Trash") == 0
    platform.remove_mailbox(account.user)


@pytest.mark.row("M9")
def test_the_master_user_opens_any_mailbox(platform: Platform, settings: Settings) -> None:
    account = platform.add_mailbox()
    (message_id,) = delivered(platform, account)
    with plain_login(settings.as_user(account)) as session:
        session.select_folder("INBOX")
        (number,) = session.search(["HEADER", "MESSAGE-ID", message_id.strip("<>")])
        session.set_flags([number], [b"\\Flagged"])
    with account.imap() as session:
        session.select_folder("INBOX", readonly=True)
        assert session.search(["FLAGGED"]), "the password of the user goes on working beside"
    with plain_login(replace(settings.as_user(account), user=f"{account.user}@example.org*root")) as session:
        assert session.folder_exists("INBOX")
    eventually(
        lambda: re.search(rf"imap-login: .*user=<{account.user}>,master=<root>", logs(platform, "imap")),
        "the log says who it was",
    )
    assert not re.search(r"user=<bob>,master=<root>", logs(platform, "imap"))
    platform.remove_mailbox(account.user)


@pytest.mark.row("M15")
@pytest.mark.row("M9")
def test_the_master_user_opens_the_mailbox_of_that_address_and_no_namesake(
    platform: Platform, settings: Settings
) -> None:
    with namesakes(platform) as people:
        for address, account in people.all.items():
            message = letter("stranger@outside.test", address)
            with platform.smtp() as session:
                session.send_message(message)
            wait_for_message(account, message["Message-ID"])
            with plain_login(settings.as_user(replace(account, user=address))) as imap:
                imap.select_folder("INBOX", readonly=True)
                found = imap.search(["ALL"])
                assert len(found) == 1, address
                assert imap.search(["HEADER", "MESSAGE-ID", message["Message-ID"].strip("<>")]) == found, address
        for password in (people.here.password, people.general.password):
            with pytest.raises(LoginError):
                plain_login(replace(people.here, user=f"{people.here.user}*root", password=password))


@pytest.mark.row("M1")
@pytest.mark.row("M9")
@pytest.mark.parametrize("name", ["edge", "visitor", "root"])
def test_a_user_with_a_name_like_that_of_a_technical_login_reads_his_mail(
    platform: Platform, settings: Settings, name: str
) -> None:
    account = platform.add_mailbox(name)
    (message_id,) = delivered(platform, account)
    pop3 = account.pop3()
    assert message_id.encode() in b"\n".join(pop3.retr(1)[1])
    pop3.quit()
    with ManageSieve(account) as session:
        assert session.login().scripts() == {}
    master = settings.as_user(replace(account, user=f"{name}@example.test"))
    with plain_login(master) as session:
        session.select_folder("INBOX")
        assert session.search(), "the master user opens this mailbox as any other"
    if name != "root":  # whose own logins look alike in the log
        assert f"user=<{name}>,master=<root>" in logs(platform, "imap")
    platform.remove_mailbox(name)


@pytest.mark.row("M9")
def test_the_master_user_has_all_rights_of_the_user(platform: Platform, settings: Settings) -> None:
    account = platform.add_mailbox()
    master = settings.as_user(account)
    delivered(platform, account)
    common = f"common-{account.user}"
    owners = [{"name": account.user, "rights": "Full"}]
    with (
        present(platform, manifest("Mailbox", platform.namespace, common, {"type": "Public", "owners": owners})),
        plain_login(master) as session,
    ):
        session.select_folder("INBOX")
        session.delete_messages(session.search())
        session.expunge()
        session.create_folder("Contracts")
        assert "a" in dict(session.getacl("Contracts"))[account.user.encode()].decode(), "the rights of the user"
        session.setacl("Contracts", "alice", "lrs")
        assert dict(session.getacl("Contracts"))[b"alice"].decode().startswith("lrs")
        session.append(f"Public/{common}", b"Subject: by the master\r\n\r\nbody\r\n")
        assert messages(session, f"Public/{common}") == 1
    with account.imap() as session:
        assert messages(session, "INBOX") == 0
        assert session.folder_exists("Contracts")
    (waiting,) = delivered(platform, account)
    pop3 = master.pop3()
    assert waiting.encode() in b"\n".join(pop3.retr(1)[1])
    pop3.dele(1)
    pop3.quit()
    with ManageSieve(master) as session:
        session.login().put("by-the-master", "keep;")
    with ManageSieve(account) as session:
        assert session.login().scripts() == {"by-the-master": True}
    with account.imap() as session:
        assert messages(session, "INBOX") == 0
    platform.remove_mailbox(account.user)


@pytest.fixture
def locked(platform: Platform) -> Iterator[Account]:
    """A user without a password, with one message."""
    name = f"locked-{secrets.token_hex(2)}"
    with present(platform, manifest("Mailbox", platform.namespace, name, {})):
        yield platform.account(name, "")


@pytest.mark.row("M9")
def test_a_user_without_a_password_is_open_to_the_master_alone(
    platform: Platform, settings: Settings, locked: Account
) -> None:
    message = post(platform, f"{locked.user}@example.test")
    wait_for_message_by(settings.as_user(locked), message["Message-ID"])
    settings.as_user(locked).pop3().quit()
    strangers = (
        locked,
        replace(locked, password="anything"),
        replace(locked, password=settings.master),
        settings.as_user(locked, "not the master's word"),
        replace(settings.as_user(locked), password=""),
        *(replace(locked, user=f"{locked.user}*{who}", password=settings.master) for who in ("edge", locked.user)),
    )
    with ThreadPoolExecutor(len(strangers) + 1) as all_at_once:
        opened = all_at_once.map(_opens, strangers)
        response = all_at_once.submit(_submission, replace(locked, password="x"))
        assert not any(opened)
        assert response.result() == 535


def wait_for_message_by(master: Account, message_id: str) -> None:
    """Wait for a message in the inbox that the master user looks into."""
    with plain_login(master) as session:
        session.select_folder("INBOX", readonly=True)
        eventually(lambda: session.search(["HEADER", "MESSAGE-ID", message_id.strip("<>")]), f"message {message_id}")


def _submission(account: Account) -> int:
    """The answer to a login for submission that is refused."""
    with pytest.raises(smtplib.SMTPAuthenticationError) as caught:
        account.submission()
    return int(caught.value.smtp_code)


@pytest.mark.row("M9")
def test_what_the_master_user_may_not(platform: Platform, settings: Settings) -> None:
    account = platform.add_mailbox(access={"imap": True, "pop3": False, "sieve": False})
    master = settings.as_user(account)
    refused = (
        settings.as_user(account, "not the master's word"),
        settings.as_user(account, account.password),
        replace(master, user="nobody-at-all*root"),
        replace(master, user=account.user),
        replace(master, user="root"),
        replace(master, user=f"{account.user}*edge"),
    )
    with ThreadPoolExecutor(len(refused)) as all_at_once:  # for each of them waits for its answer
        assert not any(all_at_once.map(_opens, refused))
    assert _opens(master)
    with pytest.raises(poplib.error_proto):
        master.pop3()
    with ManageSieve(master) as session, pytest.raises(RefusedError):
        session.login()
    platform.kube.apply(platform.mailbox(account.user, access={"imap": False}))
    platform.kube.wait_condition("Mailbox", platform.namespace, account.user, "Ready")
    with pytest.raises(LoginError):
        plain_login(master)
    platform.remove_mailbox(account.user)


@pytest.mark.row("M9")
def test_the_master_user_sends_no_mail(platform: Platform, alice: Account, settings: Settings) -> None:
    ascii_master = "plain-master-word"
    platform.kube.apply(password_secret(platform.namespace, SECRET, {"word": ascii_master}))
    try:
        eventually(lambda: _opens(settings.as_user(alice, ascii_master)), "the changed password counts")
        with pytest.raises(smtplib.SMTPAuthenticationError) as caught:
            settings.as_user(alice, ascii_master).submission()
        assert caught.value.smtp_code == 535
    finally:
        platform.kube.apply(password_secret(platform.namespace, SECRET, {"word": settings.master}))
    eventually(lambda: _opens(settings.as_user(alice)), "the first password counts again")


def _opens(account: Account) -> bool:
    try:
        plain_login(account).logout()
    except LoginError:
        return False
    return True


@pytest.mark.row("M9")
def test_a_master_user_without_a_password_is_named_and_harms_nobody(
    platform: Platform, alice: Account, settings: Settings
) -> None:
    platform.kube.delete("v1", "Secret", platform.namespace, SECRET)
    try:
        refusal = platform.kube.wait_condition("MailServer", platform.namespace, platform.name, "Accepted", "False")
        assert refusal["reason"] == "SecretNotFound"
        assert SECRET in refusal["message"]
        assert "spec.masterUser.passwordSecret" in refusal["message"]
        alice.imap().logout()
        eventually(lambda: not _opens(settings.as_user(alice)), "nobody is the master any more")
        with platform.smtp() as session:
            assert rcpt(session, "alice@example.test")[0] == 250
    finally:
        platform.kube.apply(password_secret(platform.namespace, SECRET, {"word": settings.master}))
    platform.kube.wait_condition("MailServer", platform.namespace, platform.name, "Accepted")
    eventually(lambda: _opens(settings.as_user(alice)), "the master is back")


@pytest.mark.row("M10")
@pytest.mark.usefixtures("settings")
def test_actions_are_logged(platform: Platform) -> None:
    account = platform.add_mailbox()
    (message_id,) = delivered(platform, account)
    with account.imap() as session:
        session.select_folder("INBOX")
        session.create_folder("Projects")
        session.copy(session.search(), "Projects")
        session.add_flags(session.search(), [b"\\Seen"])
        session.delete_messages(session.search())
        session.expunge()
        session.append("INBOX", b"Message-ID: <put-here@case.test>\r\n\r\nbody\r\n")
        session.rename_folder("Projects", "Past")
        session.delete_folder("Past")
    actions = (
        rf"copy from INBOX: box=Projects, .*msgid={re.escape(message_id)}",
        rf"flag_change: box=INBOX, .*msgid={re.escape(message_id)}",
        rf"delete: box=INBOX, .*msgid={re.escape(message_id)}",
        rf"expunge: box=INBOX, .*msgid={re.escape(message_id)}",
        r"save: box=INBOX, .*msgid=<put-here@case\.test>",
        r"Mailbox created",
        r"Mailbox renamed",
        r"Mailbox deleted",
    )

    def look() -> bool:
        text = logs(platform, "store")
        for action in actions:
            assert re.search(rf"imap\({account.user}\).*{action}", text), action
        return True

    eventually(look, "every action, with its user")
    platform.remove_mailbox(account.user)


@pytest.mark.row("M11")
@pytest.mark.usefixtures("settings")
def test_deleted_mail_is_in_trash(platform: Platform) -> None:
    account = platform.add_mailbox()
    deleted, moved, moved_at_once = delivered(platform, account, 3)

    def number(session: IMAPClient, message_id: str) -> list[int]:
        return list(session.search(["HEADER", "MESSAGE-ID", message_id.strip("<>")]))

    with account.imap() as session:
        session.select_folder("INBOX")
        session.add_flags(number(session, deleted), [b"\\Seen"])
        session.delete_messages(number(session, deleted))
        session.expunge()
        assert messages(session, "Trash") == 1
        session.create_folder("Kept")
        session.copy(number(session, moved), "Kept")  # as Outlook moves
        session.delete_messages(number(session, moved))
        session.expunge()
        session.move(number(session, moved_at_once), "Kept")
        assert (messages(session, "Trash"), messages(session, "Kept"), messages(session, "INBOX")) == (1, 2, 0)
        session.select_folder("Kept")
        session.delete_messages(number(session, moved))
        session.expunge()
        assert (messages(session, "Trash"), messages(session, "Kept")) == (2, 1), "what was moved can be deleted later"
        session.select_folder("Trash")
        assert session.search(["SEEN"]) == number(session, deleted)
        session.delete_messages(session.search())
        session.expunge()
        assert messages(session, "Trash") == 0, "what is deleted in Trash is gone"
    platform.remove_mailbox(account.user)


@pytest.mark.row("M11")
@pytest.mark.row("M5")
@pytest.mark.usefixtures("settings")
def test_a_full_mailbox_and_a_public_one_lose_nothing_either(platform: Platform) -> None:
    account = platform.add_mailbox(quota="20Ki")
    common = f"bin-{account.user}"
    fill(platform, account, 24)
    owners = [{"name": account.user, "rights": "ReadWrite"}]
    with (
        present(platform, manifest("Mailbox", platform.namespace, common, {"type": "Public", "owners": owners})),
        account.imap() as session,
    ):
        with pytest.raises(IMAPClientError, match="OVERQUOTA"):
            session.append("INBOX", b"Subject: too much\r\n\r\nbody\r\n")
        session.append(f"Public/{common}", b"Subject: common\r\n\r\nbody\r\n")
        kept = 0
        for folder in ("INBOX", f"Public/{common}"):
            session.select_folder(folder)
            kept += len(session.search())
            session.delete_messages(session.search())
            session.expunge()
            assert (messages(session, folder), messages(session, "Trash")) == (0, kept)
        session.select_folder("Trash", readonly=True)
        assert session.search(["SUBJECT", "common"])
    platform.remove_mailbox(account.user)


@pytest.mark.row("M12")
@pytest.mark.usefixtures("settings")
def test_one_connection_too_many_from_one_address_is_refused(platform: Platform, alice: Account, world: World) -> None:
    account = platform.add_mailbox()
    with ExitStack() as sessions:
        for _ in range(3):
            sessions.enter_context(account.imap())
            sessions.callback(account.pop3().quit)
        with pytest.raises(LoginError, match="Maximum number of connections"):
            account.imap()
        with pytest.raises(poplib.error_proto, match="Maximum number of connections"):
            account.pop3()
        with world.outside.entered():
            account.imap().logout()
            account.pop3().quit()
        alice.imap().logout()
        account.submission().quit()
    eventually(lambda: _opens(account), "there is room again")
    platform.remove_mailbox(account.user)


@pytest.mark.row("M9")
@pytest.mark.row("M10")
@pytest.mark.row("M11")
@pytest.mark.row("M12")
def test_what_is_switched_off_again_is_off(platform: Platform, settings: Settings, locked: Account) -> None:
    account = platform.add_mailbox()
    delivered(platform, account)
    assert _opens(settings.as_user(account)), "until now it was on"
    switch(platform, {"imap": None, "masterUser": None})
    with ThreadPoolExecutor(2) as both:
        assert not any(both.map(_opens, (settings.as_user(account), settings.as_user(locked))))
    with ExitStack() as sessions:
        session = [sessions.enter_context(account.imap()) for _ in range(4)][-1]
        session.append("INBOX", b"Subject: kept quiet\r\n\r\nbody\r\n")
        session.select_folder("INBOX")
        session.delete_messages(session.search())
        session.expunge()
        assert messages(session, "INBOX") == messages(session, "Trash") == 0
    own = rf"imap\({account.user}\).*"
    ended = own + r"Logged out .*\bexpunged=2\b"
    eventually(lambda: re.search(ended, logs(platform, "store")), "the end of the session in the log")
    assert not re.search(own + "(save|delete|expunge|flag_change): ", logs(platform, "store"))
    platform.remove_mailbox(account.user)


@pytest.mark.row("B2")
def test_a_session_outlives_the_switches(settings: Settings) -> None:
    settings.held.noop()
    assert settings.held.folder_exists("INBOX")
