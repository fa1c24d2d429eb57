"""What the filter says about whom: our own people send no spam, strangers set no mark of ours, and it may be away."""

from __future__ import annotations

import secrets
import smtplib
from email import message_from_bytes
from email.message import Message

import pytest

from e2e.cases.test_faults import one_pod
from e2e.cases.test_junk import honest, wait_where
from e2e.cases.test_logs import logs
from e2e.clients import SECONDS, Account, letter, wait_for_message
from e2e.kube import eventually
from e2e.platform import HOSTNAME, Platform
from e2e.post import server_with, spam
from e2e.processes import container_processes, kill
from e2e.world import World
from e2e.world.place import Place

BARE = {
    "a bare subject": "Subject: BACKUP FAILED ON NAS\r\n\r\n{mark}\r\n",
    "no header at all": "{mark}\r\nthe printer has no paper\r\n",
    "no body": "Subject: {mark}\r\n\r\n",
    "a mark of the sender": "X-Spam: Yes\r\nx-spam:\r\n yes\r\nSubject: ALARM\r\n\r\n{mark}\r\n",
    "a bad program": "From: <{user}@example.test>\r\nX-Mailer: The Bat! (v2.10)\r\nSubject: B U Y\r\n\r\n{mark}\r\n",
}
"""What printers, scripts and old programs send."""

FORGED = (
    f"{HOSTNAME}; spf=pass",
    f"{HOSTNAME.upper()} ; dkim=pass",
    f'"{HOSTNAME}" 1; dmarc=pass',
    f"(a (nested) comment) {HOSTNAME} (another); spf=pass",
    f"\r\n\t{HOSTNAME}\r\n ; spf=pass",
    f'"{HOSTNAME.replace(".", chr(92) + ".")}"; spf=pass',
    f"{HOSTNAME}.; spf=pass",
    f"{HOSTNAME}",
    f"=?utf-8?q?{HOSTNAME}?=; spf=pass",
    f"(no end {HOSTNAME}; spf=pass",
)
"""Our name in all spellings (RFC 8601, 2.2)."""
FOREIGN = ("mx.other.test; spf=pass", f"{HOSTNAME}.evil.test; spf=pass", f"not-{HOSTNAME}; spf=pass")


def stored(account: Account, text: str, folder: str = "INBOX") -> Message:
    """The message with that text, as soon as it is in the folder."""

    def look() -> bytes | None:
        with account.imap() as session:
            session.select_folder(folder, readonly=True)
            found = session.search(["TEXT", text])
            return bytes(session.fetch(found[:1], ["BODY.PEEK[]"])[found[0]][b"BODY[]"]) if found else None

    return message_from_bytes(bytes(eventually(look, f"{text} in {folder} of {account.user}")))


def results(message: Message) -> list[str]:
    return [" ".join(value.split()) for value in message.get_all("Authentication-Results") or []]


@pytest.mark.row("F3")
@pytest.mark.parametrize("text", BARE.values(), ids=BARE.keys())
def test_mail_of_a_user_is_no_spam(platform: Platform, alice: Account, bob: Account, text: str) -> None:
    mark = f"mark-{secrets.token_hex(6)}"
    with alice.submission() as session:
        assert not session.sendmail("alice@example.test", ["bob@example.org"], text.format(mark=mark, user="alice"))
    assert "X-Spam" not in stored(bob, mark)
    with platform.smtp() as session:
        try:
            assert not session.sendmail("alice@example.test", ["bob@example.org"], text.format(mark=mark, user="bob"))
        except smtplib.SMTPDataError as error:
            assert error.smtp_code == 554, "a stranger is judged by the same text"


@pytest.mark.row("R3")
def test_mail_of_a_trusted_network_is_no_spam(platform: Platform, bob: Account, world: World) -> None:
    address = platform.service_address(f"{platform.name}-smtp")

    def send(text: str) -> int:
        with world.trusted.entered():
            session = smtplib.SMTP(address, 25, timeout=SECONDS)
        with session:
            try:
                session.sendmail("nas@example.test", ["bob@example.test"], text)
            except smtplib.SMTPDataError as error:
                return error.smtp_code
        return 250

    assert send(BARE["no header at all"].format(mark="untrusted")) == 554
    with server_with(platform, smtp={"trustedNetworks": [world.trusted.network]}):
        for text in BARE.values():
            mark = f"mark-{secrets.token_hex(6)}"
            assert send(text.format(mark=mark, user="nas")) == 250
            assert "X-Spam" not in stored(bob, mark)


@pytest.mark.row("M8")
@pytest.mark.parametrize("mark", ["X-Spam: Yes", "x-spam : yes", "X-SPAM:\r\n\tYes"])
def test_a_mark_of_a_stranger_moves_no_mail(platform: Platform, mark: str) -> None:
    account = platform.add_mailbox()
    # As much else is odd about it as an honest message can have: the mark must not add to that.
    subject = honest(platform, f"{account.user}@example.test", mark, "X-Mailer: The Bat! (v2.10)", mark)
    assert wait_where(account, subject) == "INBOX"
    assert "X-Spam" not in stored(account, subject)
    platform.remove_mailbox(account.user)


