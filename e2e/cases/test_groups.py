"""Groups: who gets mail to them, whose address is on, and that a group keeps no mail itself."""

from __future__ import annotations

import secrets

import pytest
from imapclient.exceptions import LoginError

from e2e.kube import GROUP, eventually
from e2e.platform import Platform, manifest
from e2e.post import address, copies, group, older, post, present, received, server_with, verdict
from e2e.world.peer import Peer


@pytest.mark.row("M4")
def test_the_address_of_a_group_is_off_until_it_is_enabled(platform: Platform) -> None:
    silent, loud = (group(platform, name, "alice", address=None) for name in ("silent", "loud"))
    with present(platform, silent, loud):
        assert platform.answer("silent@example.test") == 550
        with server_with(platform, mailboxes={"groupAddresses": "Enabled"}):
            eventually(lambda: platform.answer("silent@example.test") == 250, "all groups have an address")
            assert copies(platform, post(platform, "silent@example.org")) == {"alice": 1}
            platform.kube.apply(group(platform, "silent", "alice", address="Disabled"))
            eventually(lambda: platform.answer("silent@example.test") == 550, "but the one that has none")
            assert platform.answer("loud@example.test") == 250
        eventually(lambda: platform.answer("loud@example.test") == 550, "no group has an address")
        platform.kube.apply(group(platform, "loud", "alice"))
        eventually(lambda: platform.answer("loud@example.test") == 250, "but the one that is enabled")
        assert platform.answer("silent@example.test") == 550


@pytest.mark.row("M4")
def test_each_member_gets_one_copy_by_groups_in_groups(platform: Platform) -> None:
    with present(
        platform,
        group(platform, "inner", "alice", "bob", address="Disabled"),
        group(platform, "outer", "alice", "inner"),
        address(platform, "both", "inner", "outer", "bob"),
    ):
        assert copies(platform, post(platform, "outer@example.test")) == {"alice": 1, "bob": 1}
        message = post(platform, "both@example.test", "outer@example.org", "alice@example.org", "outer@example.test")
        assert copies(platform, message) == {"alice": 1, "bob": 1}
        platform.kube.apply(group(platform, "inner", "alice", address="Disabled"))
        eventually(
            lambda: copies(platform, post(platform, "outer@example.test")) == {"alice": 1}, "bob has left", timeout=60
        )


@pytest.mark.row("M4")
def test_groups_in_a_circle_say_so_and_work(platform: Platform) -> None:
    circle = (group(platform, "left", "alice", "right"), group(platform, "right", "bob", "left"))
    with present(platform, *circle, ready=False):
        for name in ("left", "right"):
            assert "spec.members" in verdict(platform, "Mailbox", name, "Cycle")
            assert copies(platform, post(platform, f"{name}@example.test")) == {"alice": 1, "bob": 1}


@pytest.mark.row("M4")
def test_unknown_members_are_named_and_an_empty_group_is_refused(platform: Platform) -> None:
    wrong = (group(platform, "mixed", "alice", "ghost"), group(platform, "empty"), group(platform, "ghosts", "ghost"))
    with present(platform, *wrong, ready=False):
        assert "spec.members[1]" in verdict(platform, "Mailbox", "mixed", "UnknownMailbox")
        assert "no destination" in verdict(platform, "Mailbox", "empty", "UnknownMailbox")
        verdict(platform, "Mailbox", "ghosts", "UnknownMailbox")
        assert copies(platform, post(platform, "mixed@example.test")) == {"alice": 1}
        assert platform.answer("empty@example.test") == 550
        assert platform.answer("ghosts@example.test") == 550


@pytest.mark.row("M4")
def test_members_get_mail_by_their_own_settings(platform: Platform) -> None:
    user = f"away-{secrets.token_hex(2)}"
    platform.add_mailbox(user, forward={"to": ["bob@example.org"]})
    with present(platform, group(platform, "team", user, "alice")):
        assert copies(platform, post(platform, "team@example.test")) == {"alice": 1, "bob": 1}
        platform.kube.patch(GROUP, "Mailbox", platform.namespace, user, {"spec": {"forward": {"keepCopy": True}}})
        platform.kube.wait_condition("Mailbox", platform.namespace, user, "Ready")
        assert copies(platform, post(platform, "team@example.test")) == {"alice": 1, "bob": 1, user: 1}
    platform.remove_mailbox(user)


