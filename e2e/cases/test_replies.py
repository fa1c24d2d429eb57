"""What scripts and the platform itself send: from whom, to whom, signed, and few for one message that came."""

from __future__ import annotations

import secrets
from email.message import EmailMessage
from email.utils import parseaddr
from functools import partial
from typing import TYPE_CHECKING

import pytest

from e2e.clients import find_message, letter, wait_for_message
from e2e.kube import Kube, eventually
from e2e.managesieve import ManageSieve, RefusedError, active_script
from e2e.platform import Platform, manifest
from e2e.post import address, answer, copies, drained, group, post, present, received
from e2e.signatures import verified
from e2e.world.way_in import way_in

if TYPE_CHECKING:
    from collections.abc import Iterator

    from e2e.clients import Account, Directory
    from e2e.world import World
    from e2e.world.peer import Peer, Received

AWAY = 'require "vacation"; vacation :days 1 {more} "I am in the mountains.";'


def replies(peer: Peer, sender: str) -> list[Received]:
    return [one for one in peer.messages() if sender in one.recipients]


def write(platform: Platform, peer: Peer, *recipients: str, shown: str = "") -> tuple[EmailMessage, str]:
    """Send from an address of the peer that nobody has answered yet; give the message and that address."""
    sender = peer.recipient(f"writer-{secrets.token_hex(4)}")
    return post(platform, *recipients, sender=sender, shown=shown), sender


@pytest.mark.row("M13")
def test_only_a_users_own_addresses_answer(platform: Platform, elsewhere: Peer, bob: Account) -> None:
    """RFC 5230, 4.5: an answer is from whoever was written to, and a group is nobody."""
    account = platform.add_mailbox()
    name, token = account.user, secrets.token_hex(3)
    catching = manifest(
        "MailDomain",
        platform.namespace,
        f"catch-{token}.test",
        {"delivery": "Local", "unknownRecipients": {"action": "Deliver", "mailbox": name}},
    )
    own = (
        f"{name}@example.test",
        f"{name}@example.org",
        f"{name}+tag@example.test",
        f"sales-{token}@example.org",
        f"here-{token}@example.test",
    )
    others = (f"team-{token}@example.test", f"support-{token}@example.test", f"nobody@catch-{token}.test")
    with present(
        platform,
        catching,
        address(platform, f"sales-{token}", name),
        address(platform, f"here-{token}", name, domain="example.test"),
        address(platform, f"support-{token}", name, bob.user),
        group(platform, f"team-{token}", name),
    ):
        for more in ("", ':addresses ["team-TOKEN@example.test", "nobody@catch-TOKEN.test"]'):
            active_script(account, AWAY.format(more=more.replace("TOKEN", token)))
            sent = [(recipient, *write(platform, elsewhere, recipient)) for recipient in (*own, *others)]
            for recipient, message, sender in sent:
                wait_for_message(account, message["Message-ID"])
                if recipient in own:
                    eventually(partial(replies, elsewhere, sender), f"an answer from {recipient}")
            drained(platform)
            for recipient, _, sender in sent:
                found = replies(elsewhere, sender)
                assert len(found) == (recipient in own), recipient
                for reply in found:
                    assert reply.sender == "<>", "RFC 3834, 3.3"
                    assert parseaddr(reply.message["From"])[1] == recipient, more
                    assert reply.message["Auto-Submitted"].startswith("auto-replied")
                    assert verified(platform, recipient.rpartition("@")[2], reply.content)
    platform.remove_mailbox(name)


@pytest.mark.row("M13")
def test_a_message_to_a_user_and_his_group_is_answered_from_the_user(platform: Platform, elsewhere: Peer) -> None:
    account = platform.add_mailbox()
    mine, team = f"{account.user}@example.test", f"team-{account.user}@example.test"
    active_script(account, AWAY.format(more=""))
    with present(platform, group(platform, f"team-{account.user}", account.user)):
        message, sender = write(platform, elsewhere, mine, team, shown=f"{team}, {mine}")
        wait_for_message(account, message["Message-ID"])
        reply = eventually(lambda: replies(elsewhere, sender), "an answer")[0]
        assert parseaddr(reply.message["From"])[1] == mine
    platform.remove_mailbox(account.user)


@pytest.mark.row("M13")
def test_a_notice_of_refusal_is_signed_and_comes_from_somebody(platform: Platform, elsewhere: Peer) -> None:
    account = platform.add_mailbox()
    active_script(account, 'require "reject"; reject "Not here.";')
    _, sender = write(platform, elsewhere, f"{account.user}@example.test")
    notice = eventually(lambda: replies(elsewhere, sender), "the notice")[0]
    source = parseaddr(notice.message["From"])[1]
    with platform.smtp() as session:
        assert answer(session, source, sender=sender)[0] == 250, f"{source} can be written to"
    assert verified(platform, source.rpartition("@")[2], notice.content)
    assert notice.sender == "<>"
    platform.remove_mailbox(account.user)


