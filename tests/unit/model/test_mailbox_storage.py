"""How mail is kept: quotas, spam and the master user, from what is written to what counts."""

from dataclasses import replace

import pytest

from postboat.api import Resource
from postboat.model.names import SHARDS
from postboat.model.platform import UNPLACED, Account, Junk, Platform, PublicMailbox
from postboat.model.resolve import Resolution, Resolver, resolve
from postboat.model.retention.reclaim import FINALIZER
from postboat.model.snapshot import Gone, HighestStore, Home, InventoryComplete, SecretContent, Snapshot
from postboat.model.verdict import Reason
from postboat.render.shards import shard_files
from tests.golden import world
from tests.golden.rows import table_rows

OWN = {content.name: content for content in (world.internal("mail", "mail"), world.self_signed("mail", "mail"))}
DAY = 86_400
MASTER = {"masterUser": {"passwordSecret": {"name": "master", "key": "word"}}}


def resolution(mailbox: Resource, secret: SecretContent | None = None, **server: object) -> Resolution:
    secrets = OWN | ({secret.name: secret} if secret is not None else {})
    resources = [mailbox, world.resource("MailDomain", "example.org", {"dkim": {"enabled": False}})]
    return resolve(world.of(world.server(**server), resources, secrets))


def platform(found: Resolution) -> Platform:
    assert found.platform is not None
    return found.platform


def anna(spec: dict[str, object], **server: object) -> Account:
    account = platform(resolution(world.resource("Mailbox", "anna", spec), **server)).account("anna")
    assert account is not None
    return account


def test_there_is_no_limit_and_spam_is_moved_for_fifteen_days_when_nobody_says_anything() -> None:
    assert (anna({}).quota, anna({}).junk) == (0, Junk(move=True, retention=15 * DAY))


def test_a_mailbox_goes_over_the_server_field_by_field() -> None:
    server = {"mailboxes": {"quota": "1Gi", "junk": {"move": False, "retention": "30d"}}}
    assert (anna({}, **server).quota, anna({}, **server).junk) == (2**30, Junk(move=False, retention=30 * DAY))
    own = anna({"quota": "0", "junk": {"move": True}}, **server)
    assert (own.quota, own.junk) == (0, Junk(move=True, retention=30 * DAY))
    assert anna({"junk": {"retention": "2h"}}, **server).junk == Junk(move=False, retention=7200)


def test_amounts_stay_within_what_dovecot_can_read() -> None:
    account = anna({"quota": "999999999999999P", "junk": {"retention": "999999w999999w"}})
    assert account.quota * 100 < 2**63
    assert account.junk.retention < 2**31


def table(found: Platform, table: str) -> list[tuple[str, ...]]:
    """The rows of a table over all shards, without its name."""
    shards = {key: shard for number in range(SHARDS) for key, shard in shard_files(found, number).items()}
    return sorted(row for _, name, row in table_rows(shards) if name == table)


def test_only_a_mailbox_with_a_limit_costs_a_question() -> None:
    def rows(spec: dict[str, object]) -> list[tuple[str, ...]]:
        return table(platform(resolution(world.resource("Mailbox", "anna", spec, status={"store": 2}))), "quotas")

    assert rows({}) == rows({"quota": "0"}) == []
    assert rows({"quota": "1Gi"}) == [("anna@example.org", "store2_quota")]
    away = {"to": ["anna@elsewhere.example"]}
    assert rows({"quota": "1Gi", "forward": away}) == [], "the mailbox gets none of it"
    assert rows({"quota": "1Gi", "forward": {**away, "keepCopy": True}}) == [("anna@example.org", "store2_quota")]
    assert rows({"quota": "1Gi", "type": "Public"}) == [("anna@example.org", "store0_quota")]


def test_a_store_is_told_whose_mailbox_an_address_of_another_name_is_about() -> None:
    anna = world.resource("Mailbox", "anna", {"quota": "1Gi"}, status={"store": 2})
    to = {"destinations": [{"mailbox": "anna"}]}
    strange = world.resource("MailAddress", "strange", {"localPart": "o'info", **to})
    domain = world.resource("MailDomain", "example.org", {"dkim": {"enabled": False}})
    info = world.resource("MailAddress", "info", to)
    found = platform(resolve(world.of(world.server(), [anna, info, strange, domain], OWN)))
    asked = [("anna@example.org", "store2_quota"), ("info@example.org", "store2_quota")]
    assert sorted(table(found, "quotas")) == asked, "Dovecot looks for no name with a quote"
    assert table(found, "addresses") == [("info@example.org", "anna")]


def test_a_public_mailbox_has_a_quota_and_junk_like_any_other() -> None:
    def offers(spec: dict[str, object], **server: object) -> PublicMailbox:
        found = platform(resolution(world.resource("Mailbox", "offers", {"type": "Public", **spec}), **server))
        (mailbox,) = (one for shard in found.directory for one in shard.publics)
        return mailbox

    assert (offers({}).quota, offers({}).junk) == (0, Junk(move=True, retention=15 * DAY))
    server = {"mailboxes": {"quota": "1Gi", "junk": {"move": False}}}
    assert (offers({}, **server).quota, offers({}, **server).junk.move) == (2**30, False)
    own = offers({"quota": "2Gi", "junk": {"move": True, "retention": "1d"}}, **server)
    assert (own.quota, own.junk) == (2**31, Junk(move=True, retention=DAY))


