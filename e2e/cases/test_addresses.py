"""Addresses: where mail to each goes, who may write to it, and that nobody gets a message twice.

Refusals stand beside what is allowed, with the reply code and the condition of the object.
"""

from __future__ import annotations

import secrets
import smtplib
from collections.abc import Iterator

import pytest

from e2e.clients import Account, letter, rcpt, refused, wait_for_message
from e2e.kube import GROUP, eventually
from e2e.managesieve import active_script
from e2e.platform import Platform, manifest
from e2e.post import SENDER, address, answer, copies, group, older, post, present, received, server_with, verdict
from e2e.world import World
from e2e.world.peer import Peer


@pytest.mark.row("A1")
def test_each_destination_gets_one_copy_whatever_its_kind(platform: Platform, elsewhere: Peer) -> None:
    outside = (elsewhere.recipient("one"), elsewhere.recipient("two"))
    with present(
        platform,
        group(platform, "crew", "alice", "bob"),
        manifest("Mailbox", platform.namespace, "board", {"type": "Public"}),
        address(platform, "everybody", "alice", "crew", "board", *outside),
    ):
        message = post(
            platform, "everybody@example.test", "everybody@example.org", "alice@example.org", "bob@example.test"
        )
        assert copies(platform, message) == {"alice": 1, "bob": 1, "board": 1}
        assert received(elsewhere, message) == sorted(outside)
    eventually(lambda: platform.answer("everybody@example.test") == 550, "the deleted address is unknown")


@pytest.mark.row("A1")
def test_the_store_tells_which_address_a_message_was_sent_to(platform: Platform, alice: Account) -> None:
    with present(platform, address(platform, "orders", "alice")):
        message = post(platform, "orders+blue@example.org", shown="hidden@outside.test")
        stored = wait_for_message(alice, message["Message-ID"])
    assert b"X-Original-To: orders+blue@example.org" in stored


@pytest.mark.row("A1")
@pytest.mark.row("M3")
@pytest.mark.row("M4")
@pytest.mark.row("M13")
def test_a_tag_is_read_by_scripts_and_led_on_to_nobody(platform: Platform, elsewhere: Peer) -> None:
    reader = platform.add_mailbox()
    filing = 'require ["envelope", "subaddress", "fileinto", "mailbox"];\n'
    active_script(reader, filing + 'if envelope :detail "to" "lists" { fileinto :create "Lists"; }\n')
    mover = platform.add_mailbox(forward={"to": [elsewhere.recipient("two")], "keepCopy": True}).user
    with present(
        platform,
        group(platform, "readers", "alice", reader.user),
        address(platform, "tagged", reader.user, mover, elsewhere.recipient("one")),
    ):
        message = post(platform, "tagged+lists@example.test")
        assert copies(platform, message) == {reader.user: 1, mover: 1}
        assert received(elsewhere, message) == [elsewhere.recipient("one"), elsewhere.recipient("two")]
        wait_for_message(reader, message["Message-ID"], "Lists")
        message = post(platform, f"{reader.user}+lists@example.org")
        wait_for_message(reader, message["Message-ID"], "Lists")
        message = post(
            platform,
            *("readers+lists@example.test", "alice@example.test", "alice+lists@example.org", "alice+more@example.test"),
            *(f"{reader.user}@example.test", "readers@example.org", f"{mover}+x@example.test", "tagged@example.test"),
        )
        assert copies(platform, message) == {"alice": 1, reader.user: 1, mover: 1}
        assert received(elsewhere, message) == [elsewhere.recipient("one"), elsewhere.recipient("two")]
    for user in (reader.user, mover):
        platform.remove_mailbox(user)


@pytest.mark.row("A2")
def test_an_address_is_in_every_domain_or_in_one(platform: Platform) -> None:
    here, there = platform.domains
    only = address(platform, "only", "alice", localPart="Sales", domain=here)
    with present(platform, address(platform, "press", "bob"), only):
        status = platform.kube.get(GROUP, "MailAddress", platform.namespace, "press")
        assert status is not None
        assert status["status"]["addresses"] == sorted(f"press@{domain}" for domain in platform.domains)
        assert status["status"]["addressCount"] == 2
        assert {domain: platform.answer(f"press@{domain}") for domain in platform.domains} == {here: 250, there: 250}
        assert platform.answer(f"sALES@{here.upper()}") == 250, "the case of an address does not matter"
        assert platform.answer(f"sales@{there}") == 550
        with present(platform, manifest("MailDomain", platform.namespace, "fresh.test", {})):
            eventually(lambda: platform.answer("press@fresh.test") == 250, "the address is in the new domain")
            assert platform.answer("sales@fresh.test") == 550
        eventually(lambda: platform.answer("press@fresh.test") == 554, "the domain is gone")
        with present(platform, address(platform, "sales", "bob")):
            message = post(platform, f"sales@{here}")
            assert copies(platform, message) == {"alice": 1}, "the address in one domain comes before that in all"
            assert copies(platform, post(platform, f"sales@{there}")) == {"bob": 1}


