"""What mail tells of the platform: real addresses and its host name, and neither pods nor names of the inside."""

from __future__ import annotations

import re
import secrets
from email import message_from_bytes
from email.message import Message
from typing import TYPE_CHECKING

import pytest

from e2e.cases.test_quota import fill
from e2e.clients import letter, wait_for_message
from e2e.kube import eventually
from e2e.managesieve import active_script
from e2e.platform import HOSTNAME, manifest
from e2e.post import address, answer, copies, drained, group, post, present, server_with

if TYPE_CHECKING:
    from e2e.clients import Account
    from e2e.platform import Platform
    from e2e.world import World
    from e2e.world.peer import Peer, Received


def traces(message: Message) -> list[str]:
    """The Received fields, each in one line."""
    return [" ".join(str(value).split()) for value in message.get_all("Received") or []]


def inside(platform: Platform, content: bytes) -> list[str]:
    """What of a message names the inside: pods, their network, their authority, domains that do not exist."""
    text = content.decode(errors="replace")
    pods = platform.kube.pods(platform.namespace, instance=platform.name)
    addresses = [pod["status"]["podIP"] for pod in pods if pod["status"].get("podIP")]
    names = [f"{platform.name}-{part}" for part in ("smtp", "store", "filter", "imap")]
    others = [".invalid", "svc.cluster", "internal authority", "Client CN", platform.namespace]
    return [word for word in (*addresses, *names, *others) if word in text]


def delivered(account: Account, message: Message) -> Message:
    return message_from_bytes(wait_for_message(account, message["Message-ID"]))


def got(peer: Peer, recipient: str) -> Received:
    """The one message that a peer got for a recipient, as soon as it has it."""
    (found,) = peer.wait(where=lambda one: recipient in one.recipients)
    return found


@pytest.mark.row("D2")
def test_a_mailbox_is_named_by_an_address_that_it_has(platform: Platform, bob: Account) -> None:
    account, token = platform.add_mailbox(), secrets.token_hex(3)
    name = account.user
    caught = {"action": "Deliver", "mailbox": name}
    catching = {"delivery": "Local", "unknownRecipients": caught}
    many = [platform.add_mailbox(wait=False).user for _ in range(8)]
    ways = [
        f"{name}@example.test",
        f"{name}@example.org",
        f"{name.upper()}+Tag@example.test",
        f"sales-{token}@example.org",
        f"both-{token}@example.test",
        f"team-{token}@example.test",
        f"crowd-{token}@example.test",
        f"anybody+x@catch-{token}.test",
    ]
    with present(
        platform,
        manifest("MailDomain", platform.namespace, f"catch-{token}.test", catching),
        address(platform, f"sales-{token}", name),
        address(platform, f"both-{token}", name, bob.user),
        group(platform, f"team-{token}", name, bob.user),
        group(platform, f"crowd-{token}", name, *many),
    ):
        for way in ways:
            message = delivered(account, post(platform, way))
            (source,) = message.get_all("Delivered-To") or [""]
            assert source.partition("@")[0] == name
            with platform.smtp() as session:
                assert answer(session, source)[0] == 250, "mail to it arrives"
            assert message.get_all("X-Original-To") == [way]
            assert message["Return-Path"] == "<stranger@outside.test>"
            (trace,) = traces(message)
            assert f" by {HOSTNAME} " in trace
            assert not inside(platform, message.as_bytes())
    for one in (name, *many):
        platform.remove_mailbox(one)


@pytest.mark.row("D2")
def test_a_public_mailbox_and_one_without_an_address_name_the_host(platform: Platform) -> None:
    account, token = platform.add_mailbox(address="Disabled"), secrets.token_hex(3)
    with present(platform, address(platform, f"way-{token}", account.user)):
        message = delivered(account, post(platform, f"way-{token}@example.test"))
        assert message.get_all("Delivered-To") == [f"{account.user}@{HOSTNAME}"]
        assert message.get_all("X-Original-To") == [f"way-{token}@example.test"]
    platform.remove_mailbox(account.user)


