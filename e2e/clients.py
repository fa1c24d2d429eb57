"""Real mail clients as the cases use them: SMTP, IMAP, POP3 and ManageSieve with certificates checked by name.

A platform's client Services are reached under its host name, as a user would: `Directory` answers for the DNS of the
outside.
"""

from __future__ import annotations

import imaplib
import poplib
import smtplib
import socket
import ssl
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from email.message import EmailMessage
from email.utils import formatdate, make_msgid
from typing import Any
from unittest import mock

from imapclient import IMAPClient

from e2e.kube import eventually

SMTP_PORTS = frozenset({25, 465, 587})
SECONDS = 20


@dataclass
class Directory:
    """Answers name look-ups of this process: (host name, is it an SMTP port) -> address of the Service."""

    addresses: dict[tuple[str, bool], str] = field(default_factory=dict)

    @contextmanager
    def installed(self) -> Iterator[None]:
        real = socket.getaddrinfo

        def look_up(host: Any, port: Any, *rest: Any, **named: Any) -> Any:  # noqa: ANN401
            number = int(port) if port is not None else 0
            return real(self.addresses.get((host, number in SMTP_PORTS), host), port, *rest, **named)

        with mock.patch.object(socket, "getaddrinfo", look_up):
            yield


@contextmanager
def closing_on_refusal(close: Callable[[], object]) -> Iterator[None]:
    """Close a session whose login was refused, and pass the refusal on."""
    try:
        yield
    except Exception:
        close()
        raise


@dataclass(frozen=True)
class Account:
    """How one user reaches one platform."""

    hostname: str
    user: str
    password: str
    ca: str

    def context(self) -> ssl.SSLContext:
        return ssl.create_default_context(cadata=self.ca)

    def secure(self, port: int = 587) -> smtplib.SMTP:
        """An SMTP session in TLS, not logged in."""
        if port == 465:
            return smtplib.SMTP_SSL(self.hostname, port, timeout=SECONDS, context=self.context())
        session = smtplib.SMTP(self.hostname, port, timeout=SECONDS)
        session.starttls(context=self.context())
        return session

    def submission(self, port: int = 587) -> smtplib.SMTP:
        """A logged-in submission session."""
        session = self.secure(port)
        with closing_on_refusal(session.close):
            session.login(self.user, self.password)
        return session

    def imap(self, port: int = 993, timeout: float = SECONDS) -> IMAPClient:
        """A logged-in IMAP session."""
        if port == 993:
            session = IMAPClient(self.hostname, port, ssl=True, ssl_context=self.context(), timeout=timeout)
        else:
            session = IMAPClient(self.hostname, port, ssl=False, timeout=timeout)
            session.starttls(self.context())
        with closing_on_refusal(session.shutdown):
            session.login(self.user, self.password)
        return session

    def pop3(self, port: int = 995) -> poplib.POP3:
        """A logged-in POP3 session."""
        session: poplib.POP3
        if port == 995:
            session = poplib.POP3_SSL(self.hostname, port, timeout=SECONDS, context=self.context())
        else:
            session = poplib.POP3(self.hostname, port, timeout=SECONDS)
            session.stls(self.context())
        with closing_on_refusal(session.close):
            session.user(self.user)
            session.pass_(self.password)
        return session


def letter(sender: str, recipient: str, subject: str = "A letter", body: str = "Dear reader,\n") -> EmailMessage:
    """A small message with a Message-ID of its own."""
    message = EmailMessage()
    message["From"] = sender
    message["To"] = recipient
    message["Subject"] = subject
    message["Date"] = formatdate()
    message["Message-ID"] = make_msgid(domain=sender.rpartition("@")[2] or "example.test")
    message.set_content(body)
    return message


def find_message(session: IMAPClient, message_id: str, folder: str = "INBOX") -> bytes | None:
    """The message with that Message-ID as it is stored, or None."""
    if not session.folder_exists(folder):
        return None
    session.select_folder(folder, readonly=True)
    found = session.search(["HEADER", "MESSAGE-ID", message_id.strip("<>")])
    if not found:
        return None
    return bytes(session.fetch(found[:1], ["BODY.PEEK[]"])[found[0]][b"BODY[]"])


def wait_for_message(account: Account, message_id: str, folder: str = "INBOX", timeout: float = 120) -> bytes:
    """Read a message over IMAP as soon as it is there."""
    with account.imap() as session:
        return bytes(eventually(lambda: find_message(session, message_id, folder), f"message {message_id}", timeout))


def wait_for_message_when_back(account: Account, message_id: str) -> None:
    """Read the message although logins fail until the store is back."""

    def look() -> bytes | None:
        try:
            return wait_for_message(account, message_id, timeout=1)
        except Exception as error:
            raise AssertionError(repr(error)) from error

    eventually(look, f"message {message_id}", timeout=300, every=1)


def refused(error: smtplib.SMTPException | imaplib.IMAP4.error) -> tuple[int, str]:
    """Reply code and text of a refusal."""
    if isinstance(error, smtplib.SMTPRecipientsRefused):
        code, answer = next(iter(error.recipients.values()))
        return code, answer.decode(errors="replace")
    if isinstance(error, smtplib.SMTPResponseException):
        text = error.smtp_error
        return error.smtp_code, text if isinstance(text, str) else text.decode(errors="replace")
    raise AssertionError(f"not a refusal with a code: {error!r}")


def rcpt(session: smtplib.SMTP, recipient: str, sender: str = "stranger@outside.test") -> tuple[int, str]:
    """The server's answer to RCPT TO, in a transaction that is then dropped."""
    session.ehlo_or_helo_if_needed()
    code, text = session.mail(sender)
    if code == 250:
        code, text = session.rcpt(recipient)
    session.rset()
    return code, text.decode(errors="replace")