@pytest.mark.row("A2")
def test_an_international_domain_is_one_domain_in_all_spellings(platform: Platform) -> None:
    domain = manifest("MailDomain", platform.namespace, "idn", {"domain": "bücher.test"})
    with present(platform, domain, address(platform, "leser", "alice", domain="bücher.test")):
        with platform.smtp() as session:
            assert answer(session, "leser@xn--bcher-kva.test")[0] == 250
            assert answer(session, "leser@bücher.test", "SMTPUTF8")[0] == 250
            assert answer(session, "niemand@bücher.test", "SMTPUTF8")[0] == 550
        assert copies(platform, post(platform, "leser@xn--bcher-kva.test")) == {"alice": 1}


@pytest.mark.row("A1")
def test_the_older_of_two_addresses_counts_and_a_mailbox_before_both(platform: Platform) -> None:
    with present(platform, address(platform, "first", "alice", localPart="help")):
        older(platform, "MailAddress", "first")
        younger = [
            address(platform, "second", "bob", localPart="HELP"),
            address(platform, "thief", "bob", localPart="alice"),
        ]
        with present(platform, *younger, ready=False):
            assert "first" in verdict(platform, "MailAddress", "second", "Conflict")
            assert "spec.forward" in verdict(platform, "MailAddress", "thief", "Conflict")
            assert copies(platform, post(platform, "help@example.test")) == {"alice": 1}
            assert copies(platform, post(platform, "alice@example.test")) == {"alice": 1}
            platform.kube.delete(GROUP, "MailAddress", platform.namespace, "first")
            platform.kube.wait_condition("MailAddress", platform.namespace, "second", "Ready")
            assert copies(platform, post(platform, "help@example.test")) == {"bob": 1}
    with present(platform, address(platform, "alice-there", "bob", localPart="alice", domain="example.org")):
        assert copies(platform, post(platform, "alice@example.org")) == {"bob": 1}
        assert copies(platform, post(platform, "alice@example.test")) == {"alice": 1}


@pytest.mark.row("A1")
def test_what_leads_to_nobody_is_refused_and_says_why(platform: Platform) -> None:
    wrong = [
        address(platform, "half", "alice", "ghost"),
        address(platform, "lost", "ghost"),
        address(platform, "abroad", "alice", domain="nowhere.test"),
        address(platform, "round", "turn@example.test"),
        address(platform, "turn", "round@example.org"),
        address(platform, "spiral", "alice", "spiral@example.org"),
    ]
    with present(platform, *wrong, ready=False):
        assert "spec.destinations[1].mailbox" in verdict(platform, "MailAddress", "half", "UnknownMailbox")
        assert "ghost" in verdict(platform, "MailAddress", "lost", "UnknownMailbox")
        assert "nowhere.test" in verdict(platform, "MailAddress", "abroad", "DomainNotFound")
        for circle in ("round", "turn", "spiral"):
            assert "spec.destinations" in verdict(platform, "MailAddress", circle, "Cycle")
        for local in ("half", "spiral"):
            assert copies(platform, post(platform, f"{local}@example.test")) == {"alice": 1}
        for local in ("lost", "abroad", "round", "turn"):
            assert platform.answer(f"{local}@example.test") == 550
        platform.add_mailbox("ghost")
        platform.kube.wait_condition("MailAddress", platform.namespace, "lost", "Ready")
        assert copies(platform, post(platform, "lost@example.test", "half@example.test")) == {"alice": 1, "ghost": 1}
        platform.remove_mailbox("ghost")
        eventually(lambda: platform.answer("lost@example.test") == 550, "the address leads to nobody again")


