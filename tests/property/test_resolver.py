"""What holds for every input: order is nothing, a fault stays alone, deciding change by change is deciding."""

from collections.abc import Callable
from dataclasses import replace
from random import Random
from typing import Any
from unittest.mock import patch

from hypothesis import given, settings
from hypothesis import strategies as st

from postboat.api import Resource
from postboat.model import mailboxes as mailbox_book
from postboat.model.names import canonical
from postboat.model.platform import UNPLACED
from postboat.model.resolve import Resolution, Resolver, resolve
from postboat.model.retention.reclaim import FINALIZER
from postboat.model.snapshot import (
    Change,
    Gone,
    HighestStore,
    Home,
    InventoryComplete,
    SecretContent,
    Servers,
    Snapshot,
)
from postboat.model.verdict import Reason
from postboat.render import shards
from postboat.render.units import SHARD_KEYS
from tests.golden import world
from tests.golden.rows import table_rows

NAMES = ("anna", "bert", "cleo")
MAILBOXES = ("m0", "m1", "m2", "anna")
ADDRESSES = (
    "anna@example.org",
    "bert@EXAMPLE.net",
    "cleo+tag@example.org",
    "info@example.org",
    "postmaster@example.org",
    "nobody@example.net",
    "Out@elsewhere.example",
)
FORWARDS = tuple(
    (list(to), kept) for to in (ADDRESSES[:1], ADDRESSES[1:2], ADDRESSES[2:5], ADDRESSES[5:]) for kept in (True, False)
)
SERVERS = (None, None, None, "mail", "other")
SECRETS = ("s0", "s1", "other-internal")
TIMES = ("2026-01-01T00:00:00Z", "2026-01-02T00:00:00Z", "")
OWN = {content.name: content for content in (world.internal("mail", "mail"), world.self_signed("mail", "mail"))}


def _fitting(spec: dict[str, Any]) -> dict[str, Any]:
    """Keep what has a meaning for the type, else the object would be refused and nothing be learned."""
    foreign = {
        "Group": {"passwordSecret", "owners", "forward"},
        "Public": {"passwordSecret", "members", "forward"},
    }
    left_out = foreign.get(spec["type"], {"members", "owners"})
    return {key: value for key, value in spec.items() if value and key not in left_out}


