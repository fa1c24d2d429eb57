"""The life of public mailboxes: their space, their spam, their mail without an object, and its end.

What an owner sees over IMAP counts; the list of orphans is that of the MailServer.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from e2e.clients import Account, letter
from e2e.folders import folders, ok, session, subjects
from e2e.kube import GROUP, Object, eventually
from e2e.mailbox_state import FINALIZER, orphan
from e2e.platform import Platform, manifest
from e2e.post import answer, spam


@dataclass(frozen=True)
class Counter:
    """A public mailbox and the one person who owns it."""

    platform: Platform
    owner: Account
    name: str

    @property
    def address(self) -> str:
        return f"{self.name}@{self.platform.domains[0]}"

    def declare(self, **spec: object) -> None:
        owners = [{"name": self.owner.user, "rights": "Full"}]
        self.platform.kube.apply(
            manifest("Mailbox", self.platform.namespace, self.name, {"type": "Public", "owners": owners, **spec})
        )
        self.platform.kube.wait_condition("Mailbox", self.platform.namespace, self.name, "Ready")

    def remove(self) -> None:
        self.platform.kube.delete(GROUP, "Mailbox", self.platform.namespace, self.name)

    def orphan(self) -> Object | None:
        return orphan(self.platform, self.name)

    def finalizers(self) -> list[str]:
        found = self.platform.kube.get(GROUP, "Mailbox", self.platform.namespace, self.name)
        assert found is not None
        return list(found["metadata"].get("finalizers") or [])

    def send(self, subject: str, size: int = 0) -> None:
        with self.platform.smtp() as smtp:
            body = "x" * 63 + "\n"
            smtp.send_message(letter("stranger@outside.test", self.address, subject, body=body * max(1, size // 64)))

    def arrived(self, subject: str, below: str = "") -> None:
        """Wait until the owner sees a message."""
        folder = f"Public/{self.name}{below}"

        def look() -> bool:
            with session(self.owner) as imap:
                return folder in folders(imap) and subject in subjects(imap, folder)

        eventually(look, f"{subject} in {folder}")


@pytest.fixture
def counter(platform: Platform) -> Iterator[Counter]:
    made = Counter(platform, platform.add_mailbox(), f"counter-{secrets.token_hex(2)}")
    yield made
    made.remove()
    platform.remove_mailbox(made.owner.user)


@pytest.mark.row("M5", "M8")
def test_flagged_mail_of_a_public_mailbox_is_in_its_junk_in_time(counter: Counter) -> None:
    counter.declare(junk={"retention": "20s"})
    bad = spam(counter.platform, counter.address)
    counter.send("honest")
    counter.arrived(bad, below="/Junk")
    counter.arrived("honest")

    def junk() -> list[str]:
        with session(counter.owner) as imap:
            return subjects(imap, f"Public/{counter.name}/Junk")

    eventually(lambda: junk() == [], "its time is over", timeout=180)
    counter.arrived("honest")
    counter.declare(junk={"move": False})
    bad = spam(counter.platform, counter.address)
    counter.arrived(bad)


@pytest.mark.row("M5", "M7")
def test_a_full_public_mailbox_is_refused_until_an_owner_makes_room(counter: Counter) -> None:
    counter.declare(quota="40Ki")
    counter.send("heavy", size=36 * 1024)
    counter.arrived("heavy")

    def asked() -> tuple[int, str]:
        with counter.platform.smtp() as smtp:
            return answer(smtp, counter.address, f"SIZE={8 * 1024}")

    eventually(lambda: asked()[0] != 250, "there is no room")
    code, text = asked()
    assert (code, text.split(" ")[0]) == (552, "5.2.2")
    with session(counter.owner) as imap:
        ok(imap.select(f"Public/{counter.name}"))
        ok(imap.store("1:*", "+FLAGS", "\\Deleted"))
        ok(imap.expunge())
    eventually(lambda: asked()[0] == 250, "there is room again")


@pytest.mark.row("M5", "M14")
def test_mail_without_its_public_mailbox_is_listed_and_erased_on_request(counter: Counter) -> None:
    counter.declare()
    counter.send("kept")
    counter.arrived("kept")
    assert counter.finalizers() == []
    counter.remove()
    listed = eventually(counter.orphan, "the orphan is listed")
    assert (listed["type"], listed["store"]) == ("Public", 0)
    counter.declare(reclaimPolicy="Delete")
    eventually(lambda: counter.orphan() is None, "it is no orphan any more")
    counter.arrived("kept")
    eventually(lambda: counter.finalizers() == [FINALIZER], "its mail goes with it")
    counter.remove()
    gone = counter.platform.kube
    eventually(lambda: gone.get(GROUP, "Mailbox", counter.platform.namespace, counter.name) is None, "it goes", 60)
    assert counter.orphan() is None
    counter.declare()
    with session(counter.owner) as imap:
        assert subjects(imap, f"Public/{counter.name}") == [], "a mailbox of that name begins empty"