@pytest.mark.row("D2")
def test_a_mailbox_is_named_by_the_domains_that_there_are(platform: Platform) -> None:
    """A name that leads to somebody else in the first domain is no address of the mailbox there."""
    account = platform.add_mailbox()
    with present(platform, address(platform, account.user, "alice", domain="example.org")):
        message = delivered(account, post(platform, f"{account.user}@example.test"))
        assert message["Delivered-To"] == f"{account.user}@example.test"
    platform.remove_mailbox(account.user)


@pytest.mark.row("M13")
def test_what_scripts_send_tells_nothing_of_the_inside(platform: Platform, elsewhere: Peer) -> None:
    account = platform.add_mailbox()
    mine = f"{account.user}@example.test"
    target, writer = (elsewhere.recipient(f"{what}-{account.user}") for what in ("target", "writer"))
    sent: list[tuple[Received, int]] = []
    active_script(account, f'require ["copy", "vacation"]; vacation "Away."; redirect :copy "{target}";')
    message = post(platform, mine, sender=writer)
    wait_for_message(account, message["Message-ID"])
    sent += [(got(elsewhere, target), 2), (got(elsewhere, writer), 1)]
    refused = elsewhere.recipient(f"refused-{account.user}")
    active_script(account, 'require "reject"; reject "Not here.";')
    post(platform, mine, sender=refused)
    sent += [(got(elsewhere, refused), 1)]
    for one, hops in sent:
        found = traces(one.message)
        assert len(found) == hops
        assert all(f" by {HOSTNAME} " in f" {trace}" for trace in found)
        assert not inside(platform, one.content), one.content.decode()
    platform.remove_mailbox(account.user)


@pytest.mark.row("M3")
def test_what_is_led_on_tells_nothing_of_the_inside(platform: Platform, elsewhere: Peer) -> None:
    account = platform.add_mailbox()
    target = elsewhere.recipient(f"target-{account.user}")
    platform.kube.apply(platform.mailbox(account.user, forward={"to": [target], "keepCopy": True}))
    platform.kube.wait_condition("Mailbox", platform.namespace, account.user, "Ready")
    message = delivered(account, post(platform, f"{account.user}@example.test"))
    with platform.smtp() as session:
        assert answer(session, message["Delivered-To"])[0] == 250
    one = got(elsewhere, target)
    assert len(traces(one.message)) == 1
    assert not inside(platform, one.content)
    platform.remove_mailbox(account.user)


@pytest.mark.row("M13")
def test_two_scripts_that_lead_to_each_other_end(platform: Platform) -> None:
    left, right = (platform.add_mailbox() for _ in range(2))
    for one, other in ((left, right), (right, left)):
        active_script(one, f'redirect "{other.user}@example.test";')
    message = post(platform, f"{left.user}@example.test")
    found = copies(platform, message)
    assert sum(found.values()) == 1, "it stays with one of them"
    for one in (left, right):
        platform.remove_mailbox(one.user)


@pytest.mark.row("D3")
def test_a_stranger_hears_nothing_of_the_server_of_a_relayed_domain(platform: Platform, world: World) -> None:
    other = world.start_peer("mx.inner-branch.test", ports=(2525,))
    world.zones.publish("inner-branch.test", {"mx": [f"A {other.address}"]})
    other.refuse("550 5.1.1 we know nobody of that name", recipient="nobody@inner-branch.test")
    other.refuse("552 5.2.2 over quota on /srv/disk7", recipient="full@inner-branch.test")
    other.refuse("450 4.2.0 the cellar is wet", recipient="later@inner-branch.test")
    relay = {"host": "mx.inner-branch.test", "port": 2525, "tls": "None"}
    domain = manifest("MailDomain", platform.namespace, "inner-branch.test", {"delivery": "Relay", "relay": relay})
    words = ("mx.inner-branch", other.address, "nobody of that", "disk7", "wet", "said", "2525")
    with present(platform, domain):
        eventually(lambda: platform.answer("somebody@inner-branch.test") == 250, "the peer is asked", timeout=90)
        for name, code in (("nobody", 550), ("full", 550), ("later", 450)):
            recipient = f"{name}@inner-branch.test"

            def told(recipient: str = recipient, code: int = code) -> str:
                with platform.smtp() as session:
                    found, text = answer(session, recipient)
                return text if found == code else ""

            text = str(eventually(told, f"{code} for {recipient}", timeout=90))
            assert recipient in text
            assert not [word for word in words if word in text], text
        other.stop()
        with platform.smtp() as session:
            code, text = answer(session, "unasked@inner-branch.test")
        assert code == 450
        assert not [word for word in words if word in text.replace("unasked@inner-branch.test", "")], text
    world.zones.withdraw("inner-branch.test")


