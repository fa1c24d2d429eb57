"""What was sent is what arrives: local delivery keeps every octet, and what leaves needs no change on its way.

Signatures are verified where a receiver would, also one that speaks neither 8BITMIME nor SMTPUTF8.
"""

from __future__ import annotations

import base64
import email
import email.message
import quopri
import random
import re
import secrets
import smtplib
from collections.abc import Iterator
from dataclasses import dataclass
from email.utils import parsedate_to_datetime

import pytest

from e2e import turns
from e2e.clients import Account, find_message
from e2e.kube import eventually
from e2e.platform import Platform
from e2e.post import SENDER, address, present
from e2e.signatures import verified
from e2e.world import World
from e2e.world.peer import Peer

LONGEST = 998
UTF8 = b"MIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: 8bit\r\n"
REFERENCES = b"References:" + b" <%s@example.test>" * 32 % ((b"0123456789abcdef" * 2,) * 32) + b"\r\n"


@dataclass(frozen=True, slots=True)
class Sent:
    """A message as it was written, and the Message-ID that it is found by."""

    identity: str
    raw: bytes

    @property
    def body(self) -> bytes:
        return body(self.raw)


def written(head: bytes, body: bytes, *, sender: str = "alice@example.test") -> Sent:
    identity = f"<{secrets.token_hex(8)}@example.test>"
    common = (
        f"From: {sender}\r\nTo: bob@example.test\r\nDate: Mon, 2 Nov 2026 10:00:00 +0000\r\nMessage-ID: {identity}\r\n"
    )
    subject = b"" if b"Subject:" in head else b"Subject: As it is\r\n"
    return Sent(identity, common.encode() + subject + head + b"\r\n" + body)


def body(message: bytes) -> bytes:
    return message.replace(b"\r\n", b"\n").partition(b"\n\n")[2].rstrip(b"\n")


def submit(account: Account, sent: Sent, *recipients: str) -> None:
    with account.submission() as session:
        session.sendmail("alice@example.test", recipients, sent.raw)


def leaves_of(message: bytes) -> Iterator[tuple[str, bytes]]:
    """Type and decoded content of each part that is no container."""
    for part in email.message_from_bytes(message).walk():
        if not part.is_multipart():
            content = part.get_payload(decode=True)
            assert isinstance(content, bytes)
            yield part.get_content_type(), content.replace(b"\r\n", b"\n").rstrip(b"\n")


def error_text(error: smtplib.SMTPDataError) -> bytes:
    text = error.smtp_error
    return text.encode() if isinstance(text, str) else text


@pytest.fixture(scope="module")
def old(world: World) -> Peer:
    """A receiver that speaks neither 8BITMIME nor SMTPUTF8."""
    peer = world.start_peer("mx.old.test", extensions=False)
    world.receives_for(f"old-{turns.worker()}.test", peer)
    return peer


def stored_for(account: Account, identity: str) -> bytes:
    """A message as it is kept, in whatever folder the filter wants it."""
    with account.imap() as session:

        def look() -> bytes | None:
            return find_message(session, identity) or find_message(session, identity, "Junk")

        return bytes(eventually(look, f"message {identity}", 120))


def arrived(peer: Peer, sent: Sent) -> bytes:
    (came,) = peer.wait(where=lambda one: sent.identity.encode() in one.content)
    return came.content


UNTOLD = "8 bits that nothing tells of"
UNBREAKABLE = {"body", "999 octets"}
LONG = {
    "references": written(REFERENCES, b"short\r\n"),
    "subject": written(b"Subject:" + b" words" * 240 + b"\r\n", b"short\r\n"),
    "one word": written(b"Subject: " + b"ab" * 700 + b"\r\n", b"short\r\n"),
    "body": written(b"", b"x" * 3000 + b"\r\nend\r\n"),
    "body of 8 bits": written(UTF8, "Grüße, €uro ".encode() * 200 + b"\r\nend\r\n"),
    "short lines of 8 bits": written(UTF8, "Grüße\r\n.\r\n..\r\nFrom here\r\n".encode()),
    UNTOLD: written(b"", "Grüße\r\n".encode()),
    "999 octets": written(b"", b"x" * 999 + b"\r\n"),
    "998 octets": written(b"", b"x" * 998 + b"\r\n"),
}


@pytest.mark.row("D8")
@pytest.mark.parametrize("name", LONG)
def test_mail_that_stays_keeps_every_octet_and_its_signature(
    platform: Platform, alice: Account, bob: Account, name: str
) -> None:
    sent = LONG[name]
    submit(alice, sent, "bob@example.test")
    stored = stored_for(bob, sent.identity)
    assert list(leaves_of(stored)) == list(leaves_of(sent.raw))
    if UTF8 not in sent.raw:  # a body of 8 bits was converted before it was signed, its content is the same
        assert body(stored) == sent.body
    for line in sent.raw.replace(b": 8bit", b": quoted-printable").partition(b"\r\n\r\n")[0].split(b"\r\n"):
        assert line in stored
    assert verified(platform, "example.test", stored)


