"""The life of mailboxes: mail that outlives its Mailbox, mail that goes with it, and what users notice of it.

Waits are for a status or for what a client sees.
"""

from __future__ import annotations

import imaplib
from collections.abc import Callable

import pytest
from kubernetes.client import ApiException

from e2e import folders
from e2e.clients import Account, wait_for_message, wait_for_message_when_back
from e2e.kube import GROUP, eventually
from e2e.mailbox_state import FINALIZER, deliver, events_of, folder_there, mailbox, orphan, trash, usage
from e2e.platform import Platform, manifest
from e2e.post import address, copies, group, older, post, present, verdict


def ended(command: Callable[[], object]) -> bool:
    """Whether the server has closed the session in which a command is given: imaplib says so in many ways."""
    try:
        command()
    except (OSError, imaplib.IMAP4.error):
        return True
    return False


@pytest.mark.row("M14")
def test_mail_is_retained_and_found_by_the_next_mailbox_of_the_name(platform: Platform) -> None:
    account = platform.add_mailbox()
    user = account.user
    sent = deliver(platform, user)
    wait_for_message(account, sent)
    platform.kube.delete(GROUP, "Mailbox", platform.namespace, user)
    eventually(lambda: (orphan(platform, user) or {}).get("bytes"), "the orphan is listed with its size")
    listed = orphan(platform, user) or {}
    assert listed["store"] == 0
    assert listed["bytes"] > 0
    assert listed["since"]
    eventually(lambda: platform.answer(f"{user}@example.test") == 550, "mail to it is refused")
    said = eventually(
        lambda: [note for note in events_of(platform, platform.name, "MailOrphaned") if user in note], "an Event"
    )
    assert "store 0" in said[0]
    platform.kube.apply(platform.mailbox(user))
    platform.kube.wait_condition("Mailbox", platform.namespace, user, "Ready")
    wait_for_message_when_back(account, sent)  # a session that comes at once may end with those of before
    eventually(lambda: orphan(platform, user) is None, "it is no orphan any more")
    eventually(lambda: usage(platform, user).get("messages") == 1, "usage is on show again")
    platform.remove_mailbox(user)


@pytest.mark.row("M14")
def test_kept_mail_is_listed_though_a_group_takes_its_name(platform: Platform, alice: Account) -> None:
    account, other = platform.add_mailbox(), platform.add_mailbox()
    user = account.user
    sent = deliver(platform, user)
    wait_for_message(account, sent)
    wait_for_message(other, deliver(platform, other.user))
    platform.kube.delete(GROUP, "Mailbox", platform.namespace, user)
    eventually(lambda: orphan(platform, user), "the orphan is listed")
    with present(platform, group(platform, user, alice.user)):
        assert copies(platform, post(platform, f"{user}@example.test")) == {alice.user: 1}
        platform.remove_mailbox(other.user)
        eventually(lambda: orphan(platform, other.user), "the list is written anew")
        listed = orphan(platform, user)
        assert listed is not None, "a group of that name has no mail of its own"
        assert (listed["type"], listed["store"]) == ("User", 0)
    platform.kube.apply(platform.mailbox(user))
    platform.kube.wait_condition("Mailbox", platform.namespace, user, "Ready")
    wait_for_message(account, sent)
    eventually(lambda: orphan(platform, user) is None, "it is no orphan any more")
    platform.remove_mailbox(user)


@pytest.mark.row("M14")
def test_whose_mailbox_is_deleted_is_logged_out_and_nobody_else(platform: Platform, alice: Account) -> None:
    """Though the mail is kept: whoever was dismissed sees nothing of what comes after."""
    account = platform.add_mailbox()
    wait_for_message(account, deliver(platform, account.user))
    with alice.imap() as other:
        other.select_folder("INBOX")
        session, idle = account.imap(), account.imap()
        session.select_folder("INBOX")
        idle.select_folder("INBOX")
        idle.idle()

        def listen_again() -> None:
            idle.idle_done()
            idle.idle()

        platform.remove_mailbox(account.user)
        eventually(lambda: ended(session.noop), "the session of the deleted Mailbox ends", timeout=20)
        eventually(lambda: ended(listen_again), "and one that listens")
        session.shutdown()
        idle.shutdown()
        assert folder_there(platform, account.user)
        other.noop()
        assert other.folder_exists("INBOX"), "others notice nothing"


@pytest.mark.row("M14")
def test_delete_erases_and_ends_sessions(platform: Platform) -> None:
    account = platform.add_mailbox(reclaimPolicy="Delete")
    user = account.user
    eventually(lambda: FINALIZER in mailbox(platform, user)["metadata"].get("finalizers", []), "the finalizer")
    wait_for_message(account, deliver(platform, user))
    session = account.imap()
    session.select_folder("INBOX")
    platform.kube.delete(GROUP, "Mailbox", platform.namespace, user)
    eventually(lambda: platform.kube.get(GROUP, "Mailbox", platform.namespace, user) is None, "it goes")
    assert not folder_there(platform, user)
    assert user not in trash(platform)
    assert ended(session.noop)
    session.shutdown()
    assert orphan(platform, user) is None
    eventually(lambda: [one for one in events_of(platform, platform.name, "MailErased") if user in one], "an Event")
    again = platform.add_mailbox(user)
    with again.imap() as fresh:
        fresh.select_folder("INBOX")
        assert fresh.search(["ALL"]) == []
    platform.remove_mailbox(user)


