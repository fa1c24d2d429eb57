"""Mailboxes in one domain: who logs in with which name, who is found by which recipient, and what each row is about.

Edges and stores are asked by the very queries of their configuration.
"""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Mapping
from contextlib import closing
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from postboat.agent.sqlite import SqliteDriver
from postboat.model.resolve import Resolution, Resolver, resolve
from postboat.model.retention.reclaim import FINALIZER
from postboat.model.snapshot import SecretContent
from postboat.model.verdict import Reason
from postboat.render.tables import TABLES
from postboat.render.units import render
from tests.golden import world
from tests.golden.rows import table_rows
from tests.unit.render.test_render import file, rows

if TYPE_CHECKING:
    from pathlib import Path

    from postboat.api import Resource
    from postboat.render.files import Files

PASSWORDS = SecretContent("mail", "words", exists=True, data={"one": b"{CRYPT}$6$one$" + b"x" * 86})
WITH_PASSWORD = {"passwordSecret": {"name": "words", "key": "one"}}


def bound(name: str, domain: str = "a.example", username: str = "info", **spec: object) -> Resource:
    return world.resource("Mailbox", name, {"username": username, "domain": domain, **spec})


GENERAL = world.resource("Mailbox", "info", WITH_PASSWORD)
DOMAINS = tuple(
    world.resource("MailDomain", name, {"domain": domain, "dkim": {"enabled": False}})
    for name, domain in (("a", "a.example"), ("b", "b.example"), ("books", "bücher.example"))
)


def resolved(*resources: Resource, inventory_complete: bool = True, **server: object) -> Resolution:
    secrets = {one.name: one for one in (world.internal("mail", "mail"), world.self_signed("mail", "mail"), PASSWORDS)}
    return resolve(replace(world.of(world.server(**server), resources, secrets), inventory_complete=inventory_complete))


def files(*resources: Resource, inventory_complete: bool = True, **server: object) -> Files:
    platform = resolved(*resources, inventory_complete=inventory_complete, **server).platform
    assert platform is not None
    return render(platform)


def ask(path: Path, made: Files, key: str, query: str, values: Mapping[str, str]) -> list[str]:
    """Run a query of Dovecot against the tables of one kind of container; give the users that it finds."""
    tables = [table for table in TABLES if table.key == key and table.driver == "sqlite"]
    SqliteDriver(path / f"{key}.sqlite").rebuild(
        {table: [row for row in rows(made, table.name) if len(row) == len(table.columns)] for table in tables}
    )
    text = re.sub(r"%\{([^}]*)\}", lambda found: values.get(found[1], ""), query).replace("%%", "%")
    with closing(sqlite3.connect(path / f"{key}.sqlite")) as connection:
        connection.row_factory = sqlite3.Row
        return [row["user"] for row in connection.execute(text)]


def login(path: Path, made: Files, name: str, master: str = "") -> list[str]:
    """Ask an edge about a login over IMAP."""
    conf = file(made, "imap", "dovecot.conf").content.decode()
    query = re.search(r"protocol imap \{.*?sql_query = (.*?)\n", conf, re.DOTALL)
    assert query is not None
    form = name.lower()
    local, _, domain = form.partition("@")
    values = {"user": form, "user | username": local, "user | domain": domain, "master_user": master}
    return ask(path, made, "edge", query[1], values)


def found(path: Path, made: Files, name: str, protocol: str, port: int) -> list[str]:
    """Ask a store about a name."""
    conf = file(made, "store", "dovecot.conf").content.decode()
    query = re.search(r"^  sql_query = (.*)$", conf, re.MULTILINE)
    assert query is not None
    values = {
        "user": name.lower(),
        "user | username": name.lower().partition("@")[0],
        "original_user": name,
        "protocol": protocol,
        "local_port": str(port),
        "master_user": ".edge" if port and protocol != "lmtp" else "",
    }
    return ask(path, made, "store", query[1], values)


@pytest.mark.parametrize(
    ("name", "user"),
    [
        ("info", "info"),
        ("INFO", "info"),
        ("info@a.example", "info@a.example"),
        ("Info@A.Example", "info@a.example"),
        ("info@b.example", "info"),
        ("info@bücher.example", "info@xn--bcher-kva.example"),
        ("info@xn--bcher-kva.example", "info@xn--bcher-kva.example"),
        ("info@elsewhere.example", None),
        ("info@a.example@b.example", None),
        ("info@", "info"),
        ("@a.example", None),
        ("other@a.example", None),
    ],
)
def test_an_address_is_the_login_of_who_is_in_that_domain(tmp_path: Path, name: str, user: str | None) -> None:
    two = bound("here", **WITH_PASSWORD), bound("books", "Bücher.example", **WITH_PASSWORD)
    assert login(tmp_path, files(GENERAL, *DOMAINS, *two), name) == ([user] if user else [])


