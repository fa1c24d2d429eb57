"""Public mailboxes in the platform: where they lie, what they may be called, and what their owners may do."""

import pytest

from postboat.api import Resource
from postboat.model.platform import Account, Owner, PublicMailbox
from postboat.model.resolve import Resolution, Resolver, resolve
from postboat.model.snapshot import Snapshot
from postboat.model.verdict import Reason
from postboat.render import public
from tests.golden import world

OWN = {content.name: content for content in (world.internal("mail", "mail"), world.self_signed("mail", "mail"))}


def _snapshot(*mailboxes: Resource) -> Snapshot:
    return world.of(world.server(storage={"shards": 8}), mailboxes, OWN)


def test_all_public_mailboxes_lie_on_the_first_store() -> None:
    mailboxes = [world.resource("Mailbox", f"offers{number}", {"type": "Public"}) for number in range(20)]
    resolution = resolve(_snapshot(*mailboxes))
    assert resolution.platform is not None
    found = [public for shard in resolution.platform.directory for public in shard.publics]
    assert len(found) == 20
    assert {mailbox.store for mailbox in found} == {0}


@pytest.mark.parametrize("name", ["cur", "inbox", "new", "tmp", "subscriptions", "dovecot-acl-list"])
def test_a_public_mailbox_is_a_folder_and_called_like_one(name: str) -> None:
    refused = resolve(_snapshot(world.resource("Mailbox", name, {"type": "Public"}))).verdicts["Mailbox", name]
    assert (refused.reason, refused.path, refused.effective) == (Reason.INVALID, "spec.username", False)
    assert resolve(_snapshot(world.resource("Mailbox", name, {}))).verdicts["Mailbox", name].accepted


CREATORS = [
    world.resource("Mailbox", "jane", {}),
    world.resource("Mailbox", "john", {}),
    world.resource("Mailbox", "staff", {"type": "Group", "members": ["team"]}),
    world.resource("Mailbox", "team", {"type": "Group", "members": ["john"]}),
    world.resource("Mailbox", "offers", {"type": "Public"}),
]


def _creators(resolution: Resolution) -> set[str]:
    assert resolution.platform is not None
    return {account.user for shard in resolution.platform.directory for account in shard.accounts if account.creator}


@pytest.mark.parametrize(
    ("named", "expected"),
    [([], set()), (["jane"], {"jane"}), (["staff"], {"john"}), (["team", "jane"], {"jane", "john"})],
)
def test_people_and_groups_of_people_may_make_public_mailboxes(named: list[str], expected: set[str]) -> None:
    server = world.server(mailboxes={"publicCreators": named})
    resolution = resolve(world.of(server, CREATORS, OWN))
    assert _creators(resolution) == expected
    assert resolution.verdicts["MailServer", "mail"].accepted


def test_a_change_of_who_may_make_public_mailboxes_counts() -> None:
    resolver = Resolver(world.of(world.server(), CREATORS, OWN))
    assert _creators(resolver.resolution) == set()
    assert _creators(resolver.apply([world.server(mailboxes={"publicCreators": ["staff"]})])) == {"john"}
    alone = world.resource("Mailbox", "team", {"type": "Group", "members": ["jane"]})
    assert _creators(resolver.apply([alone])) == {"jane"}
    assert _creators(resolver.apply([world.server()])) == set()


@pytest.mark.parametrize(
    ("named", "reason", "path"),
    [("nobody", Reason.UNKNOWN_MAILBOX, "[0]"), ("offers", Reason.INVALID, "[0]")],
)
def test_a_maker_that_is_none_is_named_while_others_count(named: str, reason: Reason, path: str) -> None:
    resolver = Resolver(world.of(world.server(mailboxes={"publicCreators": [named, "jane"]}), CREATORS, OWN))
    said = resolver.resolution.verdicts["MailServer", "mail"]
    assert (said.reason, said.path, said.effective) == (reason, f"spec.mailboxes.publicCreators{path}", True)
    assert _creators(resolver.resolution) == {"jane"}
    if named == "nobody":
        resolution = resolver.apply([world.resource("Mailbox", "nobody", {})])
        assert resolution.verdicts["MailServer", "mail"].accepted
        assert _creators(resolution) == {"jane", "nobody"}


def test_only_people_of_the_first_store_can_make_public_mailboxes() -> None:
    assert public.columns(Account("jane", "jane", "", (), 0, 0, creator=True))[-1] == "y"
    assert not public.columns(Account("jane", "jane", "", (), 1, 0, creator=True))[-1]


@pytest.mark.parametrize(
    ("owner", "expected"),
    [
        (Owner("jane", group=False, rights="Read"), "user=jane:lrs:lrs"),
        (Owner("sales", group=True, rights="ReadWrite"), "group=sales:lrswtipek:lrswtipek"),
        (Owner("sales", group=True, rights="Full"), "group=sales:lrswtipeka:lrswtipekax"),
    ],
)
def test_each_preset_has_its_letters(owner: Owner, expected: str) -> None:
    assert public.rights(PublicMailbox("offers", "offers", 0, owners=(owner,))) == expected
