"""What the agent reads: digests, manifests, and the mounted folder as the kubelet keeps it."""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING

import pytest

from postboat.agent.digest import content_digest, file_digest
from postboat.agent.errors import ActivationError, Failure
from postboat.agent.inotify import Watch
from postboat.agent.manifest import Effect, parse
from postboat.agent.mount import fingerprint, read

if TYPE_CHECKING:
    from pathlib import Path


def kubelet_writes(root: Path, name: str, files: dict[str, str]) -> None:
    """Write a projected volume as the kubelet's atomic writer does: a new folder, then one link swapped."""
    for path, content in files.items():
        target = root / name / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(content)
        top = root / path.split("/", maxsplit=1)[0]
        if not top.is_symlink():
            top.symlink_to(f"..data/{top.name}")
    (root / "..data_tmp").symlink_to(name)
    (root / "..data_tmp").replace(root / "..data")


def manifest(**changes: str) -> bytes:
    file = {"key": "main.cf", "path": "main.cf", "effect": "reload", "mode": "0644"} | changes
    return json.dumps({"files": [file], "tables": []}).encode()


def test_the_digest_is_the_documented_one() -> None:
    files = {"tables/07": file_digest(b"b"), "main.cf": file_digest(b"a")}
    lines = f"main.cf {hashlib.sha256(b'a').hexdigest()}\ntables/07 {hashlib.sha256(b'b').hexdigest()}\n"
    assert content_digest(files) == hashlib.sha256(lines.encode()).hexdigest()
    assert content_digest(dict(reversed(files.items()))) == content_digest(files)


def test_a_manifest_is_read() -> None:
    table = {"name": "users", "driver": "sqlite", "columns": ["user", "quota"]}
    found = parse(json.dumps({"files": json.loads(manifest())["files"], "tables": [table]}).encode())
    assert found.files[0].effect is Effect.RELOAD
    assert found.files[0].mode == 0o644
    assert found.tables[0].columns == ("user", "quota")


@pytest.mark.parametrize(("mode", "bits"), [("0600", 0o600), ("4755", 0o755), (None, 0o644)])
def test_a_file_gets_the_permissions_of_the_manifest_and_no_other_bits(mode: str | None, bits: int) -> None:
    entry = {"key": "k", "path": "folder/name", "effect": "restart"} | ({"mode": mode} if mode else {})
    (found,) = parse(json.dumps({"files": [entry], "shards": ["07"]}).encode()).files
    assert (found.key, found.path, found.effect, found.mode) == ("k", "folder/name", Effect.RESTART, bits)


def test_a_manifest_names_the_shards_that_have_rows_and_an_old_one_names_none() -> None:
    assert parse(b'{"shards":["07","63"]}').shards == {"07", "63"}
    assert parse(b"{}").shards == frozenset()


@pytest.mark.parametrize(
    "content",
    [
        b"not json",
        b"[]",
        manifest(effect="maybe"),
        manifest(path="../outside"),
        manifest(path="/etc/passwd"),
        manifest(path=""),
        manifest(mode="rw"),
        b'{"tables":[{"name":"users","driver":"dbm","columns":["a"]}]}',
        b'{"tables":[{"name":"users\\" --","driver":"sqlite","columns":["a"]}]}',
        b'{"tables":[{"name":"users","driver":"sqlite","columns":[]}]}',
        b'{"tables":[{"name":"users","driver":"sqlite","columns":["a", "b\\" --"]}]}',
        b'{"tables":[{"name":"a","driver":"sqlite","columns":["a"]},{"name":"a","driver":"lmdb","columns":["a"]}]}',
        b'{"files":[{"key":"a","path":"a","effect":"live"},{"key":"b","path":"a","effect":"live"}]}',
        manifest(path="folder/../../outside"),
    ],
)
def test_a_manifest_that_is_not_understood_is_refused(content: bytes) -> None:
    with pytest.raises(ActivationError) as refused:
        parse(content)
    assert refused.value.failure is Failure.INVALID_CONFIGURATION


def test_a_volume_is_read_without_the_entries_of_the_kubelet(tmp_path: Path) -> None:
    kubelet_writes(tmp_path, "..1", {"manifest.json": manifest().decode(), "main.cf": "a", "tables/07": "rows"})
    mount = read(tmp_path)
    assert sorted(mount.files) == ["main.cf", "manifest.json", "tables/07"]
    assert mount.shards == {"07": b"rows"}
    assert mount.manifest().files[0].key == "main.cf"


def test_a_swap_changes_the_fingerprint_and_wakes_the_watch(tmp_path: Path) -> None:
    kubelet_writes(tmp_path, "..1", {"main.cf": "a"})
    before, watch = fingerprint(tmp_path), Watch(tmp_path)
    assert not watch.wait(0)
    kubelet_writes(tmp_path, "..2", {"main.cf": "b"})
    assert watch.wait(5)
    assert fingerprint(tmp_path) != before
    assert read(tmp_path).files["main.cf"] == b"b"
    watch.close()
    assert not watch.wait(0)


def test_a_plain_folder_works_too(tmp_path: Path) -> None:
    (tmp_path / "main.cf").write_text("a")
    before = fingerprint(tmp_path)
    assert read(tmp_path).files == {"main.cf": b"a"}
    (tmp_path / "main.cf").write_text("longer")
    assert fingerprint(tmp_path) != before


@pytest.mark.parametrize("files", [{}, {"main.cf": "a"}, {"manifest.json": manifest().decode()}])
def test_a_partial_mount_is_incomplete(tmp_path: Path, files: dict[str, str]) -> None:
    kubelet_writes(tmp_path, "..1", {"other": "x"} | files)
    with pytest.raises(ActivationError) as refused:
        read(tmp_path).manifest()
    assert refused.value.failure is Failure.INCOMPLETE_MOUNT


def test_a_folder_that_is_not_there_is_incomplete(tmp_path: Path) -> None:
    assert fingerprint(tmp_path / "missing") == ()
    with pytest.raises(ActivationError):
        read(tmp_path / "missing").manifest()
