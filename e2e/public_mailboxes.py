"""Public mailboxes and the people around them, as the cases about rights see them."""

from __future__ import annotations

import secrets
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from e2e.clients import Account, letter
from e2e.folders import folders, session, subjects
from e2e.kube import GROUP, eventually
from e2e.platform import Platform, manifest

READ = set("lrs")
WRITE = set("lrswtipek")
FULL = WRITE | {"a"}
FOR_ALL: Mapping[str, set[str]] = {"-#anyone": set(), "-#authenticated": {"x"}}
"""What GETACL shows of each declared mailbox besides its owners: it takes nothing from anybody but to delete it."""


@dataclass(frozen=True)
class PublicMailboxFixture:
    """A public mailbox and the people around it."""

    platform: Platform
    mark: str
    reader: Account
    writer: Account
    owner: Account
    stranger: Account

    @property
    def name(self) -> str:
        return f"offers-{self.mark}"

    @property
    def folder(self) -> str:
        return f"Public/{self.name}"

    def group(self, name: str, members: Sequence[str]) -> str:
        """A group in force, by the name that it has among others of other tests."""
        self.mailbox(f"{name}-{self.mark}", type="Group", members=list(members))
        return f"{name}-{self.mark}"

    def public(self, name: str, owners: Mapping[str, str], **spec: object) -> str:
        """A public mailbox in force."""
        listed = [{"name": owner, "rights": given} for owner, given in owners.items()]
        self.mailbox(name, type="Public", owners=listed, **spec)
        return f"Public/{name}"

    def mailbox(self, name: str, **spec: object) -> None:
        self.platform.kube.apply(manifest("Mailbox", self.platform.namespace, name, spec))
        self.platform.kube.wait_condition("Mailbox", self.platform.namespace, name, "Ready")

    def orphans(self) -> set[str]:
        """The user names that the MailServer lists as mail without a Mailbox."""
        server = self.platform.kube.get(GROUP, "MailServer", self.platform.namespace, self.platform.name)
        assert server is not None
        return {one["username"] for one in (server.get("status") or {}).get("orphans") or []}

    def remove(self, *names: str) -> None:
        for name in names:
            self.platform.kube.delete(GROUP, "Mailbox", self.platform.namespace, name)

    def send(self, recipient: str, subject: str) -> None:
        with self.platform.smtp() as smtp:
            smtp.send_message(letter("stranger@outside.test", recipient, subject))

    def owners(self) -> dict[str, str]:
        return {f"staff-{self.mark}": "ReadWrite", f"readers-{self.mark}": "Read", self.owner.user: "Full"}

    def declare(self) -> None:
        """Put everything as the tests expect to find it."""
        self.group("team", [self.writer.user])
        self.group("staff", [f"team-{self.mark}"])  # the writer is in it through a group
        self.group("readers", [self.reader.user])
        self.public(self.name, self.owners())


@contextmanager
def opened(platform: Platform) -> Iterator[PublicMailboxFixture]:
    """A public mailbox and its people, with names of their own, for as long as the block lasts."""
    mark = secrets.token_hex(2)
    reader, writer, owner, stranger = (
        platform.add_mailbox(f"{role}.{mark}") for role in ("reader", "writer", "owner", "stranger")
    )
    office = PublicMailboxFixture(platform, mark, reader, writer, owner, stranger)
    office.declare()
    yield office
    office.remove(office.name, *(f"{name}-{mark}" for name in ("staff", "team", "readers")))
    for account in (reader, writer, owner, stranger):
        platform.remove_mailbox(account.user)


def arrived(account: Account, folder: str, subject: str) -> None:
    """Wait until a message with that subject is in a folder."""

    def look() -> bool:
        with session(account) as imap:
            return folder in folders(imap) and subject in subjects(imap, folder)

    eventually(look, f"{subject} in {folder} of {account.user}")
