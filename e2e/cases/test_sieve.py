"""Sieve scripts of the users' own: kept over ManageSieve, run at delivery, and confined to their own mailbox."""

from __future__ import annotations

import secrets
from dataclasses import replace

import pytest

from e2e.clients import Account, find_message, letter, wait_for_message
from e2e.kube import eventually
from e2e.managesieve import ManageSieve, RefusedError, active_script
from e2e.platform import Platform, manifest
from e2e.post import post, present

VACATION = """require ["vacation", "fileinto", "mailbox"];
vacation :days 1 :subject "Away" "I am in the mountains.";
if header :contains "subject" "work" { fileinto :create "Work"; }
"""


@pytest.mark.row("M13")
def test_a_script_is_uploaded_activated_and_counts(platform: Platform, alice: Account) -> None:
    account = platform.add_mailbox()
    address = f"{account.user}@example.test"
    with ManageSieve(account) as session:
        session.login()
        assert session.scripts() == {}
        session.put("holiday", VACATION, active=False)
        assert session.scripts() == {"holiday": False}
        session.command('SETACTIVE "holiday"')
        assert session.scripts() == {"holiday": True}
    message = letter("alice@example.test", address, subject="About work")
    with alice.submission() as sending:
        sending.send_message(message)
    wait_for_message(account, message["Message-ID"], "Work")

    def reply() -> str:
        with alice.imap() as session:
            session.select_folder("INBOX", readonly=True)
            found = session.search(["FROM", address, "SUBJECT", "Away"])
            return bytes(session.fetch(found[:1], ["BODY.PEEK[]"])[found[0]][b"BODY[]"]).decode() if found else ""

    text = eventually(reply, "the vacation reply")
    assert "I am in the mountains." in text
    assert "Auto-Submitted: auto-replied" in text
    with ManageSieve(account) as session:
        session.login().command('SETACTIVE ""')
        session.command('DELETESCRIPT "holiday"')
        assert session.scripts() == {}
    later = letter("alice@example.test", address, subject="More work")
    with alice.submission() as sending:
        sending.send_message(later)
    wait_for_message(account, later["Message-ID"])
    platform.remove_mailbox(account.user)


@pytest.mark.row("M13")
@pytest.mark.row("M6")
def test_tls_and_the_right_password_are_required(alice: Account) -> None:
    with ManageSieve(alice, tls=False) as session:
        assert '"SASL" ""' in session.capabilities, "no way to log in is offered before TLS"
        assert '"STARTTLS"' in session.capabilities
        with pytest.raises(RefusedError):
            session.login()
    with ManageSieve(replace(alice, password="wrong")) as session, pytest.raises(RefusedError):
        session.login()
    with ManageSieve(alice) as session, pytest.raises(RefusedError):
        session.command("LISTSCRIPTS")
    with ManageSieve(alice) as session:
        assert session.secure
        session.login()


@pytest.mark.row("M2")
def test_managesieve_switched_off_for_a_user(platform: Platform) -> None:
    account = platform.add_mailbox(access={"sieve": False})
    with ManageSieve(account) as session, pytest.raises(RefusedError):
        session.login()
    account.imap().logout()
    platform.kube.apply(platform.mailbox(account.user, access={"sieve": True, "imap": False}))
    platform.kube.wait_condition("Mailbox", platform.namespace, account.user, "Ready")
    with ManageSieve(account) as session:
        session.login()
    platform.remove_mailbox(account.user)


@pytest.mark.row("M13")
@pytest.mark.parametrize(
    "script",
    [
        "this is no script;",
        'require "vnd.dovecot.pipe"; pipe "sh";',
        'require "vnd.dovecot.execute"; execute "sh";',
        'require "vnd.dovecot.filter"; filter "sh";',
        'require "vnd.dovecot.environment"; keep;',
        'require "editheader"; addheader "X-Spam" "No";',
    ],
    ids=["syntax", "pipe", "execute", "filter", "environment", "editheader"],
)
def test_a_script_that_cannot_or_may_not_run_is_refused(bob: Account, script: str) -> None:
    with ManageSieve(bob) as session:
        session.login()
        with pytest.raises(RefusedError):
            session.put("bad", script)
        assert "bad" not in session.scripts()


