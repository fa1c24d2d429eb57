"""IMAP as the cases about rights use it: plain commands, and what the server answers to each."""

from __future__ import annotations

import imaplib
import re
from typing import Any

from e2e.clients import SECONDS, Account, closing_on_refusal

Answer = tuple[str, list[Any]]
_LISTED = re.compile(rb'\((?P<flags>[^)]*)\) "/" (?P<name>.+)')


def session(account: Account) -> imaplib.IMAP4_SSL:
    """A logged-in session that answers each command with OK or NO and what came with it."""
    opened = imaplib.IMAP4_SSL(account.hostname, 993, ssl_context=account.context(), timeout=SECONDS)
    with closing_on_refusal(opened.shutdown):
        opened.login(account.user, account.password)
    return opened


def ok(answer: Answer) -> list[Any]:
    """What came with a command that was carried out."""
    assert answer[0] == "OK", answer
    return answer[1]


def no(answer: Answer) -> str:
    """Why a command was refused."""
    assert answer[0] == "NO", answer
    return bytes(answer[1][0]).decode()


def folders(opened: imaplib.IMAP4, pattern: str = "*") -> set[str]:
    """The folders that are listed and can be selected."""
    found = (_LISTED.fullmatch(line) for line in ok(opened.list('""', f'"{pattern}"')) if line)
    return {one["name"].decode().strip('"') for one in found if one and b"\\noselect" not in one["flags"].lower()}


def rights(opened: imaplib.IMAP4, folder: str) -> set[str]:
    """The rights that the session has in a folder, without the two letters that only stand for others."""
    return set(ok(opened.myrights(folder))[0].decode().rpartition(" ")[2]) - set("cd")


def grants(opened: imaplib.IMAP4, folder: str) -> dict[str, set[str]]:
    """Who has which rights in a folder; what is declared begins with `#`."""
    words = ok(opened.getacl(folder))[0].decode().split()[1:]
    return {who: set(what) - set('cd"') for who, what in zip(words[::2], words[1::2], strict=True)}


def append(opened: imaplib.IMAP4, folder: str, subject: str = "Put here") -> Answer:
    """Put a small message into a folder."""
    return opened.append(folder, "", "", f"Subject: {subject}\r\n\r\nbody\r\n".encode())


def subjects(opened: imaplib.IMAP4, folder: str) -> list[str]:
    """The subjects of all messages of a folder, which is then selected read-only."""
    if int(ok(opened.select(folder, readonly=True))[0]) == 0:
        return []
    fetched = ok(opened.fetch("1:*", "(BODY.PEEK[HEADER.FIELDS (SUBJECT)])"))
    return [part[1].decode().strip().removeprefix("Subject: ") for part in fetched if isinstance(part, tuple)]