unknown_fields = st.sampled_from(((), (), ("spec.newer",)))
mailboxes = st.builds(
    lambda name, spec, created, status, deleting, finalizers, unknown: replace(
        world.resource("Mailbox", name, _fitting(spec), created, status=status),
        deleting=deleting,
        finalizers=finalizers,
        unknown=unknown,
    ),
    name=st.sampled_from(MAILBOXES),
    spec=st.fixed_dictionaries(
        {
            "server": st.sampled_from(SERVERS),
            "username": st.sampled_from((None, *NAMES, "Not Valid")),
            "domain": st.sampled_from((None, None, "example.org", "Example.NET", "elsewhere.example")),
            "type": st.sampled_from((None, "User", "Group", "Group", "Public")),
            "quota": st.sampled_from((None, "0", "2Gi")),
            "junk": st.sampled_from((None, {"move": False}, {"retention": "3d"})),
            "members": st.lists(st.sampled_from(MAILBOXES), max_size=3, unique=True),
            "forward": st.sampled_from((None, None, *({"to": to, "keepCopy": kept} for to, kept in FORWARDS))),
            "address": st.sampled_from((None, "Enabled", "Disabled")),
            "internal": st.booleans(),
            "owners": st.lists(st.sampled_from(MAILBOXES), max_size=2, unique=True).map(
                lambda names: [{"name": name} for name in names]
            ),
            "passwordSecret": st.sampled_from((None, *({"name": name, "key": "password"} for name in SECRETS))),
        }
    ),
    created=st.sampled_from(TIMES),
    status=st.sampled_from(({}, {"store": 0}, {"store": 3})),
    deleting=st.sampled_from((False, False, False, True)),
    finalizers=st.sampled_from(((), (FINALIZER,))),
    unknown=unknown_fields,
)
VERIFIED = {"host": "relay.example", "tls": "Verified"}
AUTHORITIES = tuple({"name": name, "key": "password"} for name in ("s0", "s1"))
domains = st.builds(
    lambda name, domain, created, signed, more, unknown: replace(
        world.resource("MailDomain", name, {"domain": domain, "dkim": {"enabled": signed}, **more}, created),
        unknown=unknown,
    ),
    name=st.sampled_from(("d0", "d1", "d2")),
    domain=st.sampled_from(("example.org", "EXAMPLE.org", "example.net", "not a domain")),
    created=st.sampled_from(TIMES),
    signed=st.booleans(),
    unknown=unknown_fields,
    more=st.sampled_from(
        (
            {},
            {"server": "other"},
            {"unknownRecipients": {"action": "Deliver", "mailbox": "m0"}},
            {"unknownRecipients": {"action": "Deliver", "mailbox": "m1"}, "copyTo": [ADDRESSES[0], ADDRESSES[3]]},
            {"copyTo": [ADDRESSES[5], ADDRESSES[6]]},
            {"delivery": "Relay", "relay": VERIFIED},
            {"delivery": "Relay", "relay": {"host": "relay.example"}, "copyTo": [ADDRESSES[1]]},
            *({"delivery": "Relay", "relay": {**VERIFIED, "caSecret": reference}} for reference in AUTHORITIES),
        )
    ),
)
servers = st.builds(
    lambda host, count, mailboxes, master, postmaster, unknown: replace(
        world.server(
            host,
            storage={"shards": count},
            mailboxes=mailboxes,
            **({"masterUser": {"passwordSecret": {"name": master, "key": "password"}}} if master else {}),
            **postmaster,
        ),
        unknown=unknown,
    ),
    host=st.sampled_from(("mail.example.org", "mx.example.org", "not valid")),
    count=st.integers(1, 3),
    mailboxes=st.builds(
        lambda groups, quota, creators: {
            "groupAddresses": groups,
            **({"publicCreators": creators} if creators else {}),
            **({"quota": quota, "junk": {"retention": "2d"}} if quota else {}),
        },
        groups=st.sampled_from(("Enabled", "Disabled")),
        quota=st.sampled_from((None, None, "1Gi", "0")),
        creators=st.lists(st.sampled_from(MAILBOXES), max_size=2, unique=True),
    ),
    master=st.sampled_from((None, None, "s0", "s1")),
    unknown=unknown_fields,
    postmaster=st.sampled_from(
        ({}, {"postmaster": {"mailbox": "m0"}}, {"postmaster": {"address": "info@example.org"}})
    ),
)
destinations = st.one_of(
    st.sampled_from(MAILBOXES).map(lambda name: {"mailbox": name}),
    st.sampled_from(ADDRESSES).map(lambda address: {"address": address}),
)
others = st.builds(
    lambda name, created, spec, unknown: replace(
        world.resource("MailAddress", name, {key: value for key, value in spec.items() if value}, created),
        unknown=unknown,
    ),
    unknown=unknown_fields,
    name=st.sampled_from(("a0", "a1", "a2", "info")),
    created=st.sampled_from(TIMES),
    spec=st.fixed_dictionaries(
        {
            "server": st.sampled_from(SERVERS),
            "localPart": st.sampled_from((None, "Info", "anna", "bert", "postmaster", "with+tag")),
            "domain": st.sampled_from((None, "example.org", "example.net", "elsewhere.example")),
            "destinations": st.lists(destinations, min_size=1, max_size=3),
            "internal": st.booleans(),
        }
    ),
)
secrets = st.builds(
    lambda name, content: SecretContent("mail", name, content is not None, {"password": content} if content else {}),
    name=st.sampled_from(SECRETS),
    content=st.sampled_from((None, b"secret", b"other", b"{SSHA512}x", world.key("ca.crt"), world.key("tls.crt"))),
)
gone = st.one_of(
    st.builds(Gone, st.just("Mailbox"), st.sampled_from(("m0", "m1", "m2", "anna"))),
    st.builds(Gone, st.just("MailDomain"), st.sampled_from(("d0", "d1", "d2"))),
    st.builds(Gone, st.just("MailAddress"), st.sampled_from(("a0", "a1", "a2", "info"))),
)
homes = st.builds(Home, st.sampled_from((*NAMES, f"{NAMES[0]}@example.org")), st.sampled_from((None, 0, 2)))
inventories = st.just(InventoryComplete())
held = st.builds(HighestStore, st.integers(-1, 4))
connectors = st.builds(
    lambda name, server: world.resource(
        "RelayHost", name, {"host": "relay.example", "default": True, **({"server": server} if server else {})}
    ),
    name=st.sampled_from(("r0", "r1")),
    server=st.sampled_from(SERVERS),
)
families = st.sampled_from((("mail",), ("mail", "other"), ("other", "mail"))).map(Servers)
changes = st.lists(
    st.one_of(
        *(mailboxes, mailboxes, mailboxes, domains, servers, others, others, secrets, gone, homes, inventories, held),
        *(connectors, families),
    ),
    max_size=16,
)


