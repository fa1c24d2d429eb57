"""Public mailboxes and shared folders: delivery, rights by declaration and by IMAP ACL, and who sees nothing of them.

Everything is asked as a reader, a writer, a full owner and a stranger. Rights that a client gave must outlive whatever
the operator does, and what is declared must hold whatever a client does.
"""

from __future__ import annotations

import imaplib
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import yaml

from e2e.clients import Account
from e2e.folders import append, folders, grants, no, ok, rights, session, subjects
from e2e.kube import GROUP, eventually
from e2e.mailbox_state import erase, freed, store_of
from e2e.operator import Operator
from e2e.platform import manifest
from e2e.post import server_with
from e2e.public_mailboxes import FOR_ALL, FULL, READ, WRITE, PublicMailboxFixture, arrived


@pytest.mark.row("M5", "A1")
def test_mail_to_a_public_mailbox_is_seen_by_its_owners_and_nobody_else(office: PublicMailboxFixture) -> None:
    for number, domain in enumerate(office.platform.domains):
        office.send(f"{office.name}@{domain}", f"order {number}")
    office.send(f"{office.name}+tag@{office.platform.domains[0]}", "with a tag")
    office.send(f"{office.writer.user}+{office.name}@{office.platform.domains[0]}", "to a person with a tag")
    for account in (office.reader, office.writer, office.owner):
        for subject in ("order 0", "order 1", "with a tag"):
            arrived(account, office.folder, subject)
    arrived(office.writer, "INBOX", "to a person with a tag")
    with session(office.stranger) as imap:
        assert not {name for name in folders(imap) if name.startswith(("Public", "Shared"))}
        assert "NONEXISTENT" in no(imap.select(office.folder))


@pytest.mark.row("M5", "A1")
def test_a_disabled_address_is_refused_while_others_lead_to_the_mailbox(office: PublicMailboxFixture) -> None:
    platform, name, other = office.platform, f"quiet-{office.mark}", f"info-{office.mark}"
    folder = office.public(name, {office.owner.user: "Read"}, address="Disabled")
    destinations = [{"mailbox": name}, {"mailbox": office.owner.user}]
    platform.kube.apply(
        manifest("MailAddress", platform.namespace, other, {"localPart": other, "destinations": destinations})
    )
    platform.kube.wait_condition("MailAddress", platform.namespace, other, "Ready")
    for domain in platform.domains:
        assert platform.answer(f"{name}@{domain}") == 550
    office.send(f"{other}@{platform.domains[0]}", "by another way")
    arrived(office.owner, folder, "by another way")
    arrived(office.owner, "INBOX", "by another way")
    platform.kube.delete(GROUP, "MailAddress", platform.namespace, other)
    office.remove(name)


@pytest.mark.row("M5")
def test_a_reader_reads_and_does_nothing_else(office: PublicMailboxFixture) -> None:
    with session(office.owner) as imap:
        ok(append(imap, office.folder, "to be read"))
    with session(office.reader) as imap:
        assert rights(imap, office.folder) == READ
        assert "to be read" in subjects(imap, office.folder)
        ok(imap.unselect())
        no(append(imap, office.folder))
        no(imap.create(f"{office.folder}/mine"))
        no(imap.setacl(office.folder, office.stranger.user, "lr"))
        no(imap.getacl(office.folder))
        no(imap.delete(office.folder))
        no(imap.rename(office.folder, f"{office.folder}-gone"))
        count = int(ok(imap.select(office.folder))[0])
        imap.store("1", "+FLAGS", r"(\Deleted \Flagged)")
        imap.expunge()
        assert int(ok(imap.select(office.folder))[0]) == count
        assert b"Flagged" not in ok(imap.fetch("1", "(FLAGS)"))[0]


@pytest.mark.row("M5")
def test_a_writer_writes_and_gives_no_rights(office: PublicMailboxFixture) -> None:
    with session(office.writer) as imap:
        assert rights(imap, office.folder) == WRITE
        ok(append(imap, office.folder, "to be removed"))
        ok(imap.select(office.folder))
        (found,) = ok(imap.search(None, "SUBJECT", '"to be removed"'))
        ok(imap.store(found.decode(), "+FLAGS", r"(\Deleted)"))
        ok(imap.expunge())
        assert "to be removed" not in subjects(imap, office.folder)
        ok(imap.unselect())
        ok(imap.create(f"{office.folder}/drafts"))
        ok(append(imap, f"{office.folder}/drafts"))
        no(imap.delete(f"{office.folder}/drafts"))
        no(imap.setacl(office.folder, office.stranger.user, "lr"))
        no(imap.getacl(office.folder))
        no(imap.create("Public/of-nobody"))
    with session(office.reader) as imap:
        assert f"{office.folder}/drafts" in folders(imap), "rights hold below"
    with session(office.owner) as imap:
        ok(imap.delete(f"{office.folder}/drafts"))


