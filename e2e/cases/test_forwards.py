"""Forwards to other servers: what looks like spam is refused with a reason, everything else goes on as it came."""

from __future__ import annotations

import secrets
import smtplib
from functools import partial
from typing import TYPE_CHECKING

import pytest

from e2e.cases.test_filter_results import stored
from e2e.cases.test_junk import honest, wait_where
from e2e.kube import GROUP, eventually
from e2e.managesieve import active_script
from e2e.platform import manifest
from e2e.post import address, copies, drained, group, post, present, received, spam

if TYPE_CHECKING:
    from collections.abc import Iterator

    from e2e.clients import Account
    from e2e.kube import Object
    from e2e.platform import Platform
    from e2e.world import World
    from e2e.world.peer import Peer, Received

FORWARD, KEPT = "a forward", "a forward that keeps a copy"
WAYS = (FORWARD, KEPT, "an address", "a group", "a tag", "a catch-all", "the postmaster of a domain")


class Way:
    """An address of ours that leads to a peer, and what it takes for that."""

    def __init__(self, platform: Platform, peer: Peer, kind: str) -> None:
        token = secrets.token_hex(3)
        self.platform, self.user = platform, f"away-{token}"
        self.target = peer.recipient(f"target-{token}")
        self.address = f"{self.user}@example.test"
        self.objects: list[Object] = []
        self.keeps = kind == KEPT
        platform.add_mailbox(self.user, forward={"to": [self.target], "keepCopy": self.keeps})
        if kind == "an address":
            self.address = f"info-{token}@example.org"
            self.objects = [address(platform, f"info-{token}", "bob", self.target)]
        elif kind == "a group":
            self.address = f"team-{token}@example.test"
            self.objects = [group(platform, f"team-{token}", "bob", self.user)]
        elif kind == "a tag":
            self.address = f"{self.user}+tag@example.org"
        elif kind == "a catch-all":
            caught = {"action": "Deliver", "mailbox": self.user}
            spec = {"delivery": "Local", "unknownRecipients": caught}
            self.address = f"anybody@catch-{token}.test"
            self.objects = [manifest("MailDomain", platform.namespace, f"catch-{token}.test", spec)]
        elif kind == "the postmaster of a domain":
            self.address = "postmaster@example.org"
            name = f"postmaster-{token}"
            self.objects = [address(platform, name, self.target, localPart="postmaster", domain="example.org")]


@pytest.fixture
def way(platform: Platform, elsewhere: Peer, request: pytest.FixtureRequest) -> Iterator[Way]:
    one = Way(platform, elsewhere, getattr(request, "param", FORWARD))
    with present(platform, *one.objects):
        yield one
    platform.remove_mailbox(one.user)


def carries(text: str, one: Received) -> bool:
    return text.encode() in one.content


def refusal(platform: Platform, *recipients: str) -> tuple[int, str]:
    """The answer to a message that looks like spam, at its end."""
    with pytest.raises(smtplib.SMTPDataError) as caught:
        spam(platform, *recipients)
    text = caught.value.smtp_error
    return caught.value.smtp_code, text if isinstance(text, str) else text.decode()


@pytest.mark.row("M3")
@pytest.mark.row("A1")
@pytest.mark.parametrize("way", WAYS, indirect=True)
def test_spam_is_not_led_on(platform: Platform, elsewhere: Peer, bob: Account, way: Way) -> None:
    code, text = refusal(platform, way.address)
    assert (code, text[:5]) == (554, "5.7.1")
    assert "spam" in text
    assert way.target not in text, "where it would go is nobody's business"
    clean = post(platform, way.address)
    eventually(lambda: received(elsewhere, clean), "clean mail goes on")
    drained(platform)
    (one,) = [found for found in elsewhere.messages() if way.target in found.recipients]
    assert clean["Message-ID"].encode() in one.content, "and nothing else came"
    assert "postboat" not in "\n".join(one.message.keys()).lower()
    assert copies(platform, clean)[way.user] == way.keeps
    subject = spam(platform, "bob@example.test")
    assert wait_where(bob, subject) == "Junk", "just that message is marked for others"


@pytest.mark.row("M3")
def test_a_message_to_several_is_refused_for_all_so_that_its_sender_knows(
    platform: Platform, bob: Account, way: Way
) -> None:
    for recipients in (("bob@example.test", way.address), (way.address, "bob@example.test")):
        assert refusal(platform, *recipients)[0] == 554
    text = "From: <winner@outside.test>\r\nX-Mailer: The Bat! (v2.10)\r\nSubject: SUBJECT\r\n\r\nbuy\r\n"
    subject = f"again-{secrets.token_hex(4)}"
    with platform.smtp() as session:
        session.ehlo()
        session.mail("winner@outside.test")
        assert session.rcpt(way.address)[0] == 250
        session.rset()
        session.sendmail("winner@outside.test", ["bob@example.test"], text.replace("SUBJECT", subject))
    assert wait_where(bob, subject) == "Junk", "a recipient of an earlier message says nothing about this one"


