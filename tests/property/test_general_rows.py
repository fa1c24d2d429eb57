"""General rows come to the rows of each address, and no address is in danger while shards are of two plans."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping
from typing import Any

from hypothesis import assume, given, settings
from hypothesis import strategies as st

from postboat.agent.manifest import Table as AgentTable
from postboat.agent.tables import Delta, Directory, Row
from postboat.model import names
from postboat.model.resolve import Resolution, Resolver
from postboat.model.snapshot import Change, Gone
from postboat.objects.plan import Plan
from postboat.render.files import ShardFile, ShardKey
from postboat.render.tables import TABLES
from tests.golden import world
from tests.golden.rows import table_rows
from tests.property import address_rows
from tests.property.address_rows import AddressRows
from tests.property.test_resolver import changes, domains, snapshot_after

FIRST = names.shard("")
Tables = dict[str, dict[str, Row]]

domain_changes = st.one_of(domains, domains, st.builds(Gone, st.just("MailDomain"), st.sampled_from(("d0", "d1"))))


class Memory:
    """A driver that keeps the rows of all tables."""

    limit = sys.maxsize
    replaces = False

    def __init__(self) -> None:
        self.rows: Tables = {}

    def rebuild(self, tables: Mapping[AgentTable, Iterable[Row]]) -> None:
        self.rows = {table.name: {row[0]: row for row in rows} for table, rows in tables.items()}

    def update(self, deltas: Mapping[AgentTable, Delta]) -> bool:
        for table, delta in deltas.items():
            for key in delta.removed:
                del self.rows[table.name][key]
            self.rows[table.name] |= delta.changed
        return False


class Agent:
    """The directory of one kind of container."""

    def __init__(self, key: str) -> None:
        self._key = key
        self._memory = Memory()
        self._directory = Directory({"all": self._memory})
        self._tables = tuple(AgentTable(table.name, "all", table.columns) for table in TABLES if table.key == key)

    def take(self, shards: Mapping[ShardKey, ShardFile]) -> Tables:
        """Bring shards in force, and give all rows."""
        mine = {f"{number:02d}": file.content for (number, key), file in shards.items() if key == self._key}
        self._directory.apply(self._tables, mine)
        return {name: dict(rows) for name, rows in self._memory.rows.items()}


def shards_of(resolution: Resolution) -> Mapping[ShardKey, ShardFile]:
    """Render the directory; what has no platform is of no use here."""
    plan: Plan = world.planned(resolution)
    assume(plan.files is not None)
    assert plan.files is not None
    return plan.files.shards


@settings(max_examples=150, deadline=None)
@given(changes)
def test_general_rows_come_to_the_rows_of_each_address(batch: list[Change]) -> None:
    resolution = Resolver(snapshot_after(batch)).resolution
    found: dict[tuple[str, str], address_rows.Rows] = {}
    for (_, key), table, row in table_rows(shards_of(resolution)):
        assert row not in found.setdefault((key, table), set()), "a row is in one shard"
        found[key, table].add(row)
    assert resolution.platform is not None
    expected = AddressRows(resolution.platform)
    for table in (*address_rows.TABLES, "users"):
        key = "store" if table in {"users", "addresses", "own"} else "smtp"
        assert found.get((key, table), set()) == expected.of(table), table


@settings(max_examples=100, deadline=None)
@given(st.lists(changes, min_size=2, max_size=5))
def test_a_difference_leads_where_a_new_beginning_does(batches: list[list[Change]]) -> None:
    resolver = Resolver(snapshot_after(batches[0]))
    agents = {key: Agent(key) for key in ("smtp", "edge", "store")}
    for batch in ([], *batches[1:]):
        resolution = resolver.apply(batch)
        if resolution.platform is None:
            continue
        shards = shards_of(resolution)
        for key, agent in agents.items():
            assert agent.take(shards) == Agent(key).take(shards)


def answer(tables: Tables, address: str) -> str:
    """Say what becomes of mail to an address: its targets, or the code of a refusal."""
    _, _, domain = address.partition("@")
    if (refused := tables["refused"].get(address)) is not None:
        return refused[1][:3]
    if domain not in tables["domains"]:
        return "554"
    return (tables["aliases"].get(address) or tables["aliases"].get(f"@{domain}") or ("", "550"))[1]


def leads_on(address: str, said: str) -> bool:
    """Tell whether mail to an address depends on another one: outside the platform, or of a mailbox in one domain."""
    targets = {target for target in said.split(",") if "@" in target} - {names.canonical(address)}
    return any("=" in target or not target.endswith(f"@{names.MAILBOX_DOMAIN}") for target in targets)


def mixed(old: Mapping[ShardKey, Any], new: Mapping[ShardKey, Any], first: Mapping[ShardKey, Any]) -> dict[Any, Any]:
    """Take the shard with the domains from one plan and all others from the other one."""
    others = new if first is old else old
    return {place: file for place, file in first.items() if place[0] == FIRST} | {
        place: file for place, file in others.items() if place[0] != FIRST
    }


@settings(max_examples=300, deadline=None)
@given(changes, domain_changes)
def test_an_address_is_safe_while_a_domain_is_known_to_some_shards_only(batch: list[Change], change: Change) -> None:
    """Its mail goes where it went or where it is to go, or waits; what stays the same is so at all times."""
    resolver = Resolver(snapshot_after(batch))
    old = shards_of(resolver.resolution)
    new = shards_of(resolver.apply([change]))
    before, after = (Agent("smtp").take(shards) for shards in (old, new))
    addresses = [key for tables in (before, after) for key in tables["aliases"] if not key.startswith("@")]
    for first in (old, new):
        meanwhile = Agent("smtp").take(mixed(old, new, first))
        for address in addresses:
            found, was, will = (answer(tables, address) for tables in (meanwhile, before, after))
            if any(leads_on(address, said) for said in (found, was, will)):
                continue
            assert found in {was, will, "450"}, (address, found, was, will)
            assert found == was or was != will, address


@settings(max_examples=30, deadline=None)
@given(changes)
def test_a_domain_without_addresses_of_its_own_is_a_change_of_one_shard(batch: list[Change]) -> None:
    resolver = Resolver(snapshot_after(batch))
    before = shards_of(resolver.resolution)
    after = shards_of(
        resolver.apply([world.resource("MailDomain", "more", {"domain": "more.example", "server": "mail"})])
    )
    changed = {number for number, key in {*before, *after} if before.get((number, key)) != after.get((number, key))}
    assert changed == {FIRST}
