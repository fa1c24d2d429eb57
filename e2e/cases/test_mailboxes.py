"""Mailboxes: addresses in every domain, access by service, protocols and clear text.

Refusals stand beside what is allowed: the wrong password, the stranger, the service that is switched off.
"""

from __future__ import annotations

import base64
import imaplib
import poplib
import smtplib
import socket
import subprocess
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial

import pytest
from imapclient import IMAPClient
from imapclient.exceptions import LoginError

from e2e.clients import Account, letter, rcpt, wait_for_message
from e2e.kube import GROUP, eventually
from e2e.managesieve import ManageSieve, RefusedError, active_script
from e2e.platform import Platform, password_secret
from e2e.post import address, copies, post, present


@pytest.mark.row("M1")
def test_a_user_has_an_address_in_every_domain(platform: Platform, alice: Account) -> None:
    sent = []
    with platform.smtp() as session:
        for domain in platform.domains:
            assert rcpt(session, f"alice@{domain}")[0] == 250
            assert rcpt(session, f"ALICE@{domain.upper()}")[0] == 250, "the case of an address does not matter"
            message = letter("stranger@outside.test", f"alice@{domain}")
            session.send_message(message)
            sent.append(message["Message-ID"])
    for message_id in sent:
        wait_for_message(alice, message_id)


@pytest.mark.row("M1")
def test_login_by_name_or_by_any_address(platform: Platform, alice: Account) -> None:
    for user in ("alice", "ALICE", *(f"alice@{domain}" for domain in platform.domains)):
        with replace(alice, user=user).imap() as session:
            assert session.folder_exists("INBOX")
    for user in ("alice@elsewhere.test", "nobody", "alice'--", 'alice"', "alice\\", "' OR '1'='1"):
        with pytest.raises((LoginError, imaplib.IMAP4.error)):
            replace(alice, user=user).imap()
        alice.imap().logout()  # each refusal lets the next login of this address wait longer, until one succeeds


@pytest.mark.row("M1")
def test_a_wrong_password_is_refused_everywhere(alice: Account) -> None:
    wrong = replace(alice, password="not the password")
    with pytest.raises(LoginError):
        wrong.imap()
    with pytest.raises(poplib.error_proto):
        wrong.pop3()
    with pytest.raises(smtplib.SMTPAuthenticationError) as caught:
        wrong.submission()
    assert caught.value.smtp_code == 535


@pytest.mark.row("M1")
def test_a_changed_password_counts_at_once(platform: Platform) -> None:
    account = platform.add_mailbox()
    account.imap().logout()
    changed = replace(account, password="another Pa$$w0rd 'quoted' \"twice\" {not} a=hash")
    platform.kube.apply(password_secret(platform.namespace, f"{account.user}-password", {"password": changed.password}))

    def look() -> bool:
        try:
            changed.imap().logout()
        except LoginError:
            return False
        return True

    eventually(look, "the new password works", timeout=15)
    with pytest.raises(LoginError):
        account.imap()
    platform.remove_mailbox(account.user)


@pytest.mark.row("M1")
@pytest.mark.parametrize("prefix", ["{SHA512-CRYPT}", "{CRYPT}", ""], ids=["scheme", "crypt", "bare"])
def test_a_hash_is_accepted_as_it_is(platform: Platform, prefix: str) -> None:
    value = (
        prefix
        + subprocess.run(
            ["openssl", "passwd", "-6", "secret"], check=True, capture_output=True, text=True
        ).stdout.strip()
    )
    account = platform.add_mailbox()
    platform.kube.apply(password_secret(platform.namespace, f"{account.user}-password", {"password": value}))
    hashed = replace(account, password="secret")

    def look() -> bool:
        try:
            hashed.imap().logout()
        except LoginError:
            return False
        return True

    eventually(look, "the hashed password works", timeout=15)
    with pytest.raises(LoginError):
        replace(account, password=value).imap()
    platform.remove_mailbox(account.user)


@pytest.mark.row("M1")
def test_any_character_may_stand_in_a_password(platform: Platform) -> None:
    account = platform.add_mailbox()
    word = "pa…ss%e9word€ %u %{user} 'quoted'"
    platform.kube.apply(password_secret(platform.namespace, f"{account.user}-password", {"password": word}))
    response = base64.b64encode(f"\0{account.user}\0{word}".encode()).decode()

    def look() -> bool:
        with IMAPClient(platform.hostname, 993, ssl=True, ssl_context=account.context(), timeout=20) as session:
            try:
                session.plain_login(account.user, word)
            except LoginError:
                return False
            return True

    eventually(look, "the password works with IMAP", timeout=15)
    with account.secure() as session:
        session.ehlo()
        assert session.docmd("AUTH PLAIN", response)[0] == 235
    replace(account, password=word).pop3().quit()
    ManageSieve(replace(account, password=word)).login().close()
    platform.remove_mailbox(account.user)