@pytest.mark.row("F3")
@pytest.mark.parametrize("way", ["outside", "user"])
def test_results_under_our_name_are_ours_alone(platform: Platform, alice: Account, bob: Account, way: str) -> None:
    message = letter("alice@example.test", "bob@example.test", subject="Results")
    head, _, body = message.as_bytes().replace(b"\n", b"\r\n").partition(b"\r\n\r\n")
    given = "".join(f"\r\nAuthentication-Results: {value}" for value in (*FORGED, *FOREIGN)).encode()
    with platform.smtp() if way == "outside" else alice.submission() as session:
        session.sendmail("alice@example.test", ["bob@example.test"], head + given + b"\r\n\r\n" + body)
    found = results(message_from_bytes(wait_for_message(bob, message["Message-ID"])))
    assert [value for value in found if not value.startswith(f"{HOSTNAME};")] == list(FOREIGN)
    ours = [value for value in found if value.startswith(f"{HOSTNAME};")]
    assert len(ours) == (1 if way == "outside" else 0), found
    assert not ours or found[0] == ours[0], "the newest stands on top"


@pytest.mark.row("F3")
@pytest.mark.parametrize("value", FORGED, ids=range(len(FORGED)))
def test_one_forged_result_goes(platform: Platform, bob: Account, value: str) -> None:
    message = letter("friend@outside.test", "bob@example.test", subject="One result")
    head, _, body = message.as_bytes().replace(b"\n", b"\r\n").partition(b"\r\n\r\n")
    given = f"\r\nAuthentication-Results: {value} FORGED".encode()
    with platform.smtp() as session:
        session.sendmail("friend@outside.test", ["bob@example.test"], head + given + b"\r\n\r\n" + body)
    assert b"FORGED" not in wait_for_message(bob, message["Message-ID"])


@pytest.mark.row("F3")
def test_results_tell_what_was_found(platform: Platform, bob: Account, world: World) -> None:
    good, bad = world.outside, world.trusted
    world.zones.publish("proven.test", {
        "@": ["MX 10 mx", f'TXT "v=spf1 ip4:{good.address} -all"'],
        "mx": [f"A {good.address}"],
        "other": [f"A {bad.address}"],
        "_dmarc": ['TXT "v=DMARC1; p=none"'],
    })  # fmt: skip
    world.zones.name_address(good.address, "mx.proven.test")
    world.zones.name_address(bad.address, "other.proven.test")
    address = platform.service_address(f"{platform.name}-smtp")

    def told(place: Place, name: str) -> str:
        message = letter("friend@proven.test", "bob@example.test", subject="Proven")
        with place.entered():
            session = smtplib.SMTP(address, 25, local_hostname=name, timeout=SECONDS)
        with session:
            session.send_message(message)
        return results(message_from_bytes(wait_for_message(bob, message["Message-ID"])))[0]

    proven, denied = told(good, "mx.proven.test"), told(bad, "other.proven.test")
    assert proven.startswith(f"{HOSTNAME};")
    assert "spf=pass" in proven
    assert "dmarc=pass" in proven
    assert "smtp.mailfrom=friend@proven.test" in proven
    assert "spf=fail" in denied
    assert "dmarc=fail" in denied


@pytest.mark.row("L1")
def test_login_and_sender_stand_in_one_line(platform: Platform, alice: Account) -> None:
    sender = f"bob+{secrets.token_hex(4)}@example.org"
    with alice.submission() as session:
        session.send_message(letter(sender, "alice@example.test"), sender, ["alice@example.test", "bob@example.test"])

    def lines() -> list[str]:
        text = logs(platform, "smtp").splitlines()
        return [line for line in text if f"from=<{sender}>" in line and line.endswith(" sasl_username=alice")]

    assert len(eventually(lines, "the login and the sender")) == 1, "once for a message, however many it is for"


@pytest.mark.row("B2")
@pytest.mark.parametrize("open_at", ["between messages", "after RCPT"])
def test_a_session_ends_when_the_filter_goes(platform: Platform, alice: Account, open_at: str) -> None:
    message = letter("alice@example.test", "alice@example.test")
    session = alice.submission()
    session.send_message(letter("alice@example.test", "alice@example.test"))
    if open_at == "after RCPT":
        session.mail("alice@example.test")
        session.rcpt("alice@example.test")
    pod = one_pod(platform, "filter")
    kill(process for running in container_processes(pod).values() for process in running if process.inner != 1)
    if open_at == "between messages":
        code = _refusal(session)
    else:
        code, _ = session.data(message.as_bytes())
    assert code == 421, "not 451 for as long as the session lasts"
    assert session.sock is not None
    assert session.sock.recv(100) == b"", "and it is closed"

    def taken() -> bool:
        try:
            with alice.submission() as again:
                again.send_message(message)
        except (smtplib.SMTPException, OSError) as error:
            raise AssertionError(repr(error)) from error
        return True

    eventually(taken, "the next session asks the filter that is back", timeout=60)
    assert wait_for_message(alice, message["Message-ID"])


def _refusal(session: smtplib.SMTP) -> int:
    """The answer to a whole message where it is first refused."""
    code, _ = session.mail("alice@example.test")
    if code == 250:
        code, _ = session.rcpt("alice@example.test")
    if code == 250:
        code, _ = session.data(b"Subject: now\r\n\r\nnow\r\n")
    return code


@pytest.mark.row("M8")
def test_strangers_are_judged_as_before(platform: Platform, bob: Account) -> None:
    assert wait_where(bob, spam(platform, "bob@example.test")) == "Junk"