@pytest.mark.row("M7")
def test_a_warning_of_a_full_mailbox_comes_from_somebody(platform: Platform) -> None:
    account = platform.add_mailbox(quota="20Ki")
    recipient = f"{account.user}@example.test"
    body = ("x" * 62 + "\n") * 310
    with platform.smtp() as session:
        session.send_message(letter("stranger@outside.test", recipient, body=body))

    def warning() -> bytes | None:
        with account.imap() as session:
            session.select_folder("INBOX", readonly=True)
            found = session.search(["SUBJECT", "full"])
            return bytes(session.fetch(found[:1], ["BODY.PEEK[]"])[found[0]][b"BODY[]"]) if found else None

    content = eventually(warning, "the warning")
    headers = content.decode().partition("\r\n\r\n")[0]
    shown = dict(line.split(": ", 1) for line in headers.splitlines() if ": " in line and line[0].isalpha())
    assert '"' not in shown["From"] + shown["To"] + shown["Message-ID"]
    source = parseaddr(shown["From"])[1]
    with platform.smtp() as session:
        assert answer(session, source)[0] in {250, 552}, "the address exists, full as it may be"
    assert parseaddr(shown["To"])[1].partition("@")[0] == account.user
    platform.remove_mailbox(account.user)


@pytest.mark.row("M13")
def test_a_redirected_message_is_not_signed_by_us(platform: Platform, elsewhere: Peer) -> None:
    """Somebody else may have written it in the name of one of our domains."""
    account = platform.add_mailbox()
    target = elsewhere.recipient(f"target-{account.user}")
    active_script(account, f'redirect "{target}";')
    message = letter("alice@example.test", f"{account.user}@example.test")
    message["Auto-Submitted"] = "auto-replied (vacation)"
    with platform.smtp() as session:
        session.send_message(message, from_addr="")
    (copy,) = eventually(lambda: replies(elsewhere, target), "the redirected message")
    assert b"DKIM-Signature" not in copy.content
    assert copy.message["X-Sieve-Redirected-From"] in {f"{account.user}@example.test", f"{account.user}@example.org"}
    platform.remove_mailbox(account.user)


@pytest.mark.row("M13")
def test_a_redirect_of_another_server_is_no_loop_of_ours(platform: Platform, elsewhere: Peer) -> None:
    """The mailboxes of two servers may have one name; ours alone, seen again, is a loop, and then the mail stays."""
    account = platform.add_mailbox()
    target = elsewhere.recipient(f"target-{account.user}")
    active_script(account, f'redirect "{target}";')
    for host, led_on in (("other.test", True), ("example.org", False)):
        message = letter("stranger@outside.test", f"{account.user}@example.test")
        message["X-Sieve-Redirected-From"] = f"{account.user}@{host}"
        if not led_on:
            seen = elsewhere.messages()[-1].message["X-Sieve-Redirected-From"]
            message.replace_header("X-Sieve-Redirected-From", seen)
        with platform.smtp() as session:
            session.send_message(message)
        if led_on:
            eventually(partial(received, elsewhere, message), "it is redirected")
        else:
            wait_for_message(account, message["Message-ID"])
            assert not received(elsewhere, message)
    platform.remove_mailbox(account.user)


@pytest.fixture
def second(kube: Kube, directory: Directory) -> Iterator[Platform]:
    """Another platform, of which this one knows no more than its MX."""
    made = Platform(
        kube,
        directory,
        namespace=f"second-{secrets.token_hex(3)}",
        hostname="mail.second.test",
        domains=("second.test",),
    )
    made.create({})
    yield made
    kube.delete("v1", "Namespace", None, made.namespace)


@pytest.mark.row("M13")
def test_mail_is_led_on_from_platform_to_platform_and_a_ring_of_them_ends(
    platform: Platform, second: Platform, world: World, elsewhere: Peer
) -> None:
    """A mailbox of the same name on both redirects, first to a third server, then back to the first platform."""
    here = platform.add_mailbox()
    there = second.add_mailbox(here.user)
    target = elsewhere.recipient(f"third-{here.user}")
    active_script(here, f'redirect "{here.user}@second.test";')
    active_script(there, f'redirect "{target}";')
    with (
        way_in(world, "second.test", second.service_address(f"{second.name}-smtp")),
        way_in(world, platform.domains[0], platform.service_address(f"{platform.name}-smtp")),
    ):
        message = post(platform, f"{here.user}@example.test")
        eventually(partial(received, elsewhere, message), "it is led on twice")
        active_script(there, f'redirect "{here.user}@example.test";')
        message = post(platform, f"{here.user}@example.test")
        wait_for_message(here, message["Message-ID"])
        drained(platform)
        with there.imap() as session:
            assert find_message(session, message["Message-ID"]) is None, "it was led back"
    assert copies(platform, message) == {here.user: 1}
    platform.remove_mailbox(here.user)


