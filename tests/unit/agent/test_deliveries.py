"""The log of Postfix: passed on byte by byte, and read for what became of mail to relay hosts."""

import json
import os
import threading
from pathlib import Path

import pytest

from postboat.agent.children import Children
from postboat.agent.daemons.postfix import Postfix
from postboat.agent.deliveries import LONGEST, UNVALIDATED, Deliveries, Delivery, merged
from postboat.agent.delivery_log import MOST, DeliveryLog, passing_on

HEAD = "Nov 29 12:33:30 mail postfix/rh-news/smtp[305]: 4jcmlt0plvz1qLmH: "
WAY = "relay=relay.example.net[192.0.2.1]:587, delay=0.5, delays=0.3/0.1/0/0, "


def line(status: str, code: str, text: str, head: str = HEAD) -> bytes:
    return f"{head}to=<a@example.com>, {WAY}dsn={code}, status={status} ({text})".encode()


def page(*lines: bytes) -> dict[str, dict[str, dict[str, str]]]:
    found = DeliveryLog()
    for one in lines:
        found.note(one)
    return json.loads(found.page())  # type: ignore[no-any-return]


@pytest.mark.parametrize(
    ("status", "outcome", "code"),
    [("sent", "accepted", "2.0.0"), ("deferred", "deferred", "4.7.8"), ("bounced", "refused", "5.1.1")],
)
def test_each_outcome(status: str, outcome: str, code: str) -> None:
    found = page(line(status, code, "host said: 250 (ok) it is"))
    assert list(found) == ["rh-news"]
    assert list(found["rh-news"]) == [outcome]
    assert (found["rh-news"][outcome]["code"], found["rh-news"][outcome]["text"]) == (code, "host said: 250 (ok) it is")


@pytest.mark.parametrize(
    "other",
    [
        line("sent", "2.0.0", "ok", "Nov 29 12:33:30 mail postfix/smtp[305]: 4jcm: "),
        line("sent", "2.0.0", "ok", "Nov 29 12:33:30 mail postfix/relay/smtp[305]: 4jcm: "),
        b"Nov 29 12:33:30 mail postfix/rh-news/smtp[305]: connect to relay.example.net[192.0.2.1]:587: timed out",
        b"Nov 29 mail postfix/smtpd[1]: NOQUEUE: reject: RCPT from x: helo=<postfix/rh-news/smtp[1]: A: to=<a>,>",
        b"postfix/rh-\xff\xfe",
    ],
)
def test_other_lines_say_nothing(other: bytes) -> None:
    assert page(other) == {}


def test_a_resolver_that_does_not_validate_is_told_of() -> None:
    """Postfix says it once for each process, and of every host that it has no TLSA records."""
    none = "no TLSA records found"
    said = f"{none}; {UNVALIDATED}"
    warning = f"Nov 29 12:33:30 mail postfix/rh-news/smtp[305]: warning: {UNVALIDATED}".encode()
    waits = [line("deferred", "4.7.5", none, HEAD.replace("305", process)) for process in ("305", "306")]
    assert page(warning, waits[0])["rh-news"]["deferred"]["text"] == said
    assert page(warning, waits[0], waits[0])["rh-news"]["deferred"]["text"] == said
    assert page(warning, waits[1])["rh-news"]["deferred"]["text"] == none
    assert page(waits[0])["rh-news"]["deferred"]["text"] == none
    other = line("deferred", "4.7.5", "Server certificate not verified")
    assert page(warning, other)["rh-news"]["deferred"]["text"] == "Server certificate not verified"
    many = [warning.replace(b"305", str(number).encode()) for number in range(1000, 1000 + MOST)]
    assert page(warning, *many, waits[0])["rh-news"]["deferred"]["text"] == none, "what is remembered is bounded"


def test_the_last_one_counts_and_tells_no_address() -> None:
    text = 'host said: 550 5.1.1 <someone.else@example.org>: no such user, see b@example.net, not <"jane doe"@x.test>'
    found = page(line("bounced", "5.1.1", "before"), line("bounced", "5.1.1", text))
    assert found["rh-news"]["refused"]["text"] == (
        "host said: 550 5.1.1 <address>: no such user, see <address>, not <address>"
    )
    assert len(page(line("deferred", "4.0.0", "x" * 999))["rh-news"]["deferred"]["text"]) == LONGEST


def test_of_several_pods_the_last_counts() -> None:
    old, new = Delivery(1, "2.0.0", "old"), Delivery(2, "2.0.0", "new")
    assert merged([Deliveries(new, old), Deliveries(old, None, old)]) == Deliveries(new, old, old)
    assert merged([]) == Deliveries()


def test_every_byte_is_passed_on() -> None:
    source, writing = os.pipe()
    reading, sink = os.pipe()
    log = DeliveryLog()
    thread = threading.Thread(target=passing_on, args=(source, sink, log))
    thread.start()
    content = b"one\n" + line("sent", "2.0.0", "ok") + b"\n\xff no text \x00\nno end"
    for part in (content[:20], content[20:101], content[101:]):
        os.write(writing, part)
    os.close(writing)
    thread.join(10)
    os.close(sink)
    with open(reading, "rb") as whole:  # noqa: PTH123 -- a descriptor
        assert whole.read() == content
    os.close(source)
    assert list(json.loads(log.page())) == ["rh-news"]


def test_a_recipient_does_not_choose_the_outcome() -> None:
    forged = '"x>, relay=none, delay=0, delays=0/0/0/0, dsn=5.0.0, status=bounced (forged"@example.com'
    whole = f"{HEAD}to=<{forged}>, orig_to=<{forged}>, {WAY}dsn=2.0.0, status=sent (250 ok)".encode()
    assert list(page(whole)["rh-news"]) == ["accepted"]


def test_no_more_than_some_transports_are_remembered() -> None:
    heads = (HEAD.replace("rh-news", f"rh-{number}") for number in range(MOST + 5))
    found = page(*(line("sent", "2.0.0", "ok", head) for head in heads))
    assert len(found) == MOST
    assert f"rh-{MOST + 4}" in found


def test_the_log_has_a_reader_where_the_pipe_cannot_grow(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*_: object) -> int:
        raise PermissionError

    monkeypatch.setattr("fcntl.fcntl", refused)
    before = {thread.name for thread in threading.enumerate()}
    daemon = Postfix(tmp_path, tmp_path, Children())
    assert daemon.output() == daemon.output()
    assert "log" in {thread.name for thread in threading.enumerate()} - before