def test_the_master_user_has_the_password_of_the_secret() -> None:
    mailbox = world.resource("Mailbox", "anna", {})
    found = resolution(mailbox, SecretContent("mail", "master", exists=True, data={"word": b"open sesame"}), **MASTER)
    assert platform(found).imap.master_password.startswith("{SSHA512}")
    assert found.verdicts["MailServer", "mail"].reason is Reason.ACCEPTED
    assert not platform(resolution(mailbox)).imap.master_password


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (None, Reason.SECRET_NOT_FOUND),
        ({"other": b"x"}, Reason.SECRET_KEY_NOT_FOUND),
        ({"word": b""}, Reason.INVALID_SECRET),
        ({"word": b"{SHA512-CRYPT}$6$salt$abc:0:0::/:nopassword=y"}, Reason.INVALID_SECRET),
    ],
)
def test_a_master_user_without_a_usable_password_does_not_exist(data: dict[str, bytes] | None, reason: Reason) -> None:
    secret = SecretContent("mail", "master", data is not None, data or {})
    found = resolution(world.resource("Mailbox", "anna", {}), secret, **MASTER)
    verdict = found.verdicts["MailServer", "mail"]
    assert (verdict.reason, verdict.path, verdict.effective) == (reason, "spec.masterUser.passwordSecret", True)
    assert not platform(found).imap.master_password
    assert platform(found).account("anna") is not None
    assert all(value.decode() not in verdict.message for value in (data or {}).values() if value)


def stores(resolver: Resolver) -> int:
    return platform(resolver.resolution).stores.replicas


def beginning(*mailboxes: Resource, existing: int = 3, stores: int = 1) -> Snapshot:
    """An operator that has just begun: it knows how many stores stand, and of none what it holds."""
    snapshot = world.of(world.server(storage={"shards": stores}), mailboxes, OWN)
    return replace(snapshot, inventory_complete=False, existing_stores=existing, highest_store=None)


def test_no_store_goes_before_all_have_told_what_they_hold() -> None:
    resolver = Resolver(beginning())
    assert stores(resolver) == 3
    resolver.apply([InventoryComplete()])
    assert stores(resolver) == 3, "a store that was waited for in vain has told nothing"
    resolver.apply([HighestStore(1)])
    assert stores(resolver) == 2
    resolver.apply([HighestStore(-1)])
    assert stores(resolver) == 1


def test_stores_stay_for_mail_of_nobody_and_for_deletions_that_wait() -> None:
    anna = world.resource("Mailbox", "anna", {}, status={"store": 2})
    resolver = Resolver(replace(beginning(anna), highest_store=-1))
    assert stores(resolver) == 3
    assert platform(resolver.resolution).stores.placed == 2
    resolver.apply([replace(anna, deleting=True)])
    assert stores(resolver) == 3
    assert platform(resolver.resolution).stores.placed == -1
    resolver.apply([Gone("Mailbox", "anna")])
    assert stores(resolver) == 1
    resolver.apply([HighestStore(2)])
    assert stores(resolver) == 3


def test_who_wants_a_name_waits_until_the_mail_under_it_is_erased() -> None:
    day = "2026-01-0{}T00:00:00Z"
    gone = world.resource("Mailbox", "gone", {"username": "anna"}, day.format(2), status={"store": 2})
    next_one = world.resource("Mailbox", "next", {"username": "anna"}, day.format(3), status={"store": 0})
    held = replace(gone, deleting=True, finalizers=(FINALIZER,))
    resolver = Resolver(beginning(gone))

    def seen(*changes: Resource | Gone) -> tuple[str, Reason | None, Reason | None]:
        resolver.apply(list(changes))
        account = platform(resolver.resolution).account("anna")
        verdicts = (resolver.resolution.verdicts.get(("Mailbox", name)) for name in ("gone", "next"))
        return (account.resource if account else "", *(one.reason if one else None for one in verdicts))  # type: ignore[return-value]

    assert seen(next_one) == ("gone", Reason.ACCEPTED, Reason.CONFLICT)
    assert seen(held) == ("", Reason.DELETING, Reason.PENDING), "nobody reads what is to be erased"
    assert resolver.resolution.verdicts["Mailbox", "next"].path == "spec.username"
    assert stores(resolver) == 3, "its store is needed until then"
    assert seen(Gone("Mailbox", "gone")) == ("next", None, Reason.ACCEPTED)
    assert seen(gone, replace(gone, deleting=True)) == ("next", Reason.DELETING, Reason.ACCEPTED), "its mail is kept"
    older = replace(next_one, created=day.format(1))
    assert seen(older, held) == ("next", Reason.DELETING, Reason.ACCEPTED), "it never had the name"


def test_a_mailbox_that_comes_back_finds_its_mail_beyond_the_stores_that_are_asked_for() -> None:
    def place(resolver: Resolver) -> int:
        found = platform(resolver.resolution).account("anna")
        assert found is not None
        return found.store

    anna = world.resource("Mailbox", "anna", {})
    resolver = Resolver(beginning(anna))
    assert place(resolver) == UNPLACED, "the third store has not told yet"
    resolver.apply([Home("anna", 2)])
    assert place(resolver) == 2
    assert place(Resolver(beginning(anna, existing=0))) == place(Resolver(beginning(anna, existing=1))) == 0
