"""Hidden copies: one of each message to a watched domain, wherever it comes from, and no word about it to anybody.

Bounces and answers quote the Message-ID, so counting its copies also shows that nobody got either.
"""

from __future__ import annotations

from collections.abc import Iterator
from email.message import EmailMessage
from functools import partial

import pytest

from e2e.clients import Account, letter, wait_for_message
from e2e.kube import Object, eventually
from e2e.managesieve import active_script
from e2e.platform import Platform, manifest
from e2e.post import answer, copies, post, present, received, verdict
from e2e.world import World
from e2e.world.peer import Peer


@pytest.fixture(scope="module")
def archive(world: World) -> Iterator[Peer]:
    """A mail server of the world that takes copies for archive.test."""
    peer = world.start_peer("mx.archive.test")
    world.receives_for("archive.test", peer)
    yield peer
    world.zones.withdraw("archive.test")


@pytest.fixture
def keeper(platform: Platform) -> Iterator[Account]:
    """A user who gets copies."""
    account = platform.add_mailbox()
    yield account
    platform.remove_mailbox(account.user)


def watched(platform: Platform, *to: str, domain: str = "watched.test", **spec: object) -> Object:
    """A domain of whose mail there are hidden copies."""
    return manifest("MailDomain", platform.namespace, domain, {"copyTo": to, **spec})


def betrays_nothing(content: bytes, keeper: Account) -> bool:
    """Whether a message says nothing of its copies."""
    return not any(trace in content for trace in (b"archive", keeper.user.encode(), b"copy.invalid"))


@pytest.mark.row("D5")
def test_a_hidden_copy_is_one_copy_and_betrays_nothing(
    platform: Platform, alice: Account, archive: Peer, keeper: Account
) -> None:
    with present(platform, watched(platform, "all@archive.test", f"{keeper.user}@example.test")):
        message = post(platform, "alice@watched.test", "bob@watched.test", "alice@example.test")
        assert copies(platform, message) == {"alice": 1, "bob": 1, keeper.user: 1}
        assert received(archive, message) == ["all@archive.test"]
        assert b"X-Original-To: watched.test@copy.invalid" in wait_for_message(keeper, message["Message-ID"])
        assert betrays_nothing(wait_for_message(alice, message["Message-ID"]), keeper)
        assert copies(platform, post(platform, f"{keeper.user}@watched.test")) == {keeper.user: 1}
        assert copies(platform, post(platform, "alice@example.org")) == {"alice": 1}, "another domain is not copied"
        with platform.smtp() as session:
            assert answer(session, "watched.test@copy.invalid")[0] == 554
        platform.kube.apply(watched(platform, "ghost@example.test"))
        assert "spec.copyTo[0]" in verdict(platform, "MailDomain", "watched.test", "UnknownMailbox")
        assert copies(platform, post(platform, "alice@watched.test")) == {"alice": 1}


@pytest.mark.row("D5")
def test_senders_hear_nothing_of_a_copy(
    platform: Platform, alice: Account, archive: Peer, elsewhere: Peer, keeper: Account
) -> None:
    sent: list[EmailMessage] = []
    active_script(keeper, 'require "vacation";\nvacation "I am away.";\n')

    def submitted(*recipients: str, port: int = 587, options: tuple[str, ...] = ()) -> dict[str, int]:
        message = letter("alice@example.test", recipients[0])
        with alice.submission(port) as session:
            assert not session.send_message(message, "alice@example.test", recipients, rcpt_options=options)
        sent.append(message)
        return copies(platform, message)

    with present(platform, watched(platform, "all@archive.test", f"{keeper.user}@example.test")):
        for port in (587, 465):
            assert submitted("bob@watched.test", elsewhere.recipient("one"), port=port) == {"bob": 1, keeper.user: 1}
            assert received(archive, sent[-1]) == ["all@archive.test"]
            assert received(elsewhere, sent[-1]) == [elsewhere.recipient("one")]
            (outside,) = (one for one in elsewhere.messages() if sent[-1]["Message-ID"].encode() in one.content)
            assert betrays_nothing(outside.content, keeper)
        archive.refuse("550 5.7.1 no copies here")
        try:
            assert submitted("bob@watched.test") == {"bob": 1, keeper.user: 1}, "nobody hears that a copy came back"
            assert received(archive, sent[-1]) == []
            notify = ("NOTIFY=SUCCESS,FAILURE,DELAY",)
            assert submitted("bob@watched.test", options=notify) == {"bob": 1, keeper.user: 1, "alice": 1}
            with alice.imap() as session:
                session.select_folder("INBOX", readonly=True)
                (report,) = session.search(["TEXT", sent[-1]["Message-ID"].strip("<>")])
                content = bytes(session.fetch([report], ["BODY.PEEK[]"])[report][b"BODY[]"])
            assert b"bob@watched.test" in content, "what happened to the message itself is reported"
            assert betrays_nothing(content, keeper)
        finally:
            archive.accept()
        assert submitted(f"{keeper.user}@example.test") == {keeper.user: 1, "alice": 1}, "mail of his own is answered"


def taken(platform: Platform, recipient: str) -> bool:
    return platform.answer(recipient) == 250


@pytest.mark.row("D5")
@pytest.mark.row("D3")
def test_mail_for_the_server_of_a_relayed_domain_is_copied(
    platform: Platform, world: World, archive: Peer, keeper: Account
) -> None:
    other = world.start_peer("mx.branch.test", ports=(2525,))
    world.zones.publish("branch.test", {"mx": [f"A {other.address}"]})
    relay = {"host": "mx.branch.test", "port": 2525, "tls": "None"}
    to = ("all@archive.test", f"{keeper.user}@example.test")
    with present(platform, watched(platform, *to, domain="branch.test", delivery="Relay", relay=relay)):
        for recipient in ("somebody@branch.test", "anybody@branch.test"):
            eventually(partial(taken, platform, recipient), "the peer is asked", timeout=90)
        message = post(platform, "somebody@branch.test", "anybody@branch.test")
        assert copies(platform, message) == {keeper.user: 1}
        assert received(other, message) == ["anybody@branch.test", "somebody@branch.test"]
        assert all(betrays_nothing(one.content, keeper) for one in other.messages())
        assert received(archive, message) == ["all@archive.test"]
        asked = [one for one in archive.messages() if b"branch.test" in one.content]
        assert len(asked) == 1, "there is no copy of the question whether somebody exists"
    world.zones.withdraw("branch.test")


@pytest.mark.row("D5")
@pytest.mark.row("M3")
@pytest.mark.row("M13")
def test_what_is_sent_on_was_copied_when_it_came_or_is_not(platform: Platform, keeper: Account) -> None:
    boss = platform.add_mailbox(internal=True).user
    mover = platform.add_mailbox(forward={"to": ["bob@watched.test"]}).user
    scripted = platform.add_mailbox()
    active_script(scripted, f'redirect "{boss}@watched.test";\nredirect "alice@watched.test";\n')
    with present(platform, watched(platform, f"{keeper.user}@example.test")):
        for user, reached in ((mover, {"bob": 1}), (scripted.user, {boss: 1, "alice": 1})):
            assert copies(platform, post(platform, f"{user}@example.test")) == reached
            assert copies(platform, post(platform, f"{user}@watched.test")) == {**reached, keeper.user: 1}
    for user in (boss, mover, scripted.user):
        platform.remove_mailbox(user)
