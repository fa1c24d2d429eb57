"""DKIM keys: one whose record was shown is never replaced, and a domain without its key says so."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from postboat.controller.reconcile.certificates import rsa_key
from postboat.model.platform import WantedKind
from postboat.model.resolve import Resolution, Resolver, resolve
from postboat.model.snapshot import SecretContent
from postboat.model.verdict import Reason, Verdict
from postboat.status.observation import Moment
from postboat.status.report import report
from tests.golden import world

if TYPE_CHECKING:
    from postboat.api import Resource

OWN = {content.name: content for content in (world.internal("mail", "mail"), world.self_signed("mail", "mail"))}
KEY = world.key("dkim.key")
HELD = SecretContent("mail", "mail-filter", exists=True, data={"dkim-example.org.key": KEY})
EMPTY = SecretContent("mail", "mail-filter", exists=False, data={})


def secret(name: str = "example.org-dkim", *, exists: bool = True, **data: bytes) -> SecretContent:
    entries = {f"{selector}.key": content for selector, content in data.items()}
    return SecretContent("mail", name, exists=exists, data=entries)


def domain(spec: dict[str, Any] | None = None, status: dict[str, Any] | None = None) -> Resource:
    return replace(world.resource("MailDomain", "example.org", spec or {}), status=status or {})


def decided(one: Resource, *secrets: SecretContent) -> Resolution:
    return resolve(world.of(world.server(), [one], OWN | {content.name: content for content in secrets}))


def status(one: Resource, resolution: Resolution) -> dict[str, Any]:
    made = report(one, verdict(resolution), resolution.platform, Moment(world.NOW), in_force=True)
    return {**one.status, **(made or {})}


def shown(spec: dict[str, Any] | None = None) -> Resource:
    """Give a domain whose key was in force, so that its status shows the record."""
    one = domain(spec)
    name = ((spec or {}).get("dkim") or {}).get("secretName", "example.org-dkim")
    selector = ((spec or {}).get("dkim") or {}).get("selector", "default")
    return replace(one, status=status(one, decided(one, secret(name, **{selector: KEY}))))


def verdict(resolution: Resolution) -> Verdict:
    return resolution.verdicts["MailDomain", "example.org"]


def signs(resolution: Resolution) -> bool:
    assert resolution.platform is not None
    (found,) = resolution.platform.domains
    return found.dkim is not None


def test_a_first_key_is_made_and_until_then_the_domain_is_not_ready() -> None:
    resolution = decided(domain())
    assert [(one.kind, one.name) for one in resolution.wanted] == [(WantedKind.DKIM, "example.org-dkim")]
    assert verdict(resolution).reason is Reason.KEYS_MISSING
    assert verdict(resolution).effective


def test_what_the_server_said_against_a_key_is_said() -> None:
    refused = replace(secret(exists=False), refused="exceeded quota: small, requested: count/secrets=1")
    resolution = decided(domain(), refused)
    assert verdict(resolution).reason is Reason.KEYS_MISSING
    assert "exceeded quota: small" in verdict(resolution).message
    assert resolution.wanted, "it is tried again"


@pytest.mark.parametrize(
    ("now", "reason"),
    [
        (secret(exists=False), Reason.SECRET_NOT_FOUND),
        (secret(other=KEY), Reason.SECRET_KEY_NOT_FOUND),
        (secret(default=b""), Reason.SECRET_KEY_NOT_FOUND),
        (secret(default=b"broken"), Reason.INVALID_SECRET),
    ],
)
@pytest.mark.parametrize("spec", [{}, {"dkim": {"secretName": "mine"}}])
def test_a_key_that_is_lost_goes_on_signing(now: SecretContent, reason: Reason, spec: dict[str, Any]) -> None:
    one = shown(spec)
    now = replace(now, name="mine") if spec else now
    first = decided(one, now)
    assert first.wanted == ()
    assert first.sought == {"mail-filter"}, "the filter is asked before anything follows from it"
    found = decided(one, now, HELD)
    assert signs(found)
    assert (found.wanted, found.sought) == ((), frozenset())
    assert verdict(found).reason is reason
    assert now.name in verdict(found).message
    assert status(one, found)["dkim"] == one.status["dkim"]


@pytest.mark.parametrize("held", [EMPTY, replace(HELD, exists=True, data={"dkim-example.org.key": rsa_key()})])
def test_a_key_that_is_lost_everywhere_is_not_replaced(held: SecretContent) -> None:
    one = shown()
    resolution = decided(one, secret(exists=False), held)
    assert not signs(resolution)
    assert resolution.wanted == ()
    assert verdict(resolution).reason is Reason.SECRET_NOT_FOUND
    after = replace(one, status=status(one, resolution))
    assert after.status["dkim"] == one.status["dkim"], "or the next look would make another key"
    assert decided(after, secret(exists=False), held).wanted == ()


def test_a_new_selector_makes_a_new_key() -> None:
    one = replace(domain({"dkim": {"selector": "autumn"}}), status=shown().status)
    assert [item.selector for item in decided(one, secret(default=KEY)).wanted] == ["autumn"]


@pytest.mark.parametrize("now", [secret("mine", exists=False), secret("mine", other=KEY)])
def test_nothing_is_made_in_a_secret_that_the_user_named(now: SecretContent) -> None:
    resolution = decided(domain({"dkim": {"secretName": "mine"}}), now)
    assert resolution.wanted == ()
    assert verdict(resolution).reason in {Reason.SECRET_NOT_FOUND, Reason.SECRET_KEY_NOT_FOUND}
    assert not signs(resolution)


def test_a_key_that_was_written_by_hand_counts() -> None:
    resolution = decided(shown(), secret(default=rsa_key()))
    assert signs(resolution)
    assert verdict(resolution).accepted


def test_change_by_change_the_answer_is_the_same() -> None:
    one = shown()
    resolver = Resolver(world.of(world.server(), [one], OWN | {"example.org-dkim": secret(default=KEY)}))
    assert resolver.apply([secret(exists=False)]).sought == {"mail-filter"}
    after = resolver.apply([HELD])
    assert signs(after)
    files = world.planned(after).files
    assert files is not None
    (file,) = (file for file in files.units["filter"] if file.key == "dkim-example.org.key")
    assert file.content == KEY
