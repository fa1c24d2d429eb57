"""Public mailboxes that people make for themselves over IMAP: who may, what is theirs, and what never becomes theirs.

The full owner of the office and the members of its staff are named in the MailServer; reader and stranger are not.
"""

from __future__ import annotations

import imaplib
import secrets
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import pytest

from e2e.clients import Account
from e2e.folders import append, folders, grants, no, ok, rights, session, subjects
from e2e.kube import GROUP, eventually
from e2e.managesieve import active_script
from e2e.post import server_with, verdict
from e2e.public_mailboxes import FOR_ALL, FULL, READ, PublicMailboxFixture, arrived

ALL = FULL | {"x"}


@contextmanager
def named(office: PublicMailboxFixture, *names: str, ready: bool = True) -> Iterator[None]:
    """Nobody but these may make public mailboxes within the block."""
    kube, space, server = office.platform.kube, office.platform.namespace, office.platform.name

    def say(listed: Sequence[str] | None) -> None:
        body = {"spec": {"mailboxes": {"publicCreators": None if listed is None else list(listed)}}}
        kube.patch(GROUP, "MailServer", space, server, body)

    found = kube.get(GROUP, "MailServer", space, server)
    assert found is not None
    before = found["spec"].get("mailboxes", {}).get("publicCreators")
    say(names)
    try:
        if ready:
            kube.wait_condition("MailServer", space, server, "Ready")
        yield
    finally:
        say(before)
        kube.wait_condition("MailServer", space, server, "Ready")


@pytest.fixture(scope="module")
def makers(office: PublicMailboxFixture) -> Iterator[PublicMailboxFixture]:
    """The office, with people who may make public mailboxes."""
    with named(office, f"staff-{office.mark}", office.owner.user):
        yield office


@pytest.fixture
def name() -> str:
    return f"made-{secrets.token_hex(3)}"


def seen(account: Account) -> set[str]:
    """The folders of others that somebody sees after a new login."""
    with session(account) as imap:
        return {folder for folder in folders(imap) if folder.startswith("Public")}


def none_of_theirs(account: Account, folder: str) -> None:
    """Somebody sees nothing of a mailbox and gets nowhere with it."""
    assert not {found for found in seen(account) if found.startswith(folder)}
    with session(account) as imap:
        for answer in (
            imap.select(folder),
            imap.myrights(folder),
            imap.getacl(folder),
            imap.setacl(folder, account.user, "lrwstipekxa"),
            imap.create(f"{folder}/mine"),
            imap.delete(folder),
            imap.rename(folder, f"{folder}-stolen"),
            append(imap, folder),
        ):
            no(answer)


@pytest.mark.row("M5")
def test_whoever_is_named_makes_a_mailbox_that_is_nobody_else_s(makers: PublicMailboxFixture, name: str) -> None:
    folder, other = f"Public/{name}", f"Public/{name}-renamed"
    with session(makers.owner) as imap:
        ok(imap.create(folder))
        assert folder in folders(imap)
        assert rights(imap, folder) == ALL
        assert grants(imap, folder) == {makers.owner.user: ALL, "-#anyone": set()}
        ok(append(imap, folder, "the first"))
        ok(imap.create(f"{folder}/below"))
        assert rights(imap, f"{folder}/below") == ALL
        for account in (makers.reader, makers.stranger, makers.writer):
            none_of_theirs(account, folder)
        ok(imap.rename(folder, other))
        assert subjects(imap, other) == ["the first"]
        ok(imap.unselect())
        ok(imap.delete(f"{other}/below"))
        ok(imap.delete(other))
        assert not {found for found in folders(imap) if found.startswith(folder)}
    with session(makers.writer) as imap:
        ok(imap.create(folder))
        assert grants(imap, folder) == {makers.writer.user: ALL, "-#anyone": set()}
        none_of_theirs(makers.owner, folder)
        ok(imap.delete(folder))
    for account in (makers.reader, makers.stranger):
        with session(account) as imap:
            assert "NOPERM" in no(imap.create(folder))