@pytest.mark.row("M5")
def test_a_full_owner_makes_folders_and_gives_rights(office: PublicMailboxFixture) -> None:
    below = f"{office.folder}/contracts"
    with session(office.owner) as imap:
        assert rights(imap, office.folder) == FULL
        declared = {f"#$staff-{office.mark}": WRITE, f"#$readers-{office.mark}": READ, f"#{office.owner.user}": FULL}
        assert grants(imap, office.folder) == {**FOR_ALL, **declared}
        ok(imap.create(below))
        assert rights(imap, below) == FULL | {"x"}
        ok(append(imap, below, "signed"))
        ok(imap.setacl(below, office.stranger.user, "lr"))
        assert grants(imap, below)[office.stranger.user] == set("lr")
        with session(office.stranger) as other:
            assert {name for name in folders(other) if name.startswith("Public")} == {below}
            assert rights(other, below) == set("lr")
            assert subjects(other, below) == ["signed"]
            ok(other.unselect())
            no(append(other, below))
            no(other.setacl(below, office.stranger.user, "lrwstipekxa"))
        ok(imap.deleteacl(below, office.stranger.user))
        with session(office.stranger) as other:
            no(other.select(below))
        ok(imap.rename(below, f"{below}-old"))
        ok(imap.delete(f"{below}-old"))
        no(imap.delete(office.folder))
        no(imap.rename(office.folder, "Public/taken"))
        for everybody in ("anyone", "authenticated"):
            with pytest.raises(imaplib.IMAP4.error, match="disallowed"):
                imap.setacl(office.folder, everybody, "lr")


@pytest.mark.row("M5")
def test_what_is_declared_holds_whatever_a_client_does(office: PublicMailboxFixture) -> None:
    readers = f"readers-{office.mark}"
    with session(office.owner) as imap:
        ok(imap.setacl(office.folder, f"${readers}", "lrwstipekxa"))
        ok(imap.setacl(office.folder, f"-${readers}", "lrs"))
        ok(imap.setacl(office.folder, office.reader.user, "lrwstipekxa"))
        with pytest.raises(imaplib.IMAP4.error, match="can't be modified"):
            imap.setacl(office.folder, f"#${readers}", '""')
        with session(office.reader) as other:
            assert rights(other, office.folder) == READ
        for who in (f"${readers}", f"-${readers}", office.reader.user):
            ok(imap.deleteacl(office.folder, who))


@pytest.mark.row("M5")
def test_what_one_has_read_is_new_to_another(office: PublicMailboxFixture) -> None:
    with session(office.owner) as imap:
        ok(append(imap, office.folder, "who has read me?"))
    with session(office.writer) as imap:
        last = ok(imap.select(office.folder))[0].decode()
        ok(imap.store(last, "+FLAGS", r"(\Seen \Flagged)"))
    with session(office.writer) as imap:
        ok(imap.select(office.folder))
        assert b"Seen" in ok(imap.fetch(last, "(FLAGS)"))[0]
    with session(office.reader) as imap:
        ok(imap.select(office.folder))
        (flags,) = ok(imap.fetch(last, "(FLAGS)"))
        assert b"Seen" not in flags
        assert b"Flagged" in flags, "the mark is everybody's"


@pytest.mark.row("M5")
def test_a_member_sees_the_mailbox_from_the_next_login_on(office: PublicMailboxFixture) -> None:
    office.group("readers", [office.reader.user, office.stranger.user])
    with session(office.stranger) as imap:
        assert office.folder in folders(imap)
        assert rights(imap, office.folder) == READ
    office.group("readers", [office.reader.user])
    with session(office.stranger) as imap:
        assert office.folder not in folders(imap)
        no(imap.select(office.folder))


