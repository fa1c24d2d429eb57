"""Patterns by which Postfix rewrites commands and notices; the first match counts, and only ASCII has no case."""

from __future__ import annotations

import re

import pytest

from postboat.model.platform import Platform
from postboat.model.resolve import resolve
from postboat.render import postfix
from tests.golden import world

DOMAINS = ("xn--strae-oqa.test", "xn--rs-gia6g.test", "example.org")
OWN = {content.name: content for content in (world.internal("mail", "mail"), world.self_signed("mail", "mail"))}
CLASSES = {"[:space:]": r"\s"}


def platform() -> Platform:
    domains = [world.resource("MailDomain", name, {}) for name in DOMAINS]
    found = resolve(world.of(world.server(), domains, OWN)).platform
    assert found is not None
    return found


def applied(rules: list[tuple[str, str]], line: str) -> str | None:
    """Give what a table makes of a line; `$$(1)` is a group, for Postfix's own `$` is doubled in main.cf."""
    for pattern, replacement in rules:
        written = pattern.removeprefix("/").removesuffix("/").replace("$$", "$")
        for name, python in CLASSES.items():
            written = written.replace(name, python)
        if match := re.match(written, line, re.IGNORECASE | re.ASCII):
            groups = {f"$$({number})": text or "" for number, text in enumerate(match.groups(), 1)}
            return re.sub(r"\$\$\([0-9]+\)", lambda one, groups=groups: groups[one[0]], replacement)  # type: ignore[misc]
    return None


@pytest.mark.parametrize(
    ("command", "goes_on"),
    [
        ("RCPT TO:<anna@straße.test>", "RCPT TO:<anna@xn--strae-oqa.test>"),
        ("rcpt to: <anna@STRAẞE.test> NOTIFY=NEVER", "rcpt to: <anna@xn--strae-oqa.test> NOTIFY=NEVER"),
        ("MAIL FROM:<anna@rßös.test> SIZE=1", "MAIL FROM:<anna@xn--rs-gia6g.test> SIZE=1"),
        ("RCPT TO:<anna@RẞÖS.TEST>", "RCPT TO:<anna@xn--rs-gia6g.test>"),
        ("MAIL FROM:anna@straße.test", "MAIL FROM:anna@xn--strae-oqa.test"),
        ("RCPT TO:<anna@fuß.example> NOTIFY=NEVER", "RCPT TO:<anna@unicode.invalid> NOTIFY=NEVER"),
        ("RCPT TO:<anna@example.org>", None),
        ("RCPT TO:<anna@strasse.test>", None),
        ("MAIL FROM:<anna@fuß.example>", None),
        ("DATA", None),
    ],
)
def test_a_domain_that_would_be_taken_for_another_goes_on_in_ascii_or_is_refused(
    command: str, goes_on: str | None
) -> None:
    found = applied(list(postfix._conversions(platform())), command)
    assert found == (goes_on and goes_on.replace("unicode.invalid", postfix.names.UNICODE_DOMAIN))


@pytest.mark.parametrize(
    ("said", "becomes"),
    [
        ("5.1.1 unknown user", "4.1.1 unknown user"),
        ("5.4.7 too late", "4.4.7 too late"),
        ("5.7.1 refused", None),
        ("5.2.2 over quota", None),
    ],
)
def test_a_store_that_does_not_know_a_mailbox_defers_and_other_refusals_stay(said: str, becomes: str | None) -> None:
    assert applied(list(postfix._outcomes(platform())), said) == becomes


@pytest.mark.parametrize("status", ["4.1.1", "5.1.1", "5.2.2"])
def test_people_are_told_the_number_of_a_store_and_not_its_name(status: str) -> None:
    store = f"mail-store-1.{platform().fqdn('store')}"
    found = applied(list(postfix._outcomes(platform())), f"{status} host {store}[10.0.0.7]:10024 said: no")
    assert found == f"{status.replace('5.1.1', '4.1.1')} host store 1 said: no"


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("<anna@{inner}>: host {store}[10.0.0.7] said: no", "<anna@$myhostname>: host store 1 said: no"),
        ("<anna=example.org@{inner}>: host {store} said: no", "<anna@example.org>: host store 1 said: no"),
        ("<anna=example.org@{inner}>: mail loops", "<anna@example.org>: mail loops"),
        ("Final-Recipient: rfc822; anna@{inner}", "Final-Recipient: rfc822; anna@$myhostname"),
        ("Remote-MTA: dns; {store}", "Remote-MTA: dns; $myhostname"),
        ("host {store}[fd00::1]:10024 said: no", "host store 1 said: no"),
        ("the host mail.example.com said: no", None),
    ],
)
def test_a_notice_names_no_store_and_no_inner_address(line: str, told: str | None) -> None:
    whole = platform()
    store = f"mail-store-1.{whole.fqdn('store')}"
    inner = postfix.names.MAILBOX_DOMAIN
    assert applied(list(postfix._notices(whole)), line.format(inner=inner, store=store)) == told
