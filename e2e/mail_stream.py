"""A stream of submissions that records each message the server has acknowledged with 250.

And the comparison with the mailbox. What was acknowledged must be there at least once; what was sent when the session
died is of unknown outcome and may be there or not.
"""

from __future__ import annotations

import imaplib
import smtplib
import threading
from dataclasses import dataclass, field
from types import TracebackType
from typing import Self

from e2e.clients import Account, letter
from e2e.kube import eventually


@dataclass
class AcknowledgedMail:
    """Message-IDs that the server took responsibility for."""

    message_ids: set[str] = field(default_factory=set)

    def missing(self, receiver: Account) -> set[str]:
        """Acknowledged messages that are not in the receiver's mailbox."""
        try:
            with receiver.imap() as session:
                session.select_folder("INBOX", readonly=True)
                found = session.fetch(session.search(["ALL"]) or [0], ["BODY.PEEK[HEADER.FIELDS (MESSAGE-ID)]"])
        except (imaplib.IMAP4.error, OSError) as error:
            raise AssertionError(f"the mailbox is not served yet: {error}") from error
        held = b"\n".join(part[b"BODY[HEADER.FIELDS (MESSAGE-ID)]"] for part in found.values()).decode()
        return {message_id for message_id in self.message_ids if message_id not in held}

    def check(self, receiver: Account, timeout: float = 120) -> None:
        """Wait until every acknowledged message is there."""

        def complete() -> bool:
            lost = self.missing(receiver)
            assert not lost, (
                f"{len(lost)} of {len(self.message_ids)} acknowledged messages are missing: {sorted(lost)[:3]}"
            )
            return True

        eventually(complete, "all acknowledged mail is there", timeout=timeout, every=1)


class Stream:
    """Submits letters one after another in one session until stopped; a dropped session is counted and opened anew."""

    def __init__(
        self, sender: Account, recipient: str, acknowledged: AcknowledgedMail, sender_address: str = ""
    ) -> None:
        self.sender = sender
        self.recipient = recipient
        self.acknowledged = acknowledged
        self.address = sender_address or f"{sender.user}@example.test"
        self.refusals: list[str] = []
        self.reconnects = 0
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="stream", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        self._thread.join(timeout=60)

    def _run(self) -> None:
        session: smtplib.SMTP | None = None
        opened = 0
        while not self._stop.is_set():
            try:
                if session is None:
                    session = self.sender.submission()
                    self.reconnects = opened
                    opened += 1
                self._send(session)
            except (smtplib.SMTPServerDisconnected, OSError) as error:
                if not isinstance(error, smtplib.SMTPResponseException):
                    session = None
                self._note(error)
            self._stop.wait(0.02)
        if session is not None:
            session.close()

    def _send(self, session: smtplib.SMTP) -> None:
        message = letter(self.address, self.recipient, subject="Stream")
        try:
            session.send_message(message)
        except (smtplib.SMTPRecipientsRefused, smtplib.SMTPSenderRefused, smtplib.SMTPDataError) as error:
            self._note(error)
            return
        self.acknowledged.message_ids.add(message["Message-ID"])

    def _note(self, error: Exception) -> None:
        self.refusals.append(repr(error))
        self._stop.wait(0.2)
