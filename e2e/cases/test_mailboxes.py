"""Mailboxes: addresses in every domain, access by service, protocols and clear text.

Refusals stand beside what is allowed: the wrong password, the stranger, the service that is switched off.
"""

from __future__ import annotations

import base64
import imaplib
import poplib
import smtplib
import subprocess
from dataclasses import replace

import pytest
from imapclient import IMAPClient
from imapclient.exceptions import LoginError

from e2e.clients import Account, letter, rcpt, wait_for_message
from e2e.kube import GROUP, eventually
from e2e.managesieve import ManageSieve
from e2e.platform import Platform, password_secret


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

    eventually(look, "POP3 shows the message", timeout=30)
    platform.kube.apply(
        platform.mailbox(account.user, access={"imap": True, "pop3": False, "smtp": True, "sieve": True})
    )
    platform.kube.wait_condition("Mailbox", platform.namespace, account.user, "Ready", timeout=30)
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


@pytest.mark.row("M1")
def test_a_missing_password_secret_is_named_and_mended_by_its_coming(platform: Platform) -> None:
    user = "late-secret"
    platform.kube.apply(platform.mailbox(user))
    refusal = platform.kube.wait_condition("Mailbox", platform.namespace, user, "Accepted", "False", timeout=30)
    assert refusal["reason"] == "SecretNotFound"
    assert f"{user}-password" in refusal["message"]
    platform.kube.apply(password_secret(platform.namespace, f"{user}-password", {"password": "here at last"}))
    platform.kube.wait_condition("Mailbox", platform.namespace, user, "Ready", timeout=30)
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
    with smtplib.SMTP(platform.hostname, 587, timeout=20) as submission:
        submission.ehlo()
        assert "auth" not in submission.esmtp_features
        assert submission.docmd("AUTH PLAIN")[0] in {503, 530, 538}
        assert submission.docmd("MAIL FROM:<alice@example.test>")[0] == 530


@pytest.mark.row("M6")
def test_clear_text_and_protocols_by_switch(platform: Platform, alice: Account) -> None:
    changed = {"imap": {"allowClearText": True, "protocols": ["IMAP"]}}
    platform.kube.patch(GROUP, "MailServer", platform.namespace, platform.name, {"spec": changed})
    try:
        platform.kube.wait_condition("MailServer", platform.namespace, platform.name, "Ready", timeout=60)

        def clear_text() -> bool:
            with IMAPClient(platform.hostname, 143, ssl=False, timeout=20) as session:
                try:
                    session.login(alice.user, alice.password)
                except LoginError:
                    return False
                return True

        eventually(clear_text, "a login in clear text works", timeout=30)

        def pop3_is_off() -> bool:
            try:
                poplib.POP3(platform.hostname, 110, timeout=2).close()
            except (OSError, poplib.error_proto):
                return True
            return False

        eventually(pop3_is_off, "POP3 is off", timeout=30)
        with pytest.raises(OSError):  # noqa: PT011 -- how a closed port refuses is the network's choice
            ManageSieve(alice).close()
    finally:
        platform.kube.patch(GROUP, "MailServer", platform.namespace, platform.name, {"spec": {"imap": None}})
        platform.kube.wait_condition("MailServer", platform.namespace, platform.name, "Ready", timeout=60)
    eventually(lambda: alice.pop3().quit(), "POP3 is back", timeout=30)
    ManageSieve(alice).login().close()
    with IMAPClient(platform.hostname, 143, ssl=False, timeout=20) as session, pytest.raises(LoginError):
        session.login(alice.user, alice.password)
