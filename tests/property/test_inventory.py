"""Mail and its Mailboxes: whatever comes in whatever order, the inventory says what one taken at once would say."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Mapping
from itertools import pairwise
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from postboat.controller.mailstore.usage_rate import UsagePace, UsageRate
from postboat.model.retention.claims import Claim, MailKind
from postboat.model.retention.inventory import Holding, Inventory

NOW = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)
USERS = ("anna", "bert", "cleo")

KINDS = (MailKind.PERSONAL, MailKind.PUBLIC)

kinds = st.sampled_from((*KINDS, MailKind.PERSONAL | MailKind.PUBLIC))
holds = st.tuples(st.just("hold"), st.sampled_from(USERS), st.integers(0, 2), st.integers(0, 5), kinds)
releases = st.tuples(st.just("release"), st.sampled_from(USERS), st.integers(0, 2))
claimed = st.builds(Claim, st.sampled_from(USERS), st.one_of(kinds, st.just(MailKind.NONE)))
claims = st.tuples(st.just("claim"), st.sampled_from(("m0", "m1", "m2")), st.one_of(st.none(), claimed))
wholes = st.tuples(st.just("replace"), st.integers(0, 2), st.sets(st.sampled_from(USERS)))


def at_once(holdings: Iterable[Holding], claims: Mapping[str, Claim]) -> Inventory:
    taken = Inventory()
    for holding in holdings:
        taken.record(holding, NOW)
    for mailbox, claim in claims.items():
        taken.set_claim(mailbox, claim, NOW)
    return taken


def orphans(taken: Inventory) -> dict[tuple[str, MailKind], Holding]:
    found = {(orphan.holding.user, orphan.kind): orphan.holding for orphan in taken.first_orphans(10)}
    assert found == {(one.holding.user, one.kind): one.holding for user in USERS for one in taken.orphans_of(user)}
    return found


@given(st.lists(st.one_of(holds, releases, claims, wholes), max_size=30))
def test_an_incremental_inventory_equals_a_full_one(steps: list[Any]) -> None:
    taken = Inventory()
    held: dict[tuple[str, int], Holding] = {}
    claimed: dict[str, Claim] = {}
    for kind, *rest in steps:
        match kind:
            case "hold":
                user, store, size, whose = rest
                held[user, store] = Holding(user, store, size, 1, whose)
                taken.record(held[user, store], NOW)
            case "release":
                held.pop((rest[0], rest[1]), None)
                taken.discard(rest[0], rest[1], NOW)
            case "claim":
                claimed.pop(rest[0], None)
                if rest[1] is not None:
                    claimed[rest[0]] = rest[1]
                taken.set_claim(rest[0], rest[1], NOW)
            case "replace":
                store, users = rest
                held = {key: one for key, one in held.items() if key[1] != store}
                fresh = {user: Holding(user, store, 1, 1) for user in users}
                held |= {(user, store): one for user, one in fresh.items()}
                taken.replace(store, fresh, NOW)
    whole = at_once(held.values(), claimed)
    assert orphans(taken) == orphans(whole)
    nobodys = {(user, kind) for (user, _), one in held.items() for kind in KINDS if one.kind & kind}
    nobodys -= {(claim.user, kind) for claim in claimed.values() for kind in KINDS if claim.kind & kind}
    assert orphans(taken).keys() == nobodys
    assert taken.orphan_count == whole.orphan_count == len(nobodys)
    for user in USERS:
        here = [one for (name, _), one in held.items() if name == user and one.kind & MailKind.PERSONAL]
        most = min(here, key=lambda one: (-(one.messages or 0), -(one.bytes or 0), one.store), default=None)
        assert taken.home(user) == (most.store if most is not None else None)
        assert taken.claimants(user) == {name for name, claim in claimed.items() if claim.user == user}


events = st.lists(st.tuples(st.sampled_from(("a", "b", "c", "d", "e")), st.floats(0, 3)), max_size=60)


@given(events, st.floats(0.5, 5), st.floats(0.5, 4), st.floats(1, 3))
def test_usage_is_written_rarely_and_in_the_end_always(
    changes: list[tuple[str, float]], rest: float, per_second: float, burst: float
) -> None:
    board = UsageRate(UsagePace(rest, per_second, burst))
    now = 1000.0
    written: list[tuple[float, str]] = []
    dirty: set[str] = set()

    def go(until: float) -> None:
        nonlocal now
        while (pause := board.next_due(now)) is not None and now + pause <= until:
            now += max(pause, 0.001)
            take()
        now = until

    def take() -> None:
        for name in board.take(now):
            board.written(name, now)
            written.append((now, name))
            dirty.discard(name)

    for name, pause in changes:
        go(now + pause)
        board.changed(name, now)
        dirty.add(name)
        take()
    go(now + 1000)
    assert not dirty
    assert len(board) == 0
    for name in {one for _, one in written}:
        times = [at for at, one in written if one == name]
        assert all(later - earlier >= rest - 1e-6 for earlier, later in pairwise(times))
    for begin, _ in written:
        window = [at for at, _ in written if begin <= at <= begin + 10]
        assert len(window) <= burst + 10 * per_second + 1


def test_unchanged_usage_takes_nothing_of_the_rate() -> None:
    board = UsageRate(UsagePace(interval=10, per_second=1, burst=1))
    for now in range(100):
        board.changed("a", float(now))
        assert board.take(float(now)) == ["a"]