@pytest.mark.row("M2")
def test_a_service_switched_off_refuses_the_login_and_keeps_the_mail(platform: Platform) -> None:
    account = platform.add_mailbox(access={"imap": False, "pop3": True, "smtp": False, "sieve": True})
    with pytest.raises(LoginError):
        account.imap()
    with pytest.raises(smtplib.SMTPAuthenticationError):
        account.submission()
    message = letter("stranger@outside.test", f"{account.user}@example.test")
    with platform.smtp() as session:
        session.send_message(message)

    def look() -> bool:
        session = account.pop3()
        try:
            count = session.stat()[0]
            return any(message["Message-ID"].encode() in b"\n".join(session.retr(i + 1)[1]) for i in range(count))
        finally:
            session.quit()

    eventually(look, "POP3 shows the message")
    platform.kube.apply(
        platform.mailbox(account.user, access={"imap": True, "pop3": False, "smtp": True, "sieve": True})
    )
    platform.kube.wait_condition("Mailbox", platform.namespace, account.user, "Ready")
    wait_for_message(account, message["Message-ID"])
    account.submission().quit()
    with pytest.raises(poplib.error_proto):
        account.pop3()
    platform.remove_mailbox(account.user)


@pytest.mark.row("M1")
def test_a_deleted_mailbox_is_closed_at_once(platform: Platform) -> None:
    account = platform.add_mailbox()
    with platform.smtp() as session:
        assert rcpt(session, f"{account.user}@example.test")[0] == 250
    platform.remove_mailbox(account.user)
    eventually(lambda: platform.answer(f"{account.user}@example.test") == 550, "the deleted mailbox is refused")
    with pytest.raises(LoginError):
        account.imap()


@pytest.mark.row("M2")
@pytest.mark.row("B2")
@pytest.mark.parametrize("change", ["deleted", "switched off"])
def test_open_submission_sessions_end_when_smtp_access_is_removed(
    platform: Platform, alice: Account, change: str
) -> None:
    account = platform.add_mailbox()
    names = (account.user, f"{account.user.upper()}@example.org")
    sessions = [replace(account, user=name).submission(port) for name in names for port in (587, 465)]
    other = alice.submission()
    for session in (*sessions, other):
        assert rcpt(session, "bob@example.test", sender="alice@example.test")[0] == 250
    if change == "deleted":
        platform.kube.delete(GROUP, "Mailbox", platform.namespace, account.user)
    else:
        platform.kube.apply(platform.mailbox(account.user, access={"smtp": False}))

    def shown_out(session: smtplib.SMTP) -> bool:
        session.mail(f"{account.user}@example.test")
        code, text = session.rcpt("bob@example.test")
        assert code in {250, 421}, text
        if code == 250:
            session.rset()
        return code == 421

    for session in sessions:
        eventually(partial(shown_out, session), "the session is over", timeout=15)
        with pytest.raises(smtplib.SMTPServerDisconnected):
            session.noop()
    with pytest.raises(smtplib.SMTPAuthenticationError):
        account.submission()
    assert rcpt(other, "bob@example.test", sender="alice@example.test")[0] == 250, "others notice nothing"
    other.quit()
    platform.remove_mailbox(account.user)


@pytest.mark.row("M1")
def test_a_missing_password_secret_is_named_and_mended_by_its_coming(platform: Platform) -> None:
    user = "late-secret"
    platform.kube.apply(platform.mailbox(user))
    refusal = platform.kube.wait_condition("Mailbox", platform.namespace, user, "Accepted", "False")
    assert refusal["reason"] == "SecretNotFound"
    assert f"{user}-password" in refusal["message"]
    platform.kube.apply(password_secret(platform.namespace, f"{user}-password", {"password": "here at last"}))
    platform.kube.wait_condition("Mailbox", platform.namespace, user, "Ready")
    platform.account(user, "here at last").imap().logout()
    platform.remove_mailbox(user)


@pytest.mark.row("M6")
def test_tls_is_required_before_login(platform: Platform, alice: Account) -> None:
    with IMAPClient(platform.hostname, 143, ssl=False, timeout=20) as session:
        assert b"LOGINDISABLED" in session.capabilities()
        with pytest.raises(LoginError):
            session.login(alice.user, alice.password)
    session = poplib.POP3(platform.hostname, 110, timeout=20)
    with pytest.raises(poplib.error_proto):
        session.user(alice.user)
    session.close()
    demands_tls(platform)


def demands_tls(platform: Platform) -> None:
    """Hold submission to TLS before anything else."""
    with smtplib.SMTP(platform.hostname, 587, timeout=20) as submission:
        submission.ehlo()
        assert "auth" not in submission.esmtp_features
        assert submission.docmd("AUTH PLAIN")[0] in {503, 530, 538}
        assert submission.docmd("MAIL FROM:<alice@example.test>")[0] == 530


