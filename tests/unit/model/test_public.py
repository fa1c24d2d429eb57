"""Public mailboxes in the platform: where they lie, what they may be called, and what their owners may do."""

import pytest

from postboat.api import Resource
from postboat.model.platform import Owner, PublicMailbox
from postboat.model.resolve import resolve
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
    assert {mailbox.shard for mailbox in found} == {0}


@pytest.mark.parametrize("name", ["cur", "inbox", "new", "tmp", "subscriptions", "dovecot-acl-list"])
def test_a_public_mailbox_is_a_folder_and_called_like_one(name: str) -> None:
    refused = resolve(_snapshot(world.resource("Mailbox", name, {"type": "Public"}))).verdicts["Mailbox", name]
    assert (refused.reason, refused.path, refused.effective) == (Reason.INVALID, "spec.username", False)
    assert resolve(_snapshot(world.resource("Mailbox", name, {}))).verdicts["Mailbox", name].accepted


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