def snapshot_after(done: list[Change]) -> Snapshot:  # noqa: C901 - a case for each change
    server = world.server()
    resources: dict[tuple[str, str], Resource] = {}
    known = dict(OWN)
    found: dict[str, int] = {}
    told = False
    highest: int | None = None
    names = ("mail",)
    for change in done:
        match change:
            case Home(store=None):
                found.pop(change.user, None)
            case Home():
                found[change.user] = change.store
            case InventoryComplete():
                told = True
            case HighestStore():
                highest = change.store
            case Servers():
                names = change.names
            case SecretContent():
                known[change.name] = change
            case Gone():
                resources.pop((change.kind, change.name), None)
            case Resource(kind="MailServer"):
                server = change
            case Resource():
                resources[change.kind, change.name] = change
    snapshot = world.of(server, resources.values(), known)
    return replace(
        snapshot, homes=found, inventory_complete=told, existing_stores=2, highest_store=highest, servers=names
    )


def _facts(resolution: Resolution) -> tuple[object, ...]:
    return resolution.platform, dict(resolution.verdicts), resolution.wanted, resolution.counts


@settings(max_examples=150, deadline=None)
@given(st.lists(changes, min_size=1, max_size=5))
def test_deciding_change_by_change_is_deciding(batches: list[list[Change]]) -> None:
    resolver = Resolver(
        replace(world.of(world.server(), (), OWN), inventory_complete=False, existing_stores=2, highest_store=None)
    )
    planned = world.planned(resolver.resolution)
    done: list[Change] = []
    for batch in batches:
        before = resolver.resolution.verdicts
        resolution = resolver.apply(batch)
        done += batch
        fresh = resolve(snapshot_after(done))
        assert _facts(resolution) == _facts(fresh)
        changed = {key for key in {*before, *resolution.verdicts} if before.get(key) != resolution.verdicts.get(key)}
        assert changed <= resolution.touched
        planned, whole = world.planned(resolution, planned if planned.complete else None), world.planned(fresh)
        assert planned.objects == whole.objects
        assert planned.digests == whole.digests


def test_a_domain_that_becomes_ours_is_not_elsewhere_any_more() -> None:
    server = world.server("mail.example.org", postmaster={"address": "info@elsewhere.test"})
    relay = {"delivery": "Relay", "relay": {"host": "relay.example", "tls": "Verified"}}
    domains = [
        world.resource("MailDomain", name, spec) for name, spec in (("example.org", {}), ("elsewhere.test", relay))
    ]
    resolver = Resolver(world.of(server, domains[:1], OWN))
    planned = world.planned(resolver.resolution)
    resolution = resolver.apply(domains[1:])
    assert world.planned(resolution, planned).objects == world.planned(resolve(world.of(server, domains, OWN))).objects


@settings(max_examples=60, deadline=None)
@given(changes, st.randoms(use_true_random=False))
def test_the_order_of_objects_does_not_matter(batch: list[Change], random: Random) -> None:
    snapshot = snapshot_after(batch)
    shuffled = _shuffled(snapshot, random.shuffle)
    one, other = resolve(snapshot), resolve(shuffled)
    assert _facts(one) == _facts(other)
    assert world.planned(one).objects == world.planned(other).objects


@settings(max_examples=60, deadline=None)
@given(changes)
def test_fields_that_nobody_knows_change_no_byte(batch: list[Change]) -> None:
    without = [replace(change, unknown=()) if isinstance(change, Resource) else change for change in batch]
    one, other = resolve(snapshot_after(batch)), resolve(snapshot_after(without))
    assert (one.platform, one.wanted, one.counts) == (other.platform, other.wanted, other.counts)
    assert {key: verdict.accepted for key, verdict in one.verdicts.items()} == {
        key: verdict.accepted for key, verdict in other.verdicts.items()
    }


def _shuffled(snapshot: Snapshot, shuffle: Callable[[list[Any]], None]) -> Snapshot:
    def mixed(resources: tuple[Resource, ...]) -> tuple[Resource, ...]:
        listed = list(resources)
        shuffle(listed)
        return tuple(listed)

    names = list(snapshot.secrets)
    shuffle(names)
    return replace(
        snapshot,
        objects={kind: mixed(resources) for kind, resources in snapshot.objects.items()},
        secrets={name: snapshot.secrets[name] for name in names},
    )