@pytest.mark.row("M13")
def test_folders_are_made_and_every_action_is_done(platform: Platform, elsewhere: Peer) -> None:
    account = platform.add_mailbox()
    target = elsewhere.recipient(f"target-{account.user}")
    script = f'vacation "Away."; redirect :copy "{target}"; fileinto "Missing/Below"; fileinto :copy "Again";'
    active_script(account, f'require ["copy", "fileinto", "vacation"]; {script}')
    message, sender = write(platform, elsewhere, f"{account.user}@example.test")
    wait_for_message(account, message["Message-ID"], "Missing/Below")
    wait_for_message(account, message["Message-ID"], "Again")
    eventually(lambda: received(elsewhere, message), "the forward")
    eventually(lambda: replies(elsewhere, sender), "the answer")
    with account.imap() as session:
        assert find_message(session, message["Message-ID"]) is None
        assert "Missing/Below" in [name for _, _, name in session.list_sub_folders()]
    platform.remove_mailbox(account.user)


@pytest.mark.row("M13")
def test_a_script_tells_nobody_else(bob: Account) -> None:
    """RFC 5435: nothing would bound how many messages leave, and in whose name."""
    with ManageSieve(bob) as session:
        session.login()
        assert not any("enotify" in line or '"NOTIFY"' in line for line in session.capabilities)
        with pytest.raises(RefusedError):
            session.put("tell", 'require "enotify"; notify "mailto:somebody@elsewhere.test";')


@pytest.mark.row("M13")
def test_scripts_that_redirect_in_a_ring_multiply_nothing(platform: Platform, elsewhere: Peer) -> None:
    ring = [platform.add_mailbox() for _ in range(3)]
    target = elsewhere.recipient(f"target-{ring[0].user}")
    for one in ring:
        others = "".join(f'redirect :copy "{other.user}@example.test";' for other in ring if other is not one)
        active_script(one, f'require "copy"; {others} redirect :copy "{target}"; keep;')
    message = post(platform, f"{ring[0].user}@example.test")
    wait_for_message(ring[0], message["Message-ID"])
    drained(platform)
    found = copies(platform, message)
    assert set(found) == {one.user for one in ring}
    assert sum(found.values()) <= len(ring) ** 2
    assert len(received(elsewhere, message)) <= len(ring) ** 2
    for one in ring:
        platform.remove_mailbox(one.user)


@pytest.mark.row("M13")
def test_a_script_that_kills_its_delivery_is_switched_off_and_told(platform: Platform) -> None:
    """Pigeonhole 2.4.1 ends with an assertion here; the mail must arrive all the same, and others' at once."""
    account = platform.add_mailbox()
    script = 'require ["variables", "fileinto"]; if header :matches "subject" "??*" { fileinto "Long"; }'
    active_script(account, script)
    message = letter("stranger@outside.test", f"{account.user}@example.test", subject="x")
    with platform.smtp() as session:
        session.send_message(message)

    def switched_off() -> bool:
        with ManageSieve(account) as session:
            return session.login().scripts() == {"case": False}

    eventually(switched_off, "the script is there and not active")
    drained(platform)
    wait_for_message(account, message["Message-ID"])

    def told() -> bool:
        with account.imap() as session:
            session.select_folder("INBOX", readonly=True)
            return bool(session.search(["SUBJECT", "switched off", "BODY", '"case"']))

    eventually(told, "a message about it")
    active_script(account, 'require "fileinto"; fileinto "Mended";')
    later = post(platform, f"{account.user}@example.test")
    wait_for_message(account, later["Message-ID"], "Mended")
    platform.remove_mailbox(account.user)


@pytest.mark.row("M13")
@pytest.mark.row("M14")
def test_the_next_owner_of_a_name_runs_no_script_of_the_former_one(platform: Platform, elsewhere: Peer) -> None:
    former = platform.add_mailbox()
    target = elsewhere.recipient(f"former-{former.user}")
    active_script(former, f'redirect "{target}";')
    first = post(platform, f"{former.user}@example.test")
    eventually(lambda: received(elsewhere, first), "it is redirected")
    platform.remove_mailbox(former.user)
    now = platform.add_mailbox(former.user)
    second = post(platform, f"{now.user}@example.test")
    wait_for_message(now, second["Message-ID"])
    assert not received(elsewhere, second)
    with ManageSieve(now) as session:
        assert session.login().scripts() == {"former-owner-case": False}
        session.command('SETACTIVE "former-owner-case"')
    third = post(platform, f"{now.user}@example.test")
    eventually(lambda: received(elsewhere, third), "the owner has brought it back")
    platform.kube.apply(platform.mailbox(now.user, access={"pop3": False}))
    platform.kube.wait_condition("Mailbox", platform.namespace, now.user, "Ready")
    fourth = post(platform, f"{now.user}@example.test")
    eventually(lambda: received(elsewhere, fourth), "a change of the Mailbox changes no owner")
    platform.remove_mailbox(now.user)
