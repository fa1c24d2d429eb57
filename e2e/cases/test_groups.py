"""Groups: who gets mail to them, whose address is on, and that a group keeps no mail itself."""

from __future__ import annotations

import secrets

import pytest
from imapclient.exceptions import LoginError

from e2e.clients import letter
from e2e.kube import GROUP, eventually
from e2e.platform import Platform, manifest
from e2e.post import address, copies, group, older, post, present, server_with, verdict


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
        assert "nobody" in verdict(platform, "Mailbox", "empty", "UnknownMailbox")
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


@pytest.mark.row("M4")
def test_a_large_group_reaches_everybody(platform: Platform) -> None:
    to = sorted(f"reader{number}@elsewhere.test" for number in range(1200))
    lists = [address(platform, f"part{part}", *to[part * 400 : part * 400 + 400]) for part in range(3)]
    whole = address(platform, "newsletter", *(f"part{part}@example.test" for part in range(3)))
    with present(platform, *lists, whole):
        with platform.smtp() as session:
            message = letter("stranger@outside.test", "newsletter@example.test")
            session.ehlo()
            session.mail("stranger@outside.test")
            assert session.rcpt("newsletter@example.test")[0] == 250
            code, text = session.data(message.as_bytes())
        assert code == 250, text
        pod = platform.kube.pods(platform.namespace, "smtp", platform.name)[0]["metadata"]["name"]
        command = ["/usr/sbin/postsuper", "-c", "/run/postboat/active", "-d", text.decode().split()[-1]]
        log = platform.kube.logs(platform.namespace, pod, "postfix", since_seconds=60)
        assert "nrcpt=1200" in log
        platform.kube.exec(platform.namespace, pod, "postfix", command)