@settings(max_examples=60, deadline=None)
@given(changes, st.sampled_from(("Mailbox", "MailDomain", "MailAddress", "FilterPolicy", "Connector", "RelayHost")))
def test_a_malformed_object_changes_only_its_own_status(batch: list[Change], kind: str) -> None:
    snapshot = snapshot_after(batch)
    broken = world.resource(kind, "broken", {"nonsense": True})
    more = {**snapshot.objects, kind: (*snapshot.of_kind(kind), broken)}
    one, other = resolve(snapshot), resolve(replace(snapshot, objects=more))
    assert other.platform == one.platform
    assert {key: verdict for key, verdict in other.verdicts.items() if key != (kind, "broken")} == dict(one.verdicts)
    assert not other.verdicts[kind, "broken"].accepted


@settings(max_examples=30, deadline=None)
@given(st.sets(st.from_regex(r"[a-z]{1,8}", fullmatch=True), min_size=1, max_size=40))
def test_one_more_mailbox_touches_one_shard(names: set[str]) -> None:
    *existing, extra = sorted(names)
    resources = [
        world.resource("MailDomain", "example.org", {}),
        *(world.resource("Mailbox", name, {}) for name in existing),
    ]
    resolver = Resolver(world.of(world.server(), resources, OWN))
    before = world.planned(resolver.resolution)
    with (
        patch.object(mailbox_book, "settle", wraps=mailbox_book.settle) as settled,
        patch.object(shards, "shard_files", wraps=shards.shard_files) as rendered,
    ):
        after = world.planned(resolver.apply([world.resource("Mailbox", extra, {})]), before)
    assert before.files is not None
    assert after.files is not None
    assert settled.call_count == 1
    assert rendered.call_count == 1
    old = {(item.kind, item.name): item.digest for item in before.objects}
    changed = [item for item in after.objects if old.get((item.kind, item.name)) != item.digest]
    assert changed[0].name.startswith("mail-directory-")
    # The first row of a shard is told to the agents, so that they know when the shard is missing.
    fresh = {key for _, key in after.files.shards.keys() - before.files.shards.keys()}
    readers = [unit for unit, key in SHARD_KEYS.items() if key in fresh]
    assert [item.ref for item in changed[1:]] == [("ConfigMap", f"mail-{unit}") for unit in readers]
    kept = {container for container, digest in after.digests.items() if before.digests[container] == digest}
    assert kept == {("mail-filter", "rspamd"), ("mail-valkey", "valkey")}


def _store_of(resolver: Resolver, user: str) -> int | None:
    platform = resolver.resolution.platform
    assert platform is not None
    account = platform.account(user)
    return account.store if account is not None else None


def test_a_mailbox_without_a_place_waits_for_the_stores_and_goes_where_its_mail_is() -> None:
    several = world.server(storage={"shards": 3})
    resources = [world.resource("Mailbox", name, {}) for name in NAMES]
    placed = world.resource("Mailbox", "dora", {}, status={"store": 1})
    snapshot = world.of(several, [*resources, placed, world.resource("MailDomain", "example.org", {})], OWN)
    resolver = Resolver(replace(snapshot, inventory_complete=False))
    waiting = world.planned(resolver.resolution)
    assert [_store_of(resolver, name) for name in NAMES] == [UNPLACED] * 3
    assert _store_of(resolver, "dora") == 1, "who has a place waits for nobody"
    assert waiting.verdicts["Mailbox", "anna"].reason is Reason.PENDING
    assert waiting.files is not None
    rows = {
        key: {
            row[0]
            for (_, one), table, row in table_rows(waiting.files.shards)
            if one == key and table in {"mailboxes", "users"}
        }
        for key in ("smtp", "edge")
    }
    assert rows == {"smtp": {canonical(name) for name in (*NAMES, "dora")}, "edge": {"dora"}}
    resolver.apply([Home("anna", 2)])
    assert [_store_of(resolver, name) for name in NAMES] == [2, UNPLACED, UNPLACED]
    resolver.apply([InventoryComplete()])
    assert _store_of(resolver, "anna") == 2
    assert all(_store_of(resolver, name) in range(3) for name in NAMES)
    assert resolver.resolution.verdicts["Mailbox", "bert"].accepted
    gone = resolver.apply([Gone("Mailbox", "bert"), Home("bert", 0)])
    assert gone.platform is not None
    resolver.apply([world.resource("Mailbox", "bert", {})])
    assert _store_of(resolver, "bert") == 0