@pytest.mark.row("M5")
def test_an_owner_that_is_removed_sees_nothing_any_more_even_in_a_running_session(office: PublicMailboxFixture) -> None:
    remaining = {owner: given for owner, given in office.owners().items() if owner != f"staff-{office.mark}"}
    with session(office.writer) as imap:
        assert office.folder in folders(imap)
        office.public(office.name, remaining)
        assert office.folder not in folders(imap)
        no(imap.select(office.folder))
    office.public(office.name, office.owners())
    with session(office.writer) as imap:
        assert rights(imap, office.folder) == WRITE


@pytest.mark.alone
@pytest.mark.row("M5")
def test_rights_given_by_a_client_survive_the_operator_and_the_store(
    office: PublicMailboxFixture, operator: Operator
) -> None:
    platform = office.platform
    with session(office.owner) as imap:
        ok(imap.setacl(office.folder, office.stranger.user, "lri"))
    try:
        change = {"spec": {"imap": {"maxConnectionsPerUserIP": 13}}}
        platform.kube.patch(GROUP, "MailServer", platform.namespace, platform.name, change)
        platform.kube.wait_condition("MailServer", platform.namespace, platform.name, "Ready")
        operator.scale(0)
        office.platform.kube.apply(
            manifest("Mailbox", platform.namespace, office.name, {"type": "Public", "displayName": "Offers"})
        )
        operator.scale(1)
        office.public(office.name, office.owners())
        platform.restart(f"{platform.name}-store-0")
        platform.kube.patch(GROUP, "MailServer", platform.namespace, platform.name, {"spec": {"imap": None}})
        platform.kube.wait_condition("MailServer", platform.namespace, platform.name, "Ready")

        def look() -> bool:
            try:
                with session(office.stranger) as imap:
                    return rights(imap, office.folder) == set("lri")
            except (imaplib.IMAP4.error, OSError):
                return False

        eventually(look, "the rights that a client gave", timeout=90)
        with session(office.owner) as imap:
            ok(imap.deleteacl(office.folder, office.stranger.user))
    finally:
        operator.scale(1)
    platform.kube.wait_condition("MailServer", platform.namespace, platform.name, "Ready", timeout=90)


@pytest.mark.row("M5")
def test_without_its_object_mail_is_kept_and_closed(office: PublicMailboxFixture) -> None:
    name = f"closed-{office.mark}"
    address = f"{name}@{office.platform.domains[0]}"
    folder = office.public(name, {office.owner.user: "Full"})
    office.send(address, "kept")
    arrived(office.owner, folder, "kept")
    with session(office.owner) as imap:
        ok(imap.setacl(folder, office.stranger.user, "lr"))
        office.remove(name)

        def closed() -> bool:
            return office.platform.answer(address) == 550 and folder not in folders(imap)

        eventually(closed, "the mailbox is closed")
        no(imap.select(folder))
    with session(office.stranger) as imap:
        assert folder not in folders(imap), "rights of clients are closed as well"
        no(imap.select(folder))
    office.public(name, {office.owner.user: "Full"})
    with session(office.owner) as imap:
        assert subjects(imap, folder) == ["kept"]
    with session(office.stranger) as imap:
        assert rights(imap, folder) == set("lr"), "and they are there again with the mailbox"
        office.remove(name)
        eventually(lambda: folder not in folders(imap), "the mailbox is closed again")


@pytest.mark.row("M5")
def test_people_share_folders_of_their_own(office: PublicMailboxFixture) -> None:
    sharer, friend, colleague, stranger = office.owner, office.reader, office.writer, office.stranger
    with session(sharer) as imap:
        ok(imap.create("Work"))
        ok(append(imap, "Work", "our plan"))
        ok(imap.setacl("Work", friend.user, "lr"))
        ok(imap.setacl("Work", f"$staff-{office.mark}", "lrswi"))
        for everybody in ("anyone", "authenticated"):
            with pytest.raises(imaplib.IMAP4.error, match="disallowed"):
                imap.setacl("Work", everybody, "lr")
    folder = f"Shared/{sharer.user}/Work"
    with session(friend) as imap:
        assert {name for name in folders(imap) if name.startswith("Shared")} == {folder}
        assert subjects(imap, folder) == ["our plan"]
        ok(imap.unselect())
        no(append(imap, folder))
        no(imap.setacl(folder, stranger.user, "lr"))
        no(imap.getacl(folder))
    with session(colleague) as imap:
        assert {name for name in folders(imap) if name.startswith("Shared")} == {folder}
        ok(append(imap, folder, "from a colleague"))
    with session(stranger) as imap:
        assert not {name for name in folders(imap) if name.startswith("Shared")}
        for wanted in (folder, f"Shared/{sharer.user}", f"Shared/{sharer.user}/INBOX"):
            assert "NONEXISTENT" in no(imap.select(wanted))
    with session(sharer) as imap:
        assert subjects(imap, "Work") == ["our plan", "from a colleague"]
        ok(imap.unselect())
        ok(imap.deleteacl("Work", friend.user))
        ok(imap.deleteacl("Work", f"$staff-{office.mark}"))
    with session(friend) as imap:
        assert folder not in folders(imap)
        no(imap.select(folder))
    with session(sharer) as imap:
        ok(imap.delete("Work"))