_SHUT = dict.fromkeys(("imap", "pop3", "smtp", "sieve"), False)


@pytest.mark.parametrize(
    ("holder", "openable"),
    [
        (bound("here"), True),
        (bound("here", access=_SHUT, **WITH_PASSWORD), False),
        (bound("here", type="Group"), False),
        (bound("here", type="Group", address="Enabled"), False),
        (bound("here", type="Public"), False),
        (bound("here", address="Disabled"), True),
        (replace(bound("here"), deleting=True, finalizers=(FINALIZER,)), False),
    ],
    ids=["no password", "no service", "group", "group with address", "public", "no address", "being erased"],
)
@pytest.mark.parametrize("inventory_complete", [True, False])
@pytest.mark.parametrize("master", ["", "root"])
def test_a_name_that_nobody_logs_in_with_is_left_to_nobody(
    tmp_path: Path, holder: Resource, *, openable: bool, inventory_complete: bool, master: str
) -> None:
    more = {"storage": {"shards": 2}, "masterUser": {"passwordSecret": {"name": "words", "key": "one"}}}
    general = replace(GENERAL, status={"store": 0})
    made = files(general, holder, *DOMAINS, inventory_complete=inventory_complete, **more)
    opened = ["info@a.example"] if master and inventory_complete and openable else []
    assert login(tmp_path, made, "info@a.example", master) == opened
    assert login(tmp_path, made, "info@b.example", master) == ["info"]


def test_a_name_in_a_domain_that_is_not_there_is_kept_from_everybody(tmp_path: Path) -> None:
    """Rows of a domain and of who is in it are in different shards: the one may come before the other."""
    waiting = bound("here", **WITH_PASSWORD)
    made = files(GENERAL, waiting, *DOMAINS[1:])
    assert ("info@a.example", "", "", ",") in rows(made, "users")
    assert login(tmp_path, made, "info@a.example") == []


@pytest.mark.parametrize(
    ("name", "protocol", "port", "user"),
    [
        ("info@a.example", "lmtp", 10027, "info@a.example"),
        ("Info@A.example", "lmtp", 10027, "info@a.example"),
        ("info@b.example", "lmtp", 10027, None),
        ("info", "lmtp", 10027, "info"),
        ("info@a.example", "lmtp", 10024, "info"),
        ("info@b.example", "lmtp", 10024, "info"),
        ("info", "imap", 10143, "info"),
        ("info@a.example", "imap", 10143, "info@a.example"),
        ("info@b.example", "imap", 10143, None),
        ("info", "imap", 0, "info"),
        ("info@a.example", "imap", 0, "info@a.example"),
        ("info@b.example", "imap", 0, None),
        ("info@a.example", "lmtp", 0, "info@a.example"),
        ("info", "lmtp", 0, "info"),
        ("Info@a.example", "lmtp", 0, None),
        ("info@b.example", "lmtp", 0, None),
        ("info@a.example", "pop3", 10110, "info@a.example"),
        ("info", "pop3", 10110, "info"),
        ("info@b.example", "pop3", 10110, None),
        ("info@a.example", "quota-status", 12340, "info@a.example"),
        ("Info@A.example", "quota-status", 12340, "info@a.example"),
        ("info@b.example", "quota-status", 12340, "info"),
    ],
)
def test_a_store_takes_nobody_for_a_namesake(
    tmp_path: Path, name: str, protocol: str, port: int, user: str | None
) -> None:
    """Whatever the address is: the port of a delivery says whether it is for somebody in one domain or in all."""
    made = files(GENERAL, bound("here", quota="1Gi", **WITH_PASSWORD), *DOMAINS)
    assert found(tmp_path, made, name, protocol, port) == ([user] if user else [])


def test_mail_for_who_has_gone_is_never_taken_for_somebody_in_all_domains(tmp_path: Path) -> None:
    """Postfix may still know him when the store does not any more."""
    made = files(GENERAL, *DOMAINS)
    assert found(tmp_path, made, "info@a.example", "lmtp", 10027) == []
    assert found(tmp_path, made, "info@a.example", "lmtp", 10024) == ["info"]


