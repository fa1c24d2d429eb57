"""People of one name: one in all domains, and two that are in one domain each (`Mailbox.spec.domain`)."""

from __future__ import annotations

import secrets
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from e2e.clients import Account
from e2e.platform import Platform, manifest, password_secret
from e2e.post import present

HERE, THERE = "example.test", "example.org"


def named(platform: Platform, name: str, username: str, domain: str, **spec: Any) -> Account:  # noqa: ANN401
    """A new mailbox in one domain, in force, with a new password."""
    password = secrets.token_urlsafe(12)
    platform.kube.apply(password_secret(platform.namespace, f"{name}-password", {"password": password}))
    platform.kube.apply(platform.mailbox(name, username=username, domain=domain, **spec))
    platform.kube.wait_condition("Mailbox", platform.namespace, name, "Ready", timeout=90)
    return platform.account(f"{username}@{domain}", password)


@dataclass(frozen=True)
class Namesakes:
    """Three people of one name: `general` in all domains, `here` in example.test, `there` in example.org."""

    platform: Platform
    name: str
    third: str
    """A domain in which nobody else has the name."""
    general: Account
    here: Account
    there: Account

    @property
    def all(self) -> Mapping[str, Account]:
        """Each of them by the address that nobody else has."""
        return {f"{self.name}@{self.third}": self.general, self.here.user: self.here, self.there.user: self.there}


@contextmanager
def namesakes(platform: Platform, **spec: Any) -> Iterator[Namesakes]:  # noqa: ANN401
    """Three of a name for as long as the block lasts; `spec` is what their Mailboxes say besides."""
    token = secrets.token_hex(3)
    name, third = f"info-{token}", f"third-{token}.test"
    with present(platform, manifest("MailDomain", platform.namespace, third, {"delivery": "Local"})):
        people = Namesakes(
            platform,
            name,
            third,
            platform.add_mailbox(name, **spec),
            named(platform, f"{name}.here", name, HERE, **spec),
            named(platform, f"{name}.there", name, THERE, **spec),
        )
        yield people
        for one in (name, f"{name}.here", f"{name}.there"):
            platform.remove_mailbox(one)
