"""Who answers from which address: the rows that a store has of a user, and what its own query makes of them."""

from __future__ import annotations

import re
import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING

import pytest

from postboat.agent.sqlite import SqliteDriver
from postboat.render.tables import TABLES
from tests.golden import world
from tests.property.readers import postfix_main
from tests.unit.render.test_render import file, rendered, rows, services

if TYPE_CHECKING:
    from pathlib import Path

    from postboat.api import Resource
    from postboat.render.files import Files


def to(name: str, *mailboxes: str, **spec: object) -> Resource:
    return world.resource("MailAddress", name, {"destinations": [{"mailbox": one} for one in mailboxes], **spec})


OFFICE = (
    world.resource("MailDomain", "second.example", {}),
    world.resource("Mailbox", "bob", {"forward": {"to": ["x@rel.test"], "keepCopy": True}}),
    world.resource("Mailbox", "team", {"type": "Group", "members": ["alice"], "address": "Enabled"}),
    to("sales", "alice"),
    to("support", "bob", "alice"),
    to("news", "team"),
    to("only-here", "bob", domain="second.example"),
    to("chain", "alice", localPart="chain", domain="second.example"),
    to("bobs", "alice", "bob", localPart="bob", domain="second.example"),
    to("taken", "alice", localPart="alice", domain="second.example"),
    world.resource("MailAddress", "longer", {"destinations": [{"address": "sales@example.org"}]}),
)


def test_an_address_is_its_owners_where_it_leads_to_nobody_else() -> None:
    assert rows(rendered(*OFFICE), "own") == {
        ("alice/sales@example.org", "own"),
        ("alice/sales@second.example", "own"),
        ("alice/longer@example.org", "own"),
        ("alice/longer@second.example", "own"),
        ("alice/chain@second.example", "own"),
        ("bob/only-here@second.example", "own"),
        ("bob/bob@second.example", "shared"),
    }


def test_the_postmaster_is_an_office_and_nobodys_own_address() -> None:
    found = rows(rendered(postmaster={"mailbox": "alice"}), "own")
    assert found == {("@postmaster/postmaster@example.org", "office")}


def looked_up(path: Path, files: Files, user: str, protocol: str = "lmtp", port: int = 10024) -> dict[str, str | None]:
    """Ask the tables as Dovecot does, by the very query of its configuration."""
    tables = [table for table in TABLES if table.key == "store" and table.driver == "sqlite"]
    SqliteDriver(path / "directory.sqlite").rebuild(
        {table: [row for row in rows(files, table.name) if len(row) == len(table.columns)] for table in tables}
    )
    conf = file(files, "store", "dovecot.conf").content.decode()
    query = re.search(r"^  sql_query = (.*)$", conf, re.MULTILINE)
    assert query is not None
    address = user if "@" in user or protocol != "lmtp" else f"{user}@mailbox.invalid"
    values = {
        "user": address,
        "user | username": address.partition("@")[0],
        "protocol": protocol,
        "original_user": address,
        "local_port": str(port),
    }
    text = re.sub(r"%\{([^}]*)\}", lambda found: values.get(found[1], ""), query[1]).replace("%%", "%")
    with closing(sqlite3.connect(path / "directory.sqlite")) as connection:
        connection.row_factory = sqlite3.Row
        return dict(connection.execute(text).fetchone())


def test_a_store_finds_all_that_a_users_replies_need(tmp_path: Path) -> None:
    found = looked_up(tmp_path, rendered(*OFFICE), "alice")
    assert found["sieve_user_email"] == found["postmaster"] == "alice@example.org", "there is no postmaster"
    assert set((found["own"] or "").split(",")) == {
        "",
        "sales@example.org",
        "sales@second.example",
        "longer@example.org",
        "longer@second.example",
        "chain@second.example",
    }
    assert found["shared"] is None
    assert looked_up(tmp_path, rendered(*OFFICE), "bob")["shared"] == ",bob@second.example,"
    assert looked_up(tmp_path, rendered(*OFFICE), "alice", "pop3")["own"] is None, "only a delivery needs them"


def test_no_row_is_that_of_a_user_whose_name_only_begins_so(tmp_path: Path) -> None:
    names = ("al", "al-x", "al.x", "al_x", "al0", "alx")
    boxes = [world.resource("Mailbox", name.replace("_", "-u-"), {"username": name}) for name in names]
    found = looked_up(tmp_path, rendered(*boxes, *(to(f"to{n}", box.name) for n, box in enumerate(boxes))), "al")
    assert found["own"] == ",to0@example.org,"


@pytest.mark.parametrize(
    ("more", "postmaster"),
    [
        ((), "postmaster@example.org"),
        ((to("here", "alice", localPart="postmaster", domain="example.org"),), "postmaster@example.org"),
    ],
)
def test_notices_come_from_a_postmaster_at_a_domain_of_the_user(
    tmp_path: Path, more: tuple[Resource, ...], postmaster: str
) -> None:
    domains = (world.resource("MailDomain", "a.example", {}), world.resource("MailDomain", "z.example", {}))
    away = to("away", "alice", localPart="alice", domain="a.example")
    files = rendered(*domains, away, *more, postmaster={"mailbox": "alice"})
    assert looked_up(tmp_path, files, "alice")["postmaster"] == postmaster


def test_a_user_without_an_address_is_called_by_the_host_and_answers_nothing(tmp_path: Path) -> None:
    files = rendered(world.resource("Mailbox", "mute", {"address": "Disabled"}))
    assert looked_up(tmp_path, files, "mute")["sieve_user_email"] == "mute@mail.example.org"


def test_what_scripts_send_is_signed_and_not_judged() -> None:
    files = rendered()
    main = postfix_main(file(files, "smtp", "main.cf").content.decode().replace("$myhostname", "HOST"))
    inner = services(file(files, "smtp", "master.cf").content.decode())["10026"]
    assert "milter_macro_defaults = auth_authen=scripts@mailbox.invalid" in inner
    assert "milter_default_action = accept" in inner
    assert "auth_authen" in main["milter_mail_macros"]
    assert any("127.0.0.1 = DISABLE" in option for option in inner), "whether Postfix answers is asked here"
    assert not any(option.startswith("smtpd_milters ") for option in inner), "the filter signs"
    assert b'user = "scripts@mailbox.invalid"' in file(files, "filter", "platform.conf").content


def test_one_message_becomes_few() -> None:
    conf = file(rendered(), "store", "dovecot.conf").content.decode()
    assert "\nsieve_extensions {\n  enotify = no\n}\n" in conf
    assert "\nsieve_max_redirects = 4\n" in conf
    assert "\nsieve_max_actions = 32\n" in conf