@pytest.mark.row("M5")
def test_no_name_of_a_folder_leads_to_the_mail_of_another(office: PublicMailboxFixture) -> None:
    office.send(f"{office.owner.user}@{office.platform.domains[0]}", "a secret")
    arrived(office.owner, "INBOX", "a secret")
    victim = office.owner.user
    with session(office.stranger) as imap:
        for pattern in ("*", "%/%/%", "Public/*", "Shared/*", f"Shared/{victim}/*", "*/*", "Public/../*"):
            assert not {name for name in folders(imap, pattern) if name.startswith(("Public", "Shared"))}
        for wanted in (
            office.folder,
            f"Public/../{victim}/Maildir",
            f"{office.folder}/../../../{victim}/Maildir",
            f"Public/./{office.name}",
            f"Public//{office.name}",
            f"Shared/{victim}",
            f"Shared/{victim}/INBOX",
            f"Shared/../{victim}/INBOX",
            f"Shared/{victim}/../{victim}/INBOX",
            f"Shared/{victim.upper()}/INBOX",
            f"Shared/{victim}@{office.platform.domains[0]}/INBOX",
            f"Shared/{office.name}/INBOX",
            "Shared/.public/mail",
            "Shared/nobody/INBOX",
            f"../{victim}/Maildir",
            f"~{victim}/Maildir",
            "/srv/mail",
        ):
            no(imap.select(f'"{wanted}"'))
            no(append(imap, f'"{wanted}"'))
        for made in ("Shared/nobody/mine", "Public/mine", f"Shared/{victim}/mine", f"{office.folder}/mine"):
            no(imap.create(made))
            no(imap.setacl(made, office.stranger.user, "lrwstipekxa"))


@pytest.mark.row("M5")
def test_the_logins_of_the_platform_are_of_no_use_to_clients(office: PublicMailboxFixture) -> None:
    secret = office.platform.kube.secret(office.platform.namespace, f"{office.platform.name}-internal")
    password = secret["master-password"].decode()
    for user, word in (
        *((f"{office.owner.user}*{who}", password) for who in ("edge", ".edge", "visitor", ".visitor")),
        (office.name, password),
        (f"staff-{office.mark}", office.owner.password),
    ):
        with pytest.raises(imaplib.IMAP4.error):
            session(replace(office.owner, user=user, password=word))
        session(office.owner).logout()  # or the next answer would come later, as for somebody who guesses


@pytest.fixture
def grown(office: PublicMailboxFixture) -> Iterator[Account]:
    """The platform with a second store, and somebody who lives there."""
    platform = office.platform
    before = {pod["metadata"]["name"] for pod in platform.kube.pods(platform.namespace, "store", platform.name)}
    more = {"spec": {"storage": {"shards": 2}}}
    platform.kube.patch(GROUP, "MailServer", platform.namespace, platform.name, more)
    platform.kube.wait_condition("MailServer", platform.namespace, platform.name, "Ready", timeout=120)
    made: list[Account] = []
    while not made or store_of(platform, made[-1].user) == 0:
        made.append(platform.add_mailbox(reclaimPolicy="Delete"))
    yield made[-1]
    for account in made:  # the list of orphans has room for a hundred, which a whole run fills with earlier names
        erase(platform, account.user)
    platform.kube.patch(GROUP, "MailServer", platform.namespace, platform.name, {"spec": {"storage": None}})
    platform.kube.wait_condition("MailServer", platform.namespace, platform.name, "Ready", timeout=120)
    eventually(lambda: freed(platform, 1), "the second store goes when nothing is left on it", timeout=120)

    def standing() -> set[str]:
        return {pod["metadata"]["name"] for pod in platform.kube.pods(platform.namespace, "store", platform.name)}

    eventually(lambda: standing() == before, "and its pod", timeout=180)