@pytest.mark.row("M5")
def test_whoever_made_it_lets_people_and_groups_in(makers: PublicMailboxFixture, name: str) -> None:
    folder, readers = f"Public/{name}", f"$readers-{makers.mark}"
    with session(makers.owner) as imap:
        ok(imap.create(folder))
        ok(append(imap, folder, "minutes"))
        ok(imap.setacl(folder, readers, "lr"))
        ok(imap.setacl(folder, makers.stranger.user, "lrswi"))
        assert folder in seen(makers.reader)
        assert folder not in seen(makers.writer)
        with session(makers.reader) as other:
            assert rights(other, folder) == set("lr")
            assert subjects(other, folder) == ["minutes"]
            ok(other.unselect())
            for refused in (
                append(other, folder),
                other.setacl(folder, makers.reader.user, "lra"),
                other.create(f"{folder}/mine"),
                other.delete(folder),
            ):
                no(refused)
        with session(makers.stranger) as other:
            ok(append(other, folder, "from outside"))
        assert subjects(imap, folder) == ["minutes", "from outside"]
        ok(imap.unselect())
        for everybody in ("anyone", "authenticated"):
            with pytest.raises(imaplib.IMAP4.error, match="disallowed"):
                imap.setacl(folder, everybody, "lr")
        ok(imap.deleteacl(folder, readers))
        none_of_theirs(makers.reader, folder)
        ok(imap.delete(folder))


@pytest.mark.row("M5")
def test_no_name_leads_to_what_is_not_theirs(makers: PublicMailboxFixture, name: str) -> None:
    kept = makers.public(f"kept-{makers.mark}", {makers.owner.user: "Full"})
    with session(makers.owner) as imap:
        ok(append(imap, kept, "kept"))
        ok(imap.setacl(kept, makers.writer.user, "lrwstipekxa"))
        ok(imap.create(f"Public/{name}"))
        makers.remove(f"kept-{makers.mark}")
        eventually(lambda: kept not in folders(imap), "mail without a mailbox is closed")
    for account in (makers.owner, makers.writer):
        none_of_theirs(account, kept)
        with session(account) as imap:
            for taken in (kept, f"{kept}/below", makers.folder, "Public", "Public/", "Public/INBOX"):
                no(imap.create(taken))
            for wanted in ("..", "../x", "a/../../x", ".", "cur", "new", "tmp", "/x", "~x", "a//b", "deep/below"):
                no(imap.create(f'"Public/{wanted}"'))
            for files in ("dovecot-acl", "dovecot-acl-list", "dovecot-uidvalidity", "dovecot.mailbox.log"):
                no(imap.create(f"Public/{files}"))
            for refused in (imap.setacl("Public", account.user, "lra"), imap.select("Public"), append(imap, "Public")):
                no(refused)
            no(imap.delete(makers.folder))
            no(imap.rename(makers.folder, f"Public/{name}-taken"))
    with session(makers.owner) as imap:
        for target in (kept, f"{kept}/below", makers.folder, "Public", "Mine", "Shared/nobody/x"):
            no(imap.rename(f"Public/{name}", target))
        ok(imap.create("Mine"))
        no(imap.rename("Mine", f"Public/{name}-mine"))
        ok(imap.delete("Mine"))
        ok(imap.setacl(makers.folder, makers.stranger.user, "lrxa"))
        with session(makers.stranger) as other:
            assert rights(other, makers.folder) == set("lra"), "to delete it is not theirs to give"
            no(other.delete(makers.folder))
            no(other.rename(makers.folder, f"Public/{name}-taken"))
        ok(imap.deleteacl(makers.folder, makers.stranger.user))
        ok(imap.delete(f"Public/{name}"))
    makers.public(f"kept-{makers.mark}", {makers.owner.user: "Read"})
    with session(makers.owner) as imap:
        assert subjects(imap, kept) == ["kept"]
    makers.remove(f"kept-{makers.mark}")


@pytest.mark.row("M5", "B3")
def test_it_outlives_operator_passes_reloads_and_the_store_and_is_no_orphan(
    makers: PublicMailboxFixture, name: str
) -> None:
    platform, folder = makers.platform, f"Public/{name}"
    with session(makers.owner) as imap:
        ok(imap.create(folder))
        ok(append(imap, folder, "to stay"))
        ok(imap.setacl(folder, makers.stranger.user, "lri"))
    makers.public(f"passing-{makers.mark}", {makers.writer.user: "Full"})
    makers.remove(f"passing-{makers.mark}")
    eventually(lambda: f"passing-{makers.mark}" in makers.orphans(), "the mail of the object is an orphan")
    assert name not in makers.orphans()
    with server_with(platform, imap={"maxConnectionsPerUserIP": 14}):
        assert eventually(lambda: rights_of(makers.stranger, folder), "an answer") == set("lri")
    platform.restart(f"{platform.name}-store-0")
    eventually(lambda: rights_of(makers.stranger, folder) == set("lri"), "the rights are there again", timeout=90)
    assert rights_of(makers.owner, folder) == ALL
    eventually(lambda: f"passing-{makers.mark}" in makers.orphans(), "the store has told again")
    assert name not in makers.orphans()
    with session(makers.owner) as imap:
        assert subjects(imap, folder) == ["to stay"]
        ok(imap.unselect())
        ok(imap.delete(folder))