def login_in_clear_text(account: Account, port: int) -> bool:
    """Whether the password is taken without TLS."""
    try:
        if port == 110:
            session = poplib.POP3(account.hostname, port, timeout=20)
            try:
                session.user(account.user)
                session.pass_(account.password)
            finally:
                session.close()
        elif port == 4190:
            with ManageSieve(account, tls=False) as sieve:
                sieve.login()
        else:
            with IMAPClient(account.hostname, port, ssl=False, timeout=20) as imap:
                imap.login(account.user, account.password)
    except (LoginError, poplib.error_proto, RefusedError):
        return False
    return True


def closed(platform: Platform, port: int) -> bool:
    """Whether nobody listens on a port; how a closed one refuses is the network's choice."""
    try:
        with socket.create_connection((platform.hostname, port), timeout=2) as connection:
            return not greeted(connection)
    except OSError:
        return True


def greeted(connection: socket.socket) -> bool:
    """Whether the other side greets, or waits for TLS."""
    try:
        return bool(connection.recv(1))
    except TimeoutError:
        return True


@pytest.mark.row("M6")
def test_clear_text_and_protocols_by_switch(platform: Platform, alice: Account) -> None:
    def switch(*protocols: str) -> None:
        changed = {"imap": {"allowClearText": True, "protocols": protocols}}
        platform.kube.patch(GROUP, "MailServer", platform.namespace, platform.name, {"spec": changed})
        platform.kube.wait_condition("MailServer", platform.namespace, platform.name, "Ready")

    def open_in_clear_text(port: int) -> bool:
        try:
            return not closed(platform, port) and login_in_clear_text(alice, port)
        except (imaplib.IMAP4.error, OSError):  # listeners change right now
            return False

    def all_closed(*ports: int) -> bool:
        with ThreadPoolExecutor(len(ports)) as at_once:
            return all(at_once.map(lambda port: closed(platform, port), ports))

    try:
        switch("IMAP")
        eventually(lambda: open_in_clear_text(143), "a login in clear text works")
        eventually(lambda: all_closed(110, 995, 4190), "POP3 and ManageSieve are off")
        alice.imap(993).logout()
        switch("POP3", "ManageSieve")
        eventually(lambda: open_in_clear_text(110), "a login in clear text works")
        eventually(lambda: all_closed(143, 993), "IMAP is off")
        assert login_in_clear_text(alice, 4190)
        alice.pop3(995).quit()
        demands_tls(platform)
    finally:
        platform.kube.patch(GROUP, "MailServer", platform.namespace, platform.name, {"spec": {"imap": None}})
        platform.kube.wait_condition("MailServer", platform.namespace, platform.name, "Ready")
    eventually(lambda: not closed(platform, 143), "IMAP is back")
    alice.imap().logout()
    assert [login_in_clear_text(alice, port) for port in (143, 110, 4190)] == [False, False, False]


@pytest.mark.row("M8")
def test_a_new_user_finds_the_folders_that_clients_look_for(platform: Platform) -> None:
    account = platform.add_mailbox()
    with account.imap() as session:
        listed = {name: set(flags) for flags, _, name in session.list_folders()}
        subscribed = {name for _, _, name in session.list_sub_folders()}
    assert listed.keys() == {"INBOX", "Archive", "Drafts", "Junk", "Sent", "Trash"}
    for name in listed.keys() - {"INBOX"}:
        assert b"\\" + name.encode() in listed[name], "its use stands beside it"
        assert name in subscribed
    platform.remove_mailbox(account.user)


@pytest.mark.row("M2")
@pytest.mark.row("A1")
def test_a_user_without_an_address_sends_and_reads_and_another_may_have_the_name(
    platform: Platform, alice: Account
) -> None:
    account = platform.add_mailbox(address="Disabled")
    own = f"{account.user}@example.test"
    message = letter(own, "alice@example.test")
    with account.submission() as session:
        session.send_message(message)
        assert rcpt(session, own, sender=own)[0] == 550
    wait_for_message(alice, message["Message-ID"])
    assert platform.answer(own) == 550
    with account.imap() as session:
        assert session.folder_exists("INBOX")
    with present(platform, address(platform, "heir", "alice", localPart=account.user)):
        assert copies(platform, post(platform, own)) == {"alice": 1}
    eventually(lambda: platform.answer(own) == 550, "the name is no address again")
    platform.remove_mailbox(account.user)


@pytest.mark.row("M13")
def test_a_vacation_answers_each_sender_once(platform: Platform, alice: Account, bob: Account) -> None:
    account = platform.add_mailbox()
    own = f"{account.user}@example.test"
    active_script(account, 'require ["vacation"]; vacation :days 1 :subject "Away" "I am away.";')
    for sender in (alice, alice, bob):
        message = letter(f"{sender.user}@example.test", own)
        with sender.submission() as session:
            session.send_message(message)
        assert copies(platform, message)[account.user] == 1
    for sender in (alice, bob):
        with sender.imap() as reading:
            reading.select_folder("INBOX", readonly=True)
            assert len(reading.search(["FROM", own, "SUBJECT", "Away"])) == 1, sender.user
    platform.remove_mailbox(account.user)