@pytest.mark.row("M5", "B8")
def test_people_of_other_stores_see_what_they_own_and_no_more(office: PublicMailboxFixture, grown: Account) -> None:
    assert store_of(office.platform, office.name) == 0
    with session(grown) as imap:
        assert not {name for name in folders(imap) if name.startswith(("Public", "Shared"))}
        for wanted in (office.folder, "Public/INBOX", "Public/.own", "Public/.own/Drafts", "Public/../owner/INBOX"):
            no(imap.select(wanted))
            no(append(imap, wanted))
            no(imap.myrights(wanted))
    office.group("staff", [f"team-{office.mark}", grown.user])
    office.send(f"{office.name}@{office.platform.domains[0]}", "for both stores")
    arrived(grown, office.folder, "for both stores")
    below = f"{office.folder}/far"
    with session(grown) as imap:
        seen = {name for name in folders(imap) if name.startswith("Public")}
        assert seen == {office.folder, f"{office.folder}/Junk"}
        assert rights(imap, office.folder) == WRITE
        ok(append(imap, office.folder, "from afar"))
        ok(imap.create(below))
        no(imap.setacl(office.folder, office.stranger.user, "lr"))
        no(imap.getacl(office.folder))
        no(imap.delete(below))
        ok(append(imap, "INBOX", "at home"))
        assert subjects(imap, "INBOX") == ["at home"]
    with session(office.reader) as imap:
        assert "from afar" in subjects(imap, office.folder)
    office.public(office.name, {**office.owners(), grown.user: "Full"})
    with session(grown) as imap:
        assert rights(imap, office.folder) == FULL
        ok(imap.setacl(below, office.stranger.user, "lr"))
        assert grants(imap, below)[office.stranger.user] == set("lr")
        with session(office.stranger) as other:
            assert below in folders(other)
        ok(imap.deleteacl(below, office.stranger.user))
    office.declare()
    with session(grown) as imap:
        assert office.folder not in folders(imap)
        no(imap.select(office.folder))
    with session(office.owner) as imap:
        ok(imap.delete(below))


@pytest.mark.row("M5", "B8")
def test_people_of_other_stores_make_no_public_mailbox_but_are_let_in(
    office: PublicMailboxFixture, grown: Account
) -> None:
    made = f"Public/near-{office.mark}"
    with server_with(office.platform, mailboxes={"publicCreators": [grown.user, office.owner.user]}):
        with session(grown) as imap:
            assert "NOPERM" in no(imap.create("Public/far"))
            for wanted in ("Public", "Public/INBOX", "Public/.own", "Public/.own/far", "Public/deep/far"):
                no(imap.create(wanted))
            assert not {name for name in folders(imap) if name.startswith("Public")}
        with session(office.owner) as imap:
            ok(imap.create(made))
            ok(imap.setacl(made, grown.user, "lrwi"))
            with session(grown) as other:
                assert rights(other, made) == set("lrwi")
                ok(append(other, made, "from another store"))
            assert subjects(imap, made) == ["from another store"]
            ok(imap.unselect())
            ok(imap.delete(made))


@pytest.mark.row("M5")
def test_the_example_of_the_page_applies_and_works(office: PublicMailboxFixture) -> None:
    platform = office.platform
    page = (Path(__file__).parents[2] / "docs" / "kinds" / "mailbox.md").read_text()
    block = page.partition("## A mailbox for many")[2].partition("```yaml\n")[2].partition("```")[0]
    documents = list(yaml.safe_load_all(block))
    for document in documents:
        document["metadata"]["namespace"] = platform.namespace
    try:
        platform.kube.apply(*documents)
        for document in documents:
            name = document["metadata"]["name"]
            if document["kind"] == "Mailbox":
                platform.kube.wait_condition("Mailbox", platform.namespace, name, "Ready")
        account = platform.account("maria", "correct horse battery staple")
        office.send(f"helpdesk@{platform.domains[0]}", "an example")
        arrived(account, "Public/helpdesk", "an example")
        with session(account) as imap:
            assert rights(imap, "Public/helpdesk") == WRITE
    finally:
        for document in documents:
            api, kind, name = document["apiVersion"], document["kind"], document["metadata"]["name"]
            platform.kube.delete(api, kind, platform.namespace, name)