def test_rows_of_each_are_about_his_own_addresses() -> None:
    made = files(GENERAL, bound("here", quota="1Gi"), bound("books", "bücher.example", internal=True), *DOMAINS)
    aliases = dict(row for row in rows(made, "aliases") if row[0].startswith("info@"))
    assert aliases == {
        "info@a.example": "info=a.example@mailbox.invalid",
        "info@b.example": "info@mailbox.invalid",
        "info@bücher.example": "info=xn--bcher-kva.example@mailbox.invalid",
        "info@xn--bcher-kva.example": "info=xn--bcher-kva.example@mailbox.invalid",
    }
    assert dict(rows(made, "mailboxes")) == {
        "info@mailbox.invalid": "info@b.example",
        "info=a.example@mailbox.invalid": "info@a.example",
        "info=xn--bcher-kva.example@mailbox.invalid": "info@xn--bcher-kva.example",
    }
    ports = {user: hop.rpartition(":")[2] for user, hop in rows(made, "transports")}
    assert ports == dict.fromkeys(dict(rows(made, "mailboxes")), "10027") | {"info@mailbox.invalid": "10024"}
    assert rows(made, "quotas") == {("info@a.example", "store0_quota")}
    assert rows(made, "addresses") == {("info@a.example", "info@a.example")}
    assert {row[0] for row in rows(made, "internal")} == {"info@bücher.example", "info@xn--bcher-kva.example"}


def test_notices_call_a_mailbox_in_one_domain_by_its_address() -> None:
    conf = file(files(*DOMAINS), "smtp", "main.cf").content.decode()
    (checks,) = re.findall(r"^notices_body_checks = regexp:\{(.*) \}$", conf, re.MULTILINE)
    rules = re.findall(r"\{ /(.*?)/ REPLACE (.*?) \}(?:,|$)", checks)
    store = "mail-store-3.mail-store.mail.svc.cluster.local[192.0.2.1]:10027"
    lines = {
        "Final-Recipient: rfc822; info=a.example@mailbox.invalid": "Final-Recipient: rfc822; info@a.example",
        f"<info=a.example@mailbox.invalid>: host {store} said: 552": "<info@a.example>: host store 3 said: 552",
        "<info@mailbox.invalid>: it is full": "<info@$myhostname>: it is full",
    }
    for line, text in lines.items():
        pattern, replacement = next(rule for rule in rules if re.search(rule[0].replace("$$", "$"), line))
        match = re.search(pattern.replace("$$", "$"), line)
        assert match is not None
        assert re.sub(r"\$\$\((\d)\)", lambda one, match=match: match[int(one[1])] or "", replacement) == text  # type: ignore[misc]


def verdict(found: Resolution, kind: str, name: str) -> tuple[Reason, str, str]:
    one = found.verdicts[kind, name]
    return one.reason, one.path, one.message


def test_a_domain_that_is_not_ours_is_named_and_the_mailbox_waits() -> None:
    relayed = world.resource("MailDomain", "rel.example", {"delivery": "Relay", "relay": {"host": "mx.example"}})
    wrong = bound("wrong", "rel.example"), bound("nowhere", "nowhere.example")
    member = world.resource("Mailbox", "team", {"type": "Group", "members": ["nowhere"]})
    found = resolved(GENERAL, relayed, *wrong, member, *DOMAINS)
    assert verdict(found, "Mailbox", "wrong") == (
        Reason.DOMAIN_NOT_FOUND,
        "spec.domain",
        "another server has all addresses of rel.example",
    )
    assert verdict(found, "Mailbox", "nowhere") == (
        Reason.DOMAIN_NOT_FOUND,
        "spec.domain",
        "no MailDomain in force states nowhere.example",
    )
    assert not found.verdicts["Mailbox", "nowhere"].effective
    assert verdict(found, "Mailbox", "team")[0] is Reason.UNKNOWN_MAILBOX
    assert found.platform is not None
    assert found.platform.account("info@nowhere.example") is None


@pytest.mark.parametrize("domain", ["mailbox.invalid", f"{'x' * 60}.{'y' * 60}.{'z' * 60}.{'w' * 15}.test", "xn--a.b-"])
def test_a_domain_that_can_be_no_part_of_a_user_name_is_refused(domain: str) -> None:
    reason, path, _ = verdict(resolved(bound("here", domain), *DOMAINS), "Mailbox", "here")
    assert (reason, path) == (Reason.INVALID, "spec.domain")