def rights_of(account: Account, folder: str) -> set[str] | None:
    """The rights of somebody after a new login; None while there is no answer."""
    try:
        with session(account) as imap:
            return rights(imap, folder)
    except (imaplib.IMAP4.error, OSError, AssertionError):
        return None


@pytest.mark.row("M5")
def test_a_mailbox_of_that_name_takes_it_over_with_its_mail(makers: PublicMailboxFixture, name: str) -> None:
    folder, address = f"Public/{name}", f"{name}@{makers.platform.domains[0]}"
    with session(makers.owner) as imap:
        ok(imap.create(folder))
        ok(append(imap, folder, "from before"))
        ok(imap.setacl(folder, makers.stranger.user, "lrx"))
        makers.public(name, {f"readers-{makers.mark}": "Read"})
        with session(makers.reader) as other:
            assert rights(other, folder) == READ
            assert subjects(other, folder) == ["from before"]
        makers.send(address, "by mail")
        arrived(makers.reader, folder, "by mail")
        assert rights(imap, folder) == FULL
        assert grants(imap, folder).items() >= {**FOR_ALL, f"#$readers-{makers.mark}": READ}.items()
        no(imap.delete(folder))
        no(imap.rename(folder, f"{folder}-mine"))
        with session(makers.stranger) as other:
            assert rights(other, folder) == set("lr")
            no(other.delete(folder))
        makers.remove(name)
        eventually(lambda: folder not in folders(imap), "now it is kept mail")
    for account in (makers.owner, makers.reader, makers.stranger):
        none_of_theirs(account, folder)
    with session(makers.owner) as imap:
        no(imap.create(folder))
    eventually(lambda: name in makers.orphans(), "and listed as such")


@pytest.mark.row("M5", "M13")
def test_a_script_may_make_one_too(makers: PublicMailboxFixture, name: str) -> None:
    folder = f"Public/{name}"
    try:
        for account in (makers.writer, makers.stranger):
            active_script(account, f'require ["fileinto", "mailbox"]; fileinto :create "{folder}";')
        makers.send(f"{makers.stranger.user}@{makers.platform.domains[0]}", "not for me")
        arrived(makers.stranger, "INBOX", "not for me")
        makers.send(f"{makers.writer.user}@{makers.platform.domains[0]}", "for me")
        arrived(makers.writer, folder, "for me")
        with session(makers.writer) as imap:
            assert rights(imap, folder) == ALL
            ok(imap.delete(folder))
    finally:
        for account in (makers.writer, makers.stranger):
            active_script(account, "keep;")


@pytest.mark.row("M5")
def test_names_that_are_none_are_told_and_others_count(makers: PublicMailboxFixture, name: str) -> None:
    folder = f"Public/{name}"
    with named(makers, makers.owner.user, "nobody-at-all", ready=False):
        told = verdict(makers.platform, "MailServer", makers.platform.name, "UnknownMailbox")
        assert "spec.mailboxes.publicCreators[1]" in told
        with session(makers.owner) as imap:
            ok(imap.create(folder))
            ok(imap.delete(folder))
    with named(makers, makers.name, ready=False):
        told = verdict(makers.platform, "MailServer", makers.platform.name, "Invalid")
        assert "spec.mailboxes.publicCreators[0]" in told


@pytest.mark.row("M5")
def test_whoever_is_named_no_more_makes_none_and_keeps_what_is_there(makers: PublicMailboxFixture, name: str) -> None:
    folder = f"Public/{name}"
    with session(makers.owner) as imap:
        ok(imap.create(folder))
    with named(makers, makers.writer.user), session(makers.owner) as imap:
        no(imap.create(f"{folder}-more"))
        assert rights(imap, folder) == ALL
        ok(imap.delete(folder))