@pytest.mark.row("M14")
def test_a_mailbox_in_conflict_erases_nothing(platform: Platform) -> None:
    account = platform.add_mailbox()
    user, copy = account.user, f"{account.user}-copy"
    wait_for_message(account, deliver(platform, user))
    older(platform, "Mailbox", user)
    spec = {"username": user, "reclaimPolicy": "Delete"}
    platform.kube.apply(manifest("Mailbox", platform.namespace, copy, spec))
    assert user in verdict(platform, "Mailbox", copy, "Conflict")
    assert not mailbox(platform, copy)["metadata"].get("finalizers")
    for name in (copy, user):
        platform.kube.delete(GROUP, "Mailbox", platform.namespace, name)
    eventually(lambda: orphan(platform, user), "the mail is kept and listed")
    assert folder_there(platform, user)


@pytest.mark.row("M14")
def test_who_takes_over_a_name_never_reads_what_was_to_be_erased(platform: Platform) -> None:
    """Somebody waits for the name, and opens the mailbox as soon as it is his."""
    account = platform.add_mailbox(reclaimPolicy="Delete")
    user, heir = account.user, f"{account.user}-heir"
    wait_for_message(account, deliver(platform, user))
    eventually(lambda: FINALIZER in mailbox(platform, user)["metadata"].get("finalizers", []), "the finalizer")
    older(platform, "Mailbox", user)
    reference = {"name": f"{user}-password", "key": "password"}
    waiting = manifest("Mailbox", platform.namespace, heir, {"username": user, "passwordSecret": reference})
    platform.kube.apply(waiting)
    assert user in verdict(platform, "Mailbox", heir, "Conflict")
    platform.kube.delete(GROUP, "Mailbox", platform.namespace, user)
    platform.kube.wait_condition("Mailbox", platform.namespace, heir, "Ready")
    assert platform.kube.get(GROUP, "Mailbox", platform.namespace, user) is None, "it went first"
    with account.imap() as session:
        session.select_folder("INBOX")
        assert session.search(["ALL"]) == []
    wait_for_message(account, deliver(platform, user))
    platform.remove_mailbox(heir)
    platform.kube.delete("v1", "Secret", platform.namespace, f"{user}-password")


@pytest.mark.row("M14")
def test_the_next_of_a_name_has_none_of_the_rights_of_the_last(platform: Platform) -> None:
    """What a colleague shared with somebody whose mail was erased, and what the others of the file were given."""
    owner, friend = platform.add_mailbox(), platform.add_mailbox()
    guest = platform.add_mailbox(reclaimPolicy="Delete")
    eventually(lambda: FINALIZER in mailbox(platform, guest.user)["metadata"].get("finalizers", []), "the finalizer")
    shared = f"Shared/{owner.user}/Work"
    with folders.session(owner) as imap:
        folders.ok(imap.create("Work"))
        for account in (guest, friend):
            folders.ok(imap.setacl("Work", account.user, "lr"))
        folders.ok(folders.append(imap, "Work"))
    for account in (guest, friend):
        with folders.session(account) as imap:
            assert shared in folders.folders(imap)
    platform.remove_mailbox(guest.user)
    eventually(lambda: platform.kube.get(GROUP, "Mailbox", platform.namespace, guest.user) is None, "it goes")
    again = platform.add_mailbox(guest.user)
    with folders.session(again) as imap:
        assert shared not in folders.folders(imap)
        folders.no(imap.select(shared))
    with folders.session(owner) as imap:
        given = folders.grants(imap, "Work")
        assert guest.user not in given
        assert given[friend.user] == {"l", "r"}
        assert folders.subjects(imap, "Work") == ["Put here"]
    with folders.session(friend) as imap:
        assert shared in folders.folders(imap)
    for account in (owner, friend, again):
        platform.remove_mailbox(account.user)


@pytest.mark.row("M14")
def test_the_finalizer_follows_the_policy(platform: Platform) -> None:
    account = platform.add_mailbox()
    user = account.user

    def finalizers() -> list[str]:
        return list(mailbox(platform, user)["metadata"].get("finalizers") or [])

    def server(policy: str | None) -> None:
        spec = {"mailboxes": {"reclaimPolicy": policy} if policy else None}
        platform.kube.patch(GROUP, "MailServer", platform.namespace, platform.name, {"spec": spec})

    def own(policy: str | None) -> None:
        platform.kube.patch(GROUP, "Mailbox", platform.namespace, user, {"spec": {"reclaimPolicy": policy}})

    assert finalizers() == []
    own("Delete")
    eventually(lambda: finalizers() == [FINALIZER], "Delete brings the finalizer")
    own("Retain")
    eventually(lambda: not finalizers(), "Retain takes it away")
    own(None)
    server("Delete")
    try:
        eventually(lambda: finalizers() == [FINALIZER], "the default of the MailServer counts")
        own("Retain")
        eventually(lambda: not finalizers(), "the Mailbox beats its MailServer")
    finally:
        server(None)
    own(None)
    platform.remove_mailbox(user)


@pytest.mark.row("M14")
def test_a_rename_is_refused_with_the_way_to_do_it(platform: Platform) -> None:
    account = platform.add_mailbox()
    with pytest.raises(ApiException) as caught:
        platform.kube.patch(GROUP, "Mailbox", platform.namespace, account.user, {"spec": {"username": "other"}})
    assert caught.value.status == 422
    assert "username never changes: make a Mailbox with the new name, and a MailAddress for the old one" in (
        caught.value.body
    )
    successor = platform.add_mailbox()
    platform.remove_mailbox(account.user)
    with present(platform, address(platform, "former-name", successor.user, localPart=account.user)):
        assert copies(platform, post(platform, f"{account.user}@example.test")) == {successor.user: 1}
    platform.remove_mailbox(successor.user)
