"""What waits for what when something cannot be written, for every object of a real plan."""

from __future__ import annotations

import json
from functools import cache

import pytest

from postboat.agent.digest import content_digest
from postboat.model import names
from postboat.model.resolve import resolve
from postboat.objects.config import LAYOUT, contents_of, layout_of
from postboat.objects.dependence import Ref, Standing
from postboat.objects.meta import SHARD_NOTE
from postboat.objects.plan import Plan, demanded, lacking
from postboat.render.units import SHARD_KEYS
from tests.golden import world

ABSENT = Standing(there=False)
EARLIER = Standing(there=True, note=f"{LAYOUT} smtp=abc")
OTHER = Standing(there=True, note="0123456789abcdef smtp=abc")
SHARD = ("Secret", f"mail-directory-{names.shard('anna'):02d}")
READERS = {
    (kind, f"mail-{unit}") for kind in ("ConfigMap", "Secret") for unit in ("smtp", "smtp-edge", "imap", "store")
}


@cache
def planned() -> Plan:
    return world.planned(resolve(world.snapshot(world.documents(world.HERE / "cases" / "quickstart" / "input.yaml"))))


def waiting(unwritten: dict[Ref, Standing], *, exists: bool = True) -> set[Ref]:
    return {item.ref for item in planned().objects if item.needs.unmet(unwritten, exists=exists) is not None}


@pytest.mark.parametrize("standing", [ABSENT, EARLIER])
def test_a_shard_holds_up_nothing_of_a_platform_that_runs(standing: Standing) -> None:
    assert waiting({SHARD: standing}) == set()


def test_postfix_is_not_begun_without_all_shards() -> None:
    assert waiting({SHARD: ABSENT}, exists=False) == {("StatefulSet", "mail-smtp")}
    assert waiting({SHARD: EARLIER}, exists=False) == set()


@pytest.mark.parametrize("note", [OTHER.note, ""])
def test_files_wait_for_a_shard_that_has_other_tables(note: str) -> None:
    assert waiting({SHARD: Standing(there=True, note=note)}) == READERS


@pytest.mark.parametrize("kind", ["ConfigMap", "Secret"])
@pytest.mark.parametrize("unit", ["smtp", "smtp-edge"])
def test_a_workload_waits_for_its_own_files_only(kind: str, unit: str) -> None:
    found = waiting({(kind, f"mail-{unit}"): EARLIER})
    assert found == {("StatefulSet", "mail-smtp"), *([("Secret", f"mail-{unit}")] if kind == "ConfigMap" else [])}


def test_no_workload_is_begun_without_its_account_or_its_policy() -> None:
    policy = ("NetworkPolicy", "mail-store")
    assert waiting({policy: ABSENT}, exists=False) == {("StatefulSet", "mail-store")}
    assert waiting({policy: ABSENT}) == set()
    workloads = {item.ref for item in planned().objects if item.kind == "StatefulSet"}
    assert waiting({("ServiceAccount", "mail-mail"): ABSENT}, exists=False) == workloads


def test_a_service_or_a_budget_holds_up_nothing() -> None:
    others = {item.ref for item in planned().objects if item.kind in {"Service", "PodDisruptionBudget"}}
    assert ("Service", "mail-smtp") in others
    assert waiting(dict.fromkeys(others, ABSENT), exists=False) == set()


def test_everything_is_planned_after_what_it_waits_for() -> None:
    order = [item.ref for item in planned().objects]
    for item in planned().objects:
        needed = item.needs.written | item.needs.alike | item.needs.there
        assert all(order.index(ref) < order.index(item.ref) for ref in needed if ref in order), item.ref


def test_a_shard_notes_its_tables_and_its_digests() -> None:
    files = planned().files
    assert files is not None
    for item in planned().objects:
        if item.shard is not None:
            note = item.body["metadata"]["annotations"][SHARD_NOTE]
            expected = {key: file.digest for (number, key), file in files.shards.items() if number == item.shard}
            assert (layout_of(note), contents_of(note)) == (LAYOUT, expected)


def test_a_container_is_expected_to_have_what_a_refused_shard_was() -> None:
    whole, files = planned(), planned().files
    assert files is not None
    assert demanded(whole, {}) is whole.digests
    number = names.shard("alice")
    held = demanded(whole, {number: {"edge": "abc"}})
    unit = {file.key: file.digest for file in files.units["imap"]}
    rows = {f"tables/{n:02d}": file.digest for (n, key), file in files.shards.items() if key == "edge" and n != number}
    assert held["mail-imap", "dovecot"] == content_digest(unit | rows | {f"tables/{number:02d}": "abc"})
    assert held["mail-store", "dovecot"] != whole.digests["mail-store", "dovecot"]
    assert held["mail-filter", "rspamd"] == whole.digests["mail-filter", "rspamd"]
    same = {item.shard: contents_of(item.body["metadata"]["annotations"][SHARD_NOTE]) for item in whole.objects[:1]}
    assert demanded(whole, {n: held for n, held in same.items() if n is not None}) == whole.digests


def test_the_manifest_of_a_reader_names_the_shards_that_are_written() -> None:
    bodies = {item.ref: item.body for item in planned().objects}
    for unit, key in SHARD_KEYS.items():
        manifest = json.loads(bodies["ConfigMap", f"mail-{unit}"]["data"]["manifest.json"])
        written = [item.shard for item in planned().objects if item.shard is not None and key in item.body["data"]]
        assert manifest["shards"] == [f"{number:02d}" for number in sorted(written)]
    assert "shards" not in json.loads(bodies["ConfigMap", "mail-filter"]["data"]["manifest.json"])


def test_what_is_lacking_is_named_by_no_manifest_and_changes_nothing_else() -> None:
    whole, number = planned(), names.shard("alice")
    less = lacking(whole, {(number, "smtp"), (number, "store")})
    changed = {now.ref for before, now in zip(whole.objects, less.objects, strict=True) if before.digest != now.digest}
    assert changed == {("ConfigMap", "mail-smtp"), ("ConfigMap", "mail-store")}
    assert {item.ref: item.needs for item in less.objects} == {item.ref: item.needs for item in whole.objects}
    assert less.digests["mail-store", "dovecot"] != whole.digests["mail-store", "dovecot"]
    assert less.digests["mail-imap", "dovecot"] == whole.digests["mail-imap", "dovecot"]
    assert lacking(whole, set()) is whole
