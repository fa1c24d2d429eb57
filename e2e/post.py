"""Mail in motion: one message to several recipients, the end of its way, and where its copies lie.

Copies are counted when the queue is empty again, so that one too many cannot come late.
"""

from __future__ import annotations

import secrets
import smtplib
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from email.message import EmailMessage
from typing import Any

from e2e.clients import letter
from e2e.kube import GROUP, Object, eventually
from e2e.platform import Platform, manifest
from e2e.world.peer import Peer

QUEUED = 180
"""Seconds in which mail comes that was deferred twice: the queue manager looks again after 30 s, then after 60 s."""
SENDER = "stranger@outside.test"


def post(platform: Platform, *recipients: str, sender: str = SENDER, shown: str = "") -> EmailMessage:
    """Send one message to all of them from outside; `shown` stands in To instead of the first one."""
    message = letter(sender, shown or recipients[0])
    with platform.smtp() as session:
        session.send_message(message, sender, recipients)
    return message


def spam(platform: Platform, *recipients: str) -> str:
    """Send a message that looks as bad as a message can; return its subject."""
    subject = f"buy-{secrets.token_hex(4)}"
    text = f"From: <winner@outside.test>\r\nX-Mailer: The Bat! (v2.10)\r\nSubject: {subject}\r\n\r\nbuy\r\n"
    with platform.smtp() as session:
        assert not session.sendmail("winner@outside.test", recipients, text)
    return subject


def copies(platform: Platform, message: EmailMessage) -> Counter[str]:
    """Count, by the folder of each mailbox on the stores, the copies of a message that went its whole way."""
    eventually(lambda: _empty_queue(platform), "the queue is empty again", timeout=QUEUED)
    found: Counter[str] = Counter()
    for pod in platform.kube.pods(platform.namespace, "store", platform.name):
        command = ["grep", "-rlF", "--include=*S=*", message["Message-ID"], "/srv/mail"]
        answer = platform.kube.exec(platform.namespace, pod["metadata"]["name"], "dovecot", command)
        found.update(_mailbox(path) for path in answer.splitlines() if path.startswith("/srv/mail/"))
    return found


def received(peer: Peer, message: EmailMessage) -> list[str]:
    """The recipients of all copies of a message that a peer got."""
    found = [one for one in peer.messages() if message["Message-ID"].encode() in one.content]
    return sorted(recipient for one in found for recipient in one.recipients)


def _mailbox(path: str) -> str:
    """Whose copy it is: mail of users lies in /srv/mail/USER, of public mailboxes in /srv/mail/.public/mail/NAME."""
    steps = path.split("/")[3:]
    return steps[2] if steps[0] == ".public" else steps[0]


def _empty_queue(platform: Platform) -> bool:
    return all("queue is empty" in answer for answer in _postqueue(platform, "-p"))


def queue(platform: Platform) -> str:
    """What waits in the queues of all pods, as Postfix lists it."""
    return "\n".join(_postqueue(platform, "-p"))


def flush(platform: Platform) -> None:
    """Let everything that waits be tried at once."""
    _postqueue(platform, "-f")


def drained(platform: Platform) -> None:
    """Let everything that waits come to its end, so that it is not there when somebody else counts."""

    def look() -> bool:
        if _empty_queue(platform):
            return True
        flush(platform)
        return False

    eventually(look, "the queue is empty", timeout=300, every=3)


def _postqueue(platform: Platform, what: str) -> list[str]:
    pods = platform.kube.pods(platform.namespace, "smtp", platform.name)
    command = ["/usr/sbin/postqueue", "-c", "/run/postboat/active", what]
    return [platform.kube.exec(platform.namespace, pod["metadata"]["name"], "postfix", command) for pod in pods]


@contextmanager
def present(platform: Platform, *objects: Object, ready: bool = True) -> Iterator[None]:
    """Objects that are in force within the block."""
    platform.kube.apply(*objects)
    try:
        for one in objects:
            if ready:
                platform.kube.wait_condition(one["kind"], platform.namespace, one["metadata"]["name"], "Ready")
        yield
    finally:
        for one in reversed(objects):
            platform.kube.delete(GROUP, one["kind"], platform.namespace, one["metadata"]["name"])


@contextmanager
def server_with(platform: Platform, *, ready: bool = True, **spec: Any) -> Iterator[None]:  # noqa: ANN401
    """A MailServer that says more within the block."""
    name, space = platform.name, platform.namespace
    platform.kube.patch(GROUP, "MailServer", space, name, {"spec": spec})
    try:
        if ready:
            platform.kube.wait_condition("MailServer", space, name, "Ready")
        yield
    finally:
        platform.kube.patch(GROUP, "MailServer", space, name, {"spec": dict.fromkeys(spec)})
        platform.kube.wait_condition("MailServer", space, name, "Ready")


def address(platform: Platform, name: str, *destinations: str, **spec: Any) -> Object:  # noqa: ANN401
    """A MailAddress; a destination with an @ is an address, any other the name of a Mailbox."""
    to: Sequence[Mapping[str, str]] = [{"address" if "@" in one else "mailbox": one} for one in destinations]
    return manifest("MailAddress", platform.namespace, name, {"destinations": to, **spec})


def group(platform: Platform, name: str, *members: str, **spec: Any) -> Object:  # noqa: ANN401
    """A group with an address, unless told otherwise; None leaves a field out."""
    whole = {"type": "Group", "members": members, "address": "Enabled", **spec}
    given = {field: value for field, value in whole.items() if value is not None}
    return manifest("Mailbox", platform.namespace, name, given)


def older(platform: Platform, kind: str, name: str) -> None:
    """Wait until whatever is made now is younger than an object: ages count in whole seconds."""
    found = platform.kube.get(GROUP, kind, platform.namespace, name)
    assert found is not None
    made = datetime.fromisoformat(found["metadata"]["creationTimestamp"]).timestamp()
    eventually(lambda: time.time() >= made + 1, "another second")


def verdict(platform: Platform, kind: str, name: str, reason: str) -> str:
    """Wait for a verdict on an object and give the message."""

    def look() -> str | None:
        found = platform.kube.condition(kind, platform.namespace, name, "Accepted")
        return str(found["message"]) if found and found["reason"] == reason else None

    return str(eventually(look, f"{kind} {name}: {reason}"))


def answer(session: smtplib.SMTP, recipient: str, *options: str, sender: str = SENDER) -> tuple[int, str]:
    """The server's answer to RCPT TO with just these characters, in a transaction that is then dropped."""
    session.ehlo_or_helo_if_needed()
    session.command_encoding = "utf-8" if "SMTPUTF8" in options else "ascii"
    session.docmd(f"MAIL FROM:<{sender}>", " ".join(options))
    code, text = session.docmd(f"RCPT TO:<{recipient}>")
    session.rset()
    return code, text.decode(errors="replace")