@pytest.fixture
def insiders(platform: Platform) -> Iterator[str]:
    """An internal user, group and address, and a public address that leads to the user."""
    name = f"boss-{secrets.token_hex(2)}"
    platform.add_mailbox(name, internal=True)
    with present(
        platform,
        group(platform, "board-members", name, "alice", internal=True),
        address(platform, "directors", name, internal=True),
        address(platform, "reception", name),
    ):
        yield name
    platform.remove_mailbox(name)


@pytest.mark.row("A3")
def test_an_internal_address_is_closed_to_strangers(
    platform: Platform, alice: Account, world: World, insiders: str
) -> None:
    domain = manifest("MailDomain", platform.namespace, "idn-inside", {"domain": "büro.test"})
    board = manifest("Mailbox", platform.namespace, "notice-board", {"type": "Public", "internal": True})
    closed = (
        f"{insiders}@example.test",
        f"{insiders}@büro.test",
        f"{insiders}@BÜRO.test",
        f"{insiders}@xn--bro-hoa.test",
        "notice-board@example.test",
        "board-members+tag@example.test",
        f"{insiders.upper()}@EXAMPLE.ORG",
        f"{insiders}+tag@example.test",
        f'"{insiders}"@example.test',
        "board-members@example.org",
        "directors@example.test",
        "DIRECTORS+x@example.org",
    )
    with present(platform, domain, board):
        for recipient in closed:
            with world.outside.entered():
                session = smtplib.SMTP(platform.service_address("mail-smtp"), 25, timeout=20)
            with session:
                for sender in (SENDER, "alice@example.test", f"{insiders}@example.test", ""):
                    code, text = answer(session, recipient, *utf8(recipient), sender=sender)
                    assert (code, "5.7.1" in text) == (554, True), f"{recipient} from {sender}: {text}"
                assert answer(session, "reception@example.test")[0] == 250
        for port in (587, 465):
            with alice.submission(port) as session:
                for recipient in closed:
                    assert answer(session, recipient, *utf8(recipient), sender="alice@example.test")[0] == 250
                message = letter("alice@example.test", "directors@example.test")
                session.send_message(message, to_addrs=["directors@example.test", "notice-board@example.org"])
            assert copies(platform, message) == {insiders: 1, "notice-board": 1}
    assert copies(platform, post(platform, "reception@example.org")) == {insiders: 1}, "a public address leads there"


def utf8(recipient: str) -> tuple[str, ...]:
    """What a client says to MAIL before such a recipient."""
    return () if recipient.isascii() else ("SMTPUTF8",)


@pytest.mark.row("A3")
@pytest.mark.row("M7")
def test_strangers_do_not_learn_that_an_internal_mailbox_is_full(
    platform: Platform, alice: Account, world: World
) -> None:
    user = platform.add_mailbox(internal=True, quota="20Ki").user
    recipient = f"{user}@example.test"

    def strangers_are_sent_away() -> None:
        with world.outside.entered():
            session = smtplib.SMTP(platform.service_address("mail-smtp"), 25, timeout=20)
        with session:
            for options in ((), ("SIZE=1000",), ("SIZE=1000000",)):
                for spelling in (recipient, f"{user}+tag@example.org"):
                    code, text = answer(session, spelling, *options)
                    assert (code, "5.7.1" in text) == (554, True), text

    strangers_are_sent_away()
    with alice.submission() as session:
        assert answer(session, recipient, "SIZE=1000000", sender="alice@example.test")[0] == 552
        message = letter("alice@example.test", recipient, body=("x" * 62 + "\n") * 400)
        session.mail("alice@example.test")
        assert session.rcpt(recipient)[0] == 250
        assert session.data(message.as_bytes())[0] == 250
    assert copies(platform, message) == {user: 1}
    with alice.submission() as session:
        assert answer(session, recipient, sender="alice@example.test")[0] == 552, "it is full, and insiders are told"
    strangers_are_sent_away()
    platform.remove_mailbox(user)