@pytest.mark.row("D8")
@pytest.mark.parametrize("name", sorted(LONG.keys() - UNBREAKABLE))
def test_mail_that_leaves_is_signed_in_a_form_that_no_server_changes(
    platform: Platform, alice: Account, elsewhere: Peer, old: Peer, name: str
) -> None:
    sent = LONG[name]
    submit(alice, sent, elsewhere.recipient("one"), old.recipient("one"))
    for peer in (elsewhere, old):
        content = arrived(peer, sent)
        assert max(len(line) for line in content.split(b"\r\n")) <= LONGEST
        assert content.isascii() or name == UNTOLD
        assert b"postboat" not in content.lower()
        assert list(leaves_of(content)) == list(leaves_of(sent.raw))
        subjects = [
            email.message_from_bytes(one, policy=email.policy.default)["Subject"] for one in (content, sent.raw)
        ]
        assert subjects[0] == subjects[1]
        assert verified(platform, "example.test", content)


@pytest.mark.row("D8")
def test_a_forward_and_a_hidden_copy_leave_too(platform: Platform, alice: Account, old: Peer) -> None:
    forwarder = platform.add_mailbox(forward={"to": [old.recipient("forward")], "keepCopy": True}).user
    with present(platform, address(platform, "led-on", old.recipient("address"))):
        for number, recipient in enumerate(
            (f"{forwarder}@example.test", "led-on@example.org", f"{forwarder}+t@example.org")
        ):
            sent = written(UTF8, f"{number} Grüße ".encode() * 200 + b"\r\n")
            submit(alice, sent, recipient)
            content = arrived(old, sent)
            assert list(leaves_of(content)) == list(leaves_of(sent.raw))
            assert verified(platform, "example.test", content)
    platform.remove_mailbox(forwarder)


@pytest.mark.row("D8")
def test_messages_of_any_shape_leave_in_a_form_that_no_server_changes(
    platform: Platform, alice: Account, old: Peer
) -> None:
    dice = random.Random(998)  # noqa: S311 -- shapes, no secrets
    shapes = [written(b"MIME-Version: 1.0\r\n" + entity(dice), b"") for _ in range(40)]
    with alice.submission() as session:
        for sent in shapes:
            session.sendmail("alice@example.test", [old.recipient("shapes")], sent.raw)
    for sent in shapes:
        content = arrived(old, sent)
        assert max(len(line) for line in content.split(b"\r\n")) <= LONGEST
        assert list(leaves_of(content)) == list(leaves_of(sent.raw)), sent.raw
        assert verified(platform, "example.test", content), sent.raw


def text(dice: random.Random) -> bytes:
    words = ["a", "Grüße", "€uro", ".", "..", "=", "=3D", "From x", "  ", "\t", "-- ", "日本語" * 400]
    chosen = dice.choices(words, k=dice.randrange(1, 20))
    return dice.choice([" ", "\r\n", " \r\n"]).join(chosen).encode()


def entity(dice: random.Random, depth: int = 0) -> bytes:
    """An entity of MIME, its fields and its body, of a random shape."""
    if depth < 3 and dice.random() < 0.6:
        mark = b"mark%d" % dice.randrange(10**9)
        parts = b"".join(b"--%s\r\n%s\r\n" % (mark, entity(dice, depth + 1)) for _ in range(dice.randrange(1, 4)))
        said = dice.choice([b"", b"Content-Transfer-Encoding: 8bit\r\n"])
        kind = dice.choice([b"multipart/mixed; ", b"multipart/alternative;\r\n "])
        return b'Content-Type: %sboundary="%s"\r\n%s\r\n%s--%s--\r\n' % (kind, mark, said, parts, mark)
    plain = b"Content-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: %s\r\n\r\n%s"
    octets = dice.randbytes(dice.randrange(3000))
    return dice.choice(
        [
            plain % (dice.choice([b"8bit", b"BINARY"]), text(dice)),
            plain % (b"quoted-printable", quopri.encodestring(text(dice).replace(b"\r", b"")).replace(b"\n", b"\r\n")),
            b"Content-Type: image/png\r\nContent-Transfer-Encoding: base64\r\n\r\n"
            + base64.encodebytes(octets).replace(b"\n", b"\r\n"),
            b"\r\nundeclared Gr\xc3\xbc\xc3\x9fe",
            b"Content-Type: message/rfc822\r\n\r\nSubject: x" + b" y" * 300 + b"\r\n" + plain % (b"8bit", text(dice)),
        ]
    )