def test_of_two_in_one_domain_the_older_counts_whatever_the_spelling() -> None:
    first = world.resource("Mailbox", "first", {"username": "info", "domain": "bücher.example"}, "2026-01-01T00:00:00Z")
    later = world.resource(
        "Mailbox", "later", {"username": "info", "domain": "XN--BCHER-KVA.example"}, "2026-01-02T00:00:00Z"
    )
    found = resolved(GENERAL, later, first, *DOMAINS)
    assert found.verdicts["Mailbox", "first"].accepted
    assert verdict(found, "Mailbox", "later")[:2] == (Reason.CONFLICT, "spec.username")
    assert found.verdicts["Mailbox", "info"].accepted, "in all domains it is another name"


def test_an_address_in_the_same_domain_gives_way_and_both_say_so() -> None:
    rival = world.resource(
        "MailAddress", "rival", {"localPart": "info", "domain": "a.example", "destinations": [{"mailbox": "info"}]}
    )
    found = resolved(GENERAL, bound("here"), rival, *DOMAINS)
    assert verdict(found, "MailAddress", "rival")[:2] == (Reason.CONFLICT, "spec.localPart")
    assert "MailAddress rival also has info@a.example, but is refused." in found.verdicts["Mailbox", "here"].message
    assert (
        "Mail to info@a.example (Mailbox here) is not delivered to this Mailbox."
        in found.verdicts["Mailbox", "info"].message
    )
    off = resolved(GENERAL, bound("here", address="Disabled"), rival, *DOMAINS)
    assert off.verdicts["MailAddress", "rival"].accepted


def test_an_address_in_all_domains_is_taken_in_that_one_only() -> None:
    everywhere = world.resource(
        "MailAddress", "everywhere", {"localPart": "desk", "destinations": [{"mailbox": "info"}]}
    )
    made = files(GENERAL, bound("here", username="desk"), everywhere, *DOMAINS)
    found = dict(row for row in rows(made, "aliases") if row[0].startswith("desk@"))
    assert found.pop("desk@a.example") == "desk=a.example@mailbox.invalid"
    assert set(found.values()) == {"info@mailbox.invalid"}
    assert len(found) == 3


def test_a_change_of_one_is_a_matter_of_one_however_many_have_the_name() -> None:
    many = [world.resource("MailDomain", f"d{number}.example", {"dkim": {"enabled": False}}) for number in range(100)]
    people = [bound(f"info-{number}", f"d{number}.example") for number in range(100)]
    secrets = {one.name: one for one in (world.internal("mail", "mail"), world.self_signed("mail", "mail"))}
    resolver = Resolver(world.of(world.server(), (GENERAL, *many, *people), secrets))
    before = resolver.resolution.platform
    after = resolver.apply([bound("info-7", "d7.example", access={"pop3": False})])
    assert before is not None
    assert after.platform is not None
    assert after.touched == {("Mailbox", "info-7"), ("MailServer", "mail")}
    pairs = zip(before.directory, after.platform.directory, strict=True)
    assert sum(old is not new for old, new in pairs) == 1, "and one shard is written anew"
    filled = sum(bool(shard.accounts) for shard in after.platform.directory)
    assert filled > 40, "mailboxes of one name are spread over the shards"
    assert sum(bool(shard.routes) for shard in after.platform.directory) == 1, "their addresses are not"


def test_an_address_goes_from_one_mailbox_to_another_within_one_shard() -> None:
    """So Postfix never knows an address without the place of its mailbox, nor the other way round."""

    def known(made: Files) -> dict[tuple[int, str], dict[str, str]]:
        found: dict[tuple[int, str], dict[str, str]] = {}
        for place, table, (key, *values) in table_rows(made.shards):
            if place[1] == "smtp" and table in {"aliases", "mailboxes", "transports", "submitters"}:
                found.setdefault(place, {})[f"{table} {key}"] = values[0]
        return found

    ((shard, alone),) = known(files(GENERAL, *DOMAINS)).items()
    ((same, both),) = known(files(GENERAL, bound("here", **WITH_PASSWORD), *DOMAINS)).items()
    assert shard == same
    assert alone["aliases info@a.example"] == "info@mailbox.invalid"
    assert both["aliases info@a.example"] == "info=a.example@mailbox.invalid"
    assert both.keys() - alone.keys() == {
        "mailboxes info=a.example@mailbox.invalid",
        "transports info=a.example@mailbox.invalid",
        "submitters info@a.example",
    }