@pytest.mark.row("F3")
def test_what_postfix_tells_the_filter_leaves_with_no_message(platform: Platform, bob: Account) -> None:
    subject = honest(platform, "bob@example.test", "X-Postboat-Led-On: yes", "x-postboat-led-on: forged")
    assert "X-Postboat-Led-On" not in stored(bob, subject)


@pytest.mark.row("M13")
def test_a_script_leads_spam_on_within_the_platform_with_its_mark(platform: Platform, bob: Account) -> None:
    account = platform.add_mailbox(junk={"move": False})
    active_script(account, 'redirect "bob@example.org";')
    assert wait_where(bob, spam(platform, f"{account.user}@example.test")) == "Junk"
    platform.remove_mailbox(account.user)


@pytest.mark.row("M13")
def test_a_script_leads_no_spam_on_to_whom_forwards_elsewhere(platform: Platform, way: Way) -> None:
    account = platform.add_mailbox(junk={"move": False})
    active_script(account, f'redirect "{way.address}";')
    assert wait_where(account, spam(platform, f"{account.user}@example.test")) == "INBOX"
    platform.remove_mailbox(account.user)


@pytest.mark.row("D6")
@pytest.mark.parametrize("way", ["a catch-all"], indirect=True)
def test_who_has_an_address_beside_a_catch_all_gets_spam_into_junk(platform: Platform, bob: Account, way: Way) -> None:
    domain = way.address.rpartition("@")[2]
    assert wait_where(bob, spam(platform, f"bob@{domain}")) == "Junk"
    assert wait_where(bob, spam(platform, f"bob+tag@{domain}")) == "Junk"


@pytest.mark.row("M3")
def test_a_forward_within_the_platform_takes_spam_along(platform: Platform, bob: Account) -> None:
    user = platform.add_mailbox(forward={"to": ["bob@example.org"]}).user
    assert wait_where(bob, spam(platform, f"{user}@example.test")) == "Junk"
    platform.remove_mailbox(user)


@pytest.mark.row("M3")
def test_a_forward_that_ends_takes_spam_again(platform: Platform, elsewhere: Peer) -> None:
    target = elsewhere.recipient(f"ends-{secrets.token_hex(3)}")
    account = platform.add_mailbox(forward={"to": [target]})
    assert refusal(platform, f"{account.user}@example.test")[0] == 554
    platform.kube.patch(GROUP, "Mailbox", platform.namespace, account.user, {"spec": {"forward": None}})
    platform.kube.wait_condition("Mailbox", platform.namespace, account.user, "Ready")
    assert wait_where(account, spam(platform, f"{account.user}@example.test")) == "Junk"
    platform.remove_mailbox(account.user)


@pytest.mark.row("M3")
def test_mail_of_our_own_people_is_led_on_whatever_it_looks_like(elsewhere: Peer, alice: Account, way: Way) -> None:
    subject = f"own-{secrets.token_hex(4)}"
    text = f"From: <alice@example.test>\r\nX-Mailer: The Bat! (v2.10)\r\nSubject: {subject}\r\n\r\nbuy\r\n"
    with alice.submission() as session:
        assert not session.sendmail("alice@example.test", [way.address], text)
    (one,) = elsewhere.wait(where=lambda found: way.target in found.recipients)
    assert one.message["Subject"] == subject


@pytest.mark.row("D3")
def test_a_domain_of_ours_on_another_server_gets_spam_with_its_mark(platform: Platform, world: World) -> None:
    """It gets it under its own addresses too, and may do with it what it likes."""
    other = world.start_peer("mx.sister.test", ports=(2525,))
    world.zones.publish("sister.test", {"mx": [f"A {other.address}"]})
    relay = {"host": "mx.sister.test", "port": 2525, "tls": "None"}
    domain = manifest("MailDomain", platform.namespace, "sister.test", {"delivery": "Relay", "relay": relay})
    token = secrets.token_hex(3)
    with present(platform, domain, address(platform, f"to-{token}", f"led-{token}@sister.test")):
        eventually(lambda: platform.answer(f"own-{token}@sister.test") == 250, "the peer is asked", timeout=90)
        for recipient in (f"own-{token}@sister.test", f"to-{token}@example.test"):
            subject = spam(platform, recipient)
            (one,) = other.wait(where=partial(carries, subject))
            assert one.message["X-Spam"] == "Yes"
    other.stop()
    world.zones.withdraw("sister.test")


@pytest.mark.row("M13")
def test_a_script_leads_no_spam_on(platform: Platform, elsewhere: Peer) -> None:
    """Whoever wants spam in the inbox has scripts that see it: it stays there."""
    account = platform.add_mailbox(junk={"move": False})
    target = elsewhere.recipient(f"script-{account.user}")
    active_script(account, f'redirect "{target}";')
    subject = spam(platform, f"{account.user}@example.test")
    assert wait_where(account, subject) == "INBOX"
    drained(platform)
    assert not [one for one in elsewhere.messages() if target in one.recipients]
    message = post(platform, f"{account.user}@example.test")
    eventually(lambda: received(elsewhere, message), "clean mail goes on")
    platform.remove_mailbox(account.user)
