"""Whole inputs and what becomes of them: the files of every container, the objects, the statuses.

`POSTBOAT_GOLDEN=write` writes the results anew; the difference is then for people to judge.
"""

import json
import os
from base64 import b64decode
from collections.abc import Iterator, Mapping
from gzip import decompress
from pathlib import Path
from typing import Any

import pytest
import yaml

from postboat.api import parse
from postboat.model.resolve import resolve
from postboat.objects.plan import Plan
from postboat.status.observation import Moment, Observation, Workload
from postboat.status.report import report
from postboat.status.server import report_server
from tests.golden import world

CASES = sorted(path.parent for path in world.HERE.glob("cases/*/input.yaml"))
SERVING = Observation(
    workloads=tuple(Workload(name, 1, 1, 1) for name in ("smtp", "imap", "store", "filter", "valkey")),
    in_force=True,
    endpoints={"smtp": "192.0.2.1", "imap": "192.0.2.2"},
)


def results(case: Path) -> Iterator[tuple[str, str]]:
    raws = world.documents(case / "input.yaml")
    planned = world.planned(resolve(world.snapshot(raws)))
    yield from _files(planned)
    yield "objects.yaml", _yaml([_readable(item.body) for item in planned.objects])
    yield "statuses.yaml", _yaml(dict(_statuses(raws, planned)))


def _files(planned: Plan) -> Iterator[tuple[str, str]]:
    if planned.files is None:
        return
    for unit, files in planned.files.units.items():
        for file in files:
            if not file.path.endswith((".key", ".crt", ".pem")):
                yield f"files/{unit}/{file.path}", file.content.decode()
    rows = "".join(
        f"{number:02d} {key} {line}\n"
        for (number, key), shard in sorted(planned.files.shards.items())
        for line in decompress(shard.content).decode().splitlines()
    )
    yield "files/directory.txt", rows


def _readable(body: Mapping[str, Any]) -> Mapping[str, Any]:
    """Show of contents only how long they are: the files are compared by themselves."""
    if body["kind"] == "Secret":
        return {**body, "data": {key: f"{len(b64decode(value))} bytes" for key, value in body["data"].items()}}
    if body["kind"] == "ConfigMap":
        return {**body, "data": {key: f"{len(value)} characters" for key, value in body["data"].items()}}
    return body


def _statuses(raws: list[Mapping[str, Any]], planned: Plan) -> Iterator[tuple[str, Any]]:
    moment = Moment(world.NOW)
    for raw in raws:
        if raw["kind"] in {"Secret", "Namespace"}:
            continue
        resource = parse(raw)
        verdict = planned.verdicts.get((resource.kind, resource.name))
        if verdict is None:
            continue
        if resource.kind == "MailServer":
            status = report_server(resource, verdict, planned, SERVING, moment)
        else:
            status = report(resource, verdict, planned.platform, moment, in_force=True)
        yield f"{resource.kind}/{resource.name}", status


def _yaml(value: object) -> str:
    plain = json.loads(json.dumps(value))
    return yaml.dump(plain, Dumper=_Plain, sort_keys=True, width=120)


class _Plain(yaml.SafeDumper):
    def ignore_aliases(self, _data: object) -> bool:
        return True


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_case(case: Path) -> None:
    expected = case / "expected"
    found = dict(results(case))
    if os.environ.get("POSTBOAT_GOLDEN") == "write":
        for name, content in found.items():
            (expected / name).parent.mkdir(parents=True, exist_ok=True)
            (expected / name).write_text(content)
        for path in expected.rglob("*"):
            if path.is_file() and str(path.relative_to(expected)) not in found:
                path.unlink()
    there = {str(path.relative_to(expected)): path.read_text() for path in expected.rglob("*") if path.is_file()}
    assert sorted(found) == sorted(there)
    for name, content in found.items():
        assert content == there[name], name


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_a_second_report_says_nothing(case: Path) -> None:
    raws = world.documents(case / "input.yaml")
    planned = world.planned(resolve(world.snapshot(raws)))
    told = dict(_statuses(raws, planned))
    again = [{**raw, "status": told.get(f"{raw['kind']}/{raw['metadata']['name']}") or {}} for raw in raws]
    assert [status for _, status in _statuses(again, planned) if status is not None] == []