@pytest.mark.row("M4")
def test_a_group_has_no_storage_and_no_login(platform: Platform) -> None:
    with present(platform, group(platform, "nobodys", "alice")):
        found = platform.kube.get(GROUP, "Mailbox", platform.namespace, "nobodys")
        assert found is not None
        assert found["status"]["type"] == "Group"
        assert "store" not in found["status"]
        with pytest.raises(LoginError):
            platform.account("nobodys", "").imap()
        with pytest.raises(LoginError):
            platform.account("nobodys", "nobodys").imap()


@pytest.mark.row("M4")
def test_a_user_and_a_group_of_one_name_are_told_apart_by_age(platform: Platform) -> None:
    user = platform.add_mailbox().user
    older(platform, "Mailbox", user)
    rival = manifest(
        "Mailbox",
        platform.namespace,
        f"{user}-group",
        {"type": "Group", "username": user, "members": ["alice"], "address": "Enabled"},
    )
    with present(platform, rival, ready=False):
        assert user in verdict(platform, "Mailbox", f"{user}-group", "Conflict")
        assert copies(platform, post(platform, f"{user}@example.test")) == {user: 1}
    platform.remove_mailbox(user)


@pytest.mark.row("M3")
@pytest.mark.row("M4")
def test_a_forward_to_a_group_reaches_its_members(platform: Platform) -> None:
    mark = secrets.token_hex(2)
    inside, outside, lost = (f"{name}-{mark}" for name in ("inside", "outside", "lost"))
    to = {inside: "squad@example.test", outside: "squad@example.org", lost: "closed-squad@example.test"}
    with present(
        platform,
        group(platform, "squad", "alice", inside),
        group(platform, "closed-squad", "alice", address="Disabled"),
        ready=False,
    ):
        for user, address_ in to.items():
            platform.add_mailbox(user, wait=False, forward={"to": [address_]})
        platform.kube.wait_condition("Mailbox", platform.namespace, "squad", "Ready")
        platform.kube.wait_condition("Mailbox", platform.namespace, outside, "Ready")
        assert "spec.forward:" in verdict(platform, "Mailbox", inside, "Cycle"), "the group leads back to its member"
        everybody = (f"{inside}@example.test", f"{outside}@example.test", "squad@example.org")
        for recipients in (*((one,) for one in everybody), everybody):
            assert copies(platform, post(platform, *recipients)) == {"alice": 1, inside: 1}
        assert "spec.forward.to[0]" in verdict(platform, "Mailbox", lost, "UnknownMailbox")
        assert copies(platform, post(platform, f"{lost}@example.test")) == {lost: 1}, "nothing is lost"
        platform.kube.apply(group(platform, "closed-squad", "alice"))
        platform.kube.wait_condition("Mailbox", platform.namespace, lost, "Ready")
        assert copies(platform, post(platform, f"{lost}@example.test")) == {"alice": 1}
        for user in to:
            platform.remove_mailbox(user)


@pytest.mark.row("A1")
@pytest.mark.row("M4")
def test_five_thousand_recipients_are_all_reached_and_more_are_refused(platform: Platform, elsewhere: Peer) -> None:
    to = [elsewhere.recipient(f"reader{number}") for number in range(5000)]
    parts = [address(platform, f"part{start // 500}", *to[start : start + 500]) for start in range(0, 5000, 500)]
    whole = [f"part{part}@example.test" for part in range(10)]
    with present(platform, *parts, address(platform, "newsletter", *whole)):
        message = post(platform, "newsletter@example.test", "part3@example.org")
        with present(platform, address(platform, "circular", "alice", *whole), ready=False):
            assert "more than 5000" in verdict(platform, "MailAddress", "circular", "TooLarge")
            assert platform.answer("circular@example.test") == 550
        eventually(lambda: len(received(elsewhere, message)) >= len(to), "mail to all of them", timeout=120, every=1)
        assert copies(platform, message) == {}
        assert received(elsewhere, message) == sorted(to), "nobody is left out, and nobody gets it twice"