@pytest.mark.row("M13")
@pytest.mark.parametrize("folder", ["../../{bob}/Maildir", "/srv/mail/{bob}/Maildir", "~{bob}/INBOX", "../{bob}"])
def test_a_script_reaches_no_mailbox_but_its_own(platform: Platform, bob: Account, folder: str) -> None:
    account = platform.add_mailbox()
    target = folder.format(bob=bob.user)
    active_script(account, f'require ["fileinto", "mailbox"]; fileinto :create "{target}";')
    message = letter("stranger@outside.test", f"{account.user}@example.test")
    with platform.smtp() as session:
        session.send_message(message)
    own = eventually(lambda: _folder_of(account, message["Message-ID"]), "the message, in a mailbox of the user's own")
    assert own
    assert not _folder_of(bob, message["Message-ID"])
    platform.remove_mailbox(account.user)


@pytest.mark.row("M13", "M5")
def test_a_script_files_into_a_public_mailbox_only_with_the_right_to_write_there(platform: Platform) -> None:
    writer, reader, stranger = (platform.add_mailbox() for _ in range(3))
    name = f"filed-{secrets.token_hex(2)}"
    folder = f"Public/{name}"
    owners = [{"name": writer.user, "rights": "ReadWrite"}, {"name": reader.user, "rights": "Read"}]
    with present(platform, manifest("Mailbox", platform.namespace, name, {"type": "Public", "owners": owners})):
        for account in (writer, reader, stranger):
            active_script(account, f'require "fileinto"; fileinto "{folder}";')
        filed, *refused = (post(platform, f"{account.user}@example.test") for account in (writer, reader, stranger))
        wait_for_message(writer, filed["Message-ID"], folder)
        wait_for_message(reader, filed["Message-ID"], folder)
        for account, message in zip((reader, stranger), refused, strict=True):
            wait_for_message(account, message["Message-ID"])
            with writer.imap() as session:
                assert find_message(session, message["Message-ID"], folder) is None
        with writer.imap() as session:
            assert find_message(session, filed["Message-ID"]) is None, "it is filed and nowhere else"
        assert not _folder_of(stranger, filed["Message-ID"])
    for account in (writer, reader, stranger):
        platform.remove_mailbox(account.user)


def _folder_of(account: Account, message_id: str) -> str:
    with account.imap() as session:
        closed = {b"\\Noselect", b"\\NonExistent"}  # what only stands above a folder
        names = [name for flags, _, name in session.list_folders() if not closed & set(flags)]
        return next((name for name in names if find_message(session, message_id, name)), "")


@pytest.mark.row("M13")
def test_redirects_work_and_are_few(platform: Platform, bob: Account) -> None:
    account = platform.add_mailbox()
    active_script(account, 'require "copy"; redirect :copy "bob@example.test";')
    message = letter("stranger@outside.test", f"{account.user}@example.test")
    with platform.smtp() as session:
        session.send_message(message)
    wait_for_message(bob, message["Message-ID"])
    wait_for_message(account, message["Message-ID"])
    many = "".join(f'redirect "bob+{number}@example.test";' for number in range(5))
    active_script(account, many)
    flood = letter("stranger@outside.test", f"{account.user}@example.test")
    with platform.smtp() as session:
        session.send_message(flood)
    wait_for_message(account, flood["Message-ID"])
    with bob.imap() as session:
        assert find_message(session, flood["Message-ID"]) is None, "five at once are too many, so there is none"
    platform.remove_mailbox(account.user)


@pytest.mark.row("M13")
def test_nobody_answers_spam(platform: Platform, bob: Account) -> None:
    """The platform's own script comes first: what it moves to Junk meets no script of the user."""
    account = platform.add_mailbox()
    active_script(account, 'redirect "bob@example.test";')
    bad = "From: <winner@outside.test>\r\nX-Mailer: The Bat! (v2.10)\r\nSubject: to-junk-only\r\n\r\nbuy\r\n"
    with platform.smtp() as session:
        session.sendmail("winner@outside.test", [f"{account.user}@example.test"], bad)

    def in_junk() -> list[int]:
        with account.imap() as session:
            session.select_folder("Junk", readonly=True)
            return list(session.search(["SUBJECT", "to-junk-only"]))

    eventually(in_junk, "the spam is in Junk")
    good = letter("stranger@outside.test", f"{account.user}@example.test")
    with platform.smtp() as session:
        session.send_message(good)
    wait_for_message(bob, good["Message-ID"])
    with bob.imap() as session:
        session.select_folder("INBOX", readonly=True)
        assert not session.search(["SUBJECT", "to-junk-only"])
    platform.remove_mailbox(account.user)