@pytest.mark.row("R3")
@pytest.mark.row("A3")
def test_a_trusted_network_sends_without_a_login_and_no_other(
    platform: Platform, world: World, insiders: str, elsewhere: Peer
) -> None:
    service = platform.service_address("mail-smtp")

    def ask(recipient: str, *, trusted: bool) -> int:
        place = world.trusted if trusted else world.outside
        with place.entered():
            session = smtplib.SMTP(service, 25, timeout=20)
        with session:
            return answer(session, recipient)[0]

    assert ask(f"{insiders}@example.test", trusted=True) == 554
    assert ask(elsewhere.recipient("one"), trusted=True) == 554
    with server_with(platform, smtp={"trustedNetworks": [world.trusted.network]}):
        eventually(lambda: ask(f"{insiders}@example.test", trusted=True) == 250, "the network is trusted")
        assert ask(elsewhere.recipient("one"), trusted=True) == 250
        assert ask("nobody@example.test", trusted=True) == 550
        assert ask(f"{insiders}@example.test", trusted=False) == 554
        assert ask(elsewhere.recipient("one"), trusted=False) == 554
        with world.trusted.entered():
            session = smtplib.SMTP(service, 25, timeout=20)
        message = letter("printer@example.test", elsewhere.recipient("one"))
        with session:
            session.send_message(message)
        elsewhere.wait(where=lambda one: message["Message-ID"].encode() in one.content)
    eventually(lambda: ask(elsewhere.recipient("one"), trusted=True) == 554, "the network is trusted no more")


@pytest.mark.row("R3")
def test_no_pod_is_trusted_for_being_one(platform: Platform, stranger: object, insiders: str) -> None:
    run = stranger.run  # type: ignore[attr-defined]
    for recipient in (f"{insiders}@example.test", "one@elsewhere.test"):
        command = ["swaks", "--server", platform.service_address("mail-smtp"), "--to", recipient, "--from", SENDER]
        assert "554 5.7.1" in run("pod", [*command, "--quit-after", "RCPT"])


@pytest.mark.row("A3")
def test_addresses_that_the_platform_uses_itself_are_foreign_to_everybody(platform: Platform, alice: Account) -> None:
    own = (
        "alice@mailbox.invalid",
        "example.test@copy.invalid",
        "everyone@list.invalid",
        f"alice@{platform.hostname}",
        "x@sub.example.test",
    )
    with platform.smtp() as session:
        for recipient in own:
            code, text = answer(session, recipient)
            assert (code, "5.7.1" in text) == (554, True), text
    with alice.submission() as session:
        for recipient in own[:3]:
            code, text = answer(session, recipient, sender="alice@example.test")
            assert (code, "5.7.1" in text) == (554, True), text


@pytest.mark.row("A1")
def test_the_postmaster_is_reached_in_every_domain_and_without_one(platform: Platform) -> None:
    everywhere = ("postmaster", "Postmaster@example.test", "postmaster@example.org")
    with platform.smtp() as session:
        assert [answer(session, recipient)[0] for recipient in everywhere] == [550, 550, 550]
    with server_with(platform, postmaster={"mailbox": "bob"}):
        eventually(lambda: platform.answer("postmaster@example.test") == 250, "the postmaster is known")
        with platform.smtp() as session:
            assert [answer(session, recipient)[0] for recipient in everywhere] == [250, 250, 250]
        message = letter(SENDER, "postmaster")
        with platform.smtp() as session:
            session.ehlo()
            session.mail(SENDER)
            assert session.docmd("RCPT TO:<postmaster>")[0] == 250
            session.data(message.as_bytes())
        assert copies(platform, message) == {"bob": 1}
        with present(platform, address(platform, "postmaster", "alice")):
            assert copies(platform, post(platform, "postmaster@example.org")) == {"alice": 1}
    with server_with(platform, ready=False, postmaster={"mailbox": "ghost"}):
        assert "spec.postmaster.mailbox" in verdict(platform, "MailServer", platform.name, "UnknownMailbox")
        assert platform.answer("postmaster@example.test") == 550


@pytest.mark.row("M3")
def test_mail_is_forwarded_with_and_without_a_copy(platform: Platform, elsewhere: Peer) -> None:
    to = [elsewhere.recipient("one"), elsewhere.recipient("two"), "bob@example.org"]
    kept, moved = (
        platform.add_mailbox(forward={"to": to, "keepCopy": True}).user,
        platform.add_mailbox(forward={"to": to}).user,
    )
    message = post(platform, f"{kept}@example.test")
    assert copies(platform, message) == {kept: 1, "bob": 1}
    assert received(elsewhere, message) == sorted(to[:2])
    message = post(platform, f"{moved}@example.test", f"{kept}@example.test", "bob@example.test")
    assert copies(platform, message) == {kept: 1, "bob": 1}
    assert received(elsewhere, message) == sorted(to[:2])
    platform.kube.patch(GROUP, "Mailbox", platform.namespace, moved, {"spec": {"forward": None}})
    platform.kube.wait_condition("Mailbox", platform.namespace, moved, "Ready")
    assert copies(platform, post(platform, f"{moved}@example.test")) == {moved: 1}
    for user in (kept, moved):
        platform.remove_mailbox(user)