@pytest.mark.row("R1")
@pytest.mark.parametrize("port", [587, 465])
def test_client_addresses_are_removed_from_headers_on_request(
    platform: Platform, elsewhere: Peer, alice: Account, bob: Account, port: int
) -> None:
    def send() -> tuple[Received, Message]:
        target = elsewhere.recipient(f"target-{secrets.token_hex(4)}")
        message = letter("alice@example.test", target)
        with alice.secure(port) as session:
            session.ehlo("laptop.secret.test")
            session.login(alice.user, alice.password)
            session.send_message(message, to_addrs=[target, "bob@example.test"])
        return got(elsewhere, target), delivered(bob, message)

    def seen(message: Message) -> list[str]:
        return re.findall(r"laptop\.secret|\[[0-9.]+\]|\bfrom\b", "\n".join(traces(message)))

    outside, here = send()
    assert all("laptop.secret.test" in traces(message)[0] for message in (outside.message, here))
    with server_with(platform, smtp={"hideClientAddress": True}):
        for message in (sent := send())[0].message, sent[1]:
            assert not seen(message)
            assert len(traces(message)) == 1
            assert f" by {HOSTNAME} " in f" {traces(message)[0]} "
            assert "ESMTPSA" in traces(message)[0]
        assert b"secret.test" not in sent[0].content
        stranger = delivered(bob, post(platform, "bob@example.test"))
        assert "client.outside.test" in traces(stranger)[0], "where strangers come from is said as before"
    outside, here = send()
    assert all("laptop.secret.test" in traces(message)[0] for message in (outside.message, here))


@pytest.mark.row("D2")
def test_a_refusal_tells_a_stranger_nothing_of_tables(platform: Platform, alice: Account) -> None:
    nobody = f"nobody-{secrets.token_hex(3)}"
    with platform.smtp() as stranger, alice.submission() as user:
        for session in (stranger, user):
            session.ehlo("client.outside.test")
            assert session.mail("")[0] == 250
            for recipient in (f"{nobody}@example.test", f"{nobody}@example.org", nobody, f"{nobody}@mailbox.invalid"):
                code, said = session.rcpt(recipient)
                assert 500 <= code < 600, said
                assert not re.search(rb"virtual|table|alias|\.invalid", said.replace(recipient.encode(), b"")), said


@pytest.mark.row("D2")
def test_a_notice_to_a_stranger_tells_nothing_of_the_inside(platform: Platform, elsewhere: Peer, bob: Account) -> None:
    full, token = platform.add_mailbox(quota="20Ki"), secrets.token_hex(3)
    happy, sad = (elsewhere.recipient(f"{what}-{token}") for what in ("happy", "sad"))
    with platform.smtp() as session:
        message = letter(happy, "bob@example.test")
        assert not session.send_message(message, rcpt_options=["NOTIFY=SUCCESS"])
    both = address(platform, f"both-{token}", full.user, bob.user)
    with present(platform, both), server_with(platform, smtp={"queueLifetime": "20s"}), platform.smtp() as session:
        fill(platform, full, 24)
        assert not session.send_message(letter(sad, f"both-{token}@example.test"))
        drained(platform)
    platform.remove_mailbox(full.user)
    for recipient, written in ((happy, "bob@example.test"), (sad, f"both-{token}@example.test")):
        notice = got(elsewhere, recipient)
        assert not inside(platform, notice.content), notice.content.decode()
        text = notice.content.decode()
        assert f"Original-Recipient: rfc822;{written}" in text.replace("; ", ";")
        assert "4.2.2" in text or recipient == happy, "the reason is told"