@pytest.mark.row("D8")
def test_what_cannot_be_broken_is_refused_in_words_when_it_leaves(
    alice: Account, bob: Account, elsewhere: Peer
) -> None:
    signed = b'Content-Type: multipart/signed; boundary="b"\r\n'
    parts = b"--b\r\n\r\n%s\r\n--b\r\n\r\nsignature\r\n--b--\r\n" % (b"y" * 1200)
    word = written(b"X-Word: " + b"z" * 1500 + b"\r\n", b"short\r\n")
    for sent in (word, written(signed, parts), *(LONG[name] for name in sorted(UNBREAKABLE))):
        with pytest.raises(smtplib.SMTPDataError) as caught:
            submit(alice, sent, elsewhere.recipient("word"))
        assert caught.value.smtp_code == 554
        assert b"longer than 998 octets" in error_text(caught.value)
        submit(alice, sent, "bob@example.test")
        assert body(stored_for(bob, sent.identity)) == sent.body


@pytest.mark.row("D2")
def test_mail_from_outside_keeps_every_octet(platform: Platform, bob: Account) -> None:
    for sent in (
        written(UTF8, "ü€日本".encode() * 1000 + b"\r\n" + b"y" * 70_000 + b"\r\nend\r\n", sender=SENDER),
        written(REFERENCES + b"X-Long: " + b"z" * 20_000 + b"\r\n", b"short\r\n", sender=SENDER),
        written(b"X-Folded:" + b"\r\n  many words" * 4000 + b"\r\n", b"short\r\n", sender=SENDER),
    ):
        with platform.smtp() as session:
            session.sendmail(SENDER, ["bob@example.test"], sent.raw)
        stored = stored_for(bob, sent.identity)
        assert body(stored) == sent.body
        assert sent.raw.partition(b"\r\n\r\n")[0].replace(b"\r\n", b"\n") in stored.replace(b"\r\n", b"\n")


@pytest.mark.row("D2")
@pytest.mark.parametrize("size", [70_000, 150_000, 1_500_000])
def test_a_field_too_long_to_be_kept_is_refused_and_not_cut(platform: Platform, alice: Account, size: int) -> None:
    sent = written(b"To-Be-Kept:" + b"\r\n abcdefgh" * (size // 11) + b"\r\n", b"short\r\n")
    with platform.smtp() as session, pytest.raises(smtplib.SMTPDataError) as outside:
        session.sendmail(SENDER, ["bob@example.test"], sent.raw)
    with pytest.raises(smtplib.SMTPDataError) as inside:
        submit(alice, sent, "bob@example.test")
    for caught in (outside, inside):
        assert caught.value.smtp_code == 554
        assert b"header field is longer" in error_text(caught.value)


@pytest.mark.row("D8")
@pytest.mark.parametrize("port", [587, 465])
def test_submission_completes_a_message_before_it_is_signed(
    platform: Platform, alice: Account, bob: Account, elsewhere: Peer, port: int
) -> None:
    word = secrets.token_hex(6)
    head = f"From: alice@example.test\r\nTo: bob@example.test\r\nBcc: hidden@example.test\r\nSubject: {word}\r\n"
    raw = f"{head}\r\nhello\r\n"
    with alice.submission(port) as session:
        session.sendmail("alice@example.test", ["bob@example.test", elsewhere.recipient("bare")], raw)
    (came,) = elsewhere.wait(where=lambda one: word.encode() in one.content)
    message = came.message
    assert message["Message-ID"].endswith("@example.test>")
    assert parsedate_to_datetime(message["Date"]).tzinfo is not None
    assert b"hidden" not in came.content
    (fields,) = re.findall(r"\bh=([^;]+);", str(message["DKIM-Signature"]))
    signed = re.sub(r"\s", "", fields).split(":")
    assert {"date", "message-id", "from", "to", "subject"} <= set(signed)
    assert verified(platform, "example.test", came.content)
    stored = stored_for(bob, message["Message-ID"])
    assert verified(platform, "example.test", stored)
    assert body(stored) == b"hello"


@pytest.mark.row("D2")
def test_port_25_completes_nothing(platform: Platform, bob: Account) -> None:
    word = secrets.token_hex(6)
    raw = f"From: {SENDER}\r\nTo: bob@example.test\r\nSubject: {word}\r\n\r\nhello there, dear Bob\r\n"
    with platform.smtp() as session:
        session.sendmail(SENDER, ["bob@example.test"], raw)
    with bob.imap() as session:

        def look() -> bytes | None:
            for folder in ("INBOX", "Junk"):
                session.select_folder(folder, readonly=True)
                for number in session.search(["SUBJECT", word]):
                    return bytes(session.fetch([number], ["BODY.PEEK[]"])[number][b"BODY[]"])
            return None

        stored = eventually(look, "the bare message", 120)
    assert b"\nDate:" not in stored
    assert b"\nMessage-ID:" not in stored


@pytest.mark.row("D2")
def test_a_long_way_is_no_circle(platform: Platform, bob: Account) -> None:
    hops = b"".join(
        b"Received: from a.test by hop%d.test; Mon, 2 Nov 2026 10:00:00 +0000\r\n" % hop for hop in range(90)
    )
    sent = written(hops, b"from far away\r\n", sender=SENDER)
    with platform.smtp() as session:
        session.sendmail(SENDER, ["bob@example.test"], sent.raw)
    assert stored_for(bob, sent.identity).count(b"hop") == 90