@pytest.mark.row("M3")
def test_a_forward_in_a_circle_loses_nothing_and_repeats_nothing(platform: Platform) -> None:
    ring = [f"ring{number}-{secrets.token_hex(2)}" for number in range(3)]
    for user, following in zip(ring, [*ring[1:], ring[0]], strict=True):
        platform.add_mailbox(user, wait=False, forward={"to": [f"{following}@example.org"]})
    for user in ring:
        assert "spec.forward" in verdict(platform, "Mailbox", user, "Cycle")
    assert copies(platform, post(platform, f"{ring[0]}@example.test")) == dict.fromkeys(ring, 1)
    platform.kube.patch(
        GROUP, "Mailbox", platform.namespace, ring[0], {"spec": {"forward": {"to": ["nobody@example.test"]}}}
    )
    assert "spec.forward.to[0]" in verdict(platform, "Mailbox", ring[0], "UnknownMailbox")
    for user in ring[1:]:
        platform.kube.wait_condition("Mailbox", platform.namespace, user, "Ready")
    assert copies(platform, post(platform, f"{ring[1]}@example.test")) == {ring[0]: 1}
    for user in ring:
        platform.remove_mailbox(user)


@pytest.mark.row("M3")
def test_a_circle_over_another_server_ends(platform: Platform, elsewhere: Peer) -> None:
    user = platform.add_mailbox(forward={"to": [elsewhere.recipient("circle")], "keepCopy": True}).user
    message = post(platform, f"{user}@example.test")
    identity, code, text, rounds = message["Message-ID"].encode(), 250, b"", 0
    while code == 250 and rounds < 100:
        rounds += 1
        came = elsewhere.wait(rounds, where=lambda one: identity in one.content)
        trace = b"Received: from mail.example.test by mx.elsewhere.test; Thu, 1 Jan 2026 00:00:00 +0000\r\n"
        with platform.smtp() as session:
            session.ehlo()
            session.mail(SENDER)
            assert session.rcpt(f"{user}@example.test")[0] == 250
            code, text = session.data(trace + came[-1].content)
    assert (code, b"5.4.0" in text) == (554, True), text
    assert rounds <= 15
    assert copies(platform, message) == {user: rounds}
    platform.remove_mailbox(user)


@pytest.mark.row("M1")
def test_a_tag_is_part_of_no_address(platform: Platform, alice: Account) -> None:
    message = post(platform, "alice+lists@example.test")
    assert b"alice+lists@example.test" in wait_for_message(alice, message["Message-ID"])
    with platform.smtp() as session:
        assert rcpt(session, "nobody+alice@example.test")[0] == 550
    with alice.submission() as session, pytest.raises(smtplib.SMTPRecipientsRefused) as caught:
        session.send_message(letter("alice@example.test", "nobody+x@example.test"))
    assert refused(caught.value)[0] == 550


@pytest.mark.row("M13")
def test_a_vacation_answers_from_the_address_that_was_written_to(platform: Platform, elsewhere: Peer) -> None:
    account = platform.add_mailbox()
    active_script(account, 'require ["vacation"];\nvacation "I am away.";\n')
    here, there = platform.domains
    for number, written in enumerate((f"{account.user}@{here}", f"{account.user}@{there}", f"{account.user}+x@{here}")):
        friend = elsewhere.recipient(f"friend{number}")
        post(platform, written, sender=friend)
        (reply,) = elsewhere.wait(where=lambda one, friend=friend: friend in one.recipients)  # type: ignore[misc]
        assert f"From: <{written}>".encode() in reply.content
        assert b"I am away" in reply.content
    quiet = post(
        platform,
        f"{account.user}@example.test",
        sender=elsewhere.recipient("list"),
        shown=elsewhere.recipient("others"),
    )
    assert copies(platform, quiet) == {account.user: 1}
    assert not [one for one in elsewhere.messages() if elsewhere.recipient("list") in one.recipients]
    platform.remove_mailbox(account.user)
