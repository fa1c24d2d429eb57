"""All files of a platform: those of each unit with its manifest, and the directory shards.

A unit is what one ConfigMap and one Secret hold: smtp, smtp-edge, imap, store, filter, valkey.
"""

from collections.abc import Callable, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import replace
from json import dumps
from typing import Final

from postboat.agent.manifest import MANIFEST
from postboat.model.platform import Platform
from postboat.render import dovecot, postfix, rspamd, shards, valkey
from postboat.render.files import File, Files, ShardFile, ShardKey
from postboat.render.tables import KEYS, TABLES

UNITS: Final[Mapping[str, Callable[[Platform], tuple[File, ...]]]] = {
    "smtp": postfix.files,
    "smtp-edge": dovecot.smtp_edge_files,
    "imap": dovecot.imap_files,
    "store": dovecot.store_files,
    "filter": rspamd.files,
    "valkey": valkey.files,
}
"""The function that renders the files of each unit."""
SHARD_KEYS: Final[Mapping[str, str]] = {"smtp": "smtp", "smtp-edge": "edge", "imap": "edge", "store": "store"}
"""For each unit with tables, the key of its files in the directory shards."""


def render(platform: Platform, before: Files | None = None, beat: Callable[[], None] = lambda: None) -> Files:
    """Return all files of a platform, reusing those of an earlier rendering that have not changed.

    Args:
        before: An earlier rendering; None renders everything.
        beat: Called before each shard that is rendered, as a heartbeat.
    """
    site = replace(platform, directory=())
    same = before is not None and before.site == site
    origins = shards.origins(platform)
    rendered: dict[ShardKey, ShardFile] = {}
    for number, origin in enumerate(origins):
        if before is not None and before.origins[number] == origin:
            kept = ((number, key) for key in KEYS)
            rendered |= {key: before.shards[key] for key in kept if key in before.shards}
        else:
            beat()
            rendered |= shards.shard_files(platform, number)
    if before is not None and same:
        units = before.units if before.shards.keys() == rendered.keys() else _renamed(before.units, rendered.keys())
        return Files(units, rendered, before.site, origins)
    units = {unit: _with_manifest(unit, files(platform), rendered.keys()) for unit, files in UNITS.items()}
    return Files(units, rendered, site, origins)


def without(files: Files, absent: AbstractSet[ShardKey]) -> Files:
    """Return the files with manifests that leave out some shards, so that pods can start without them.

    Args:
        absent: The shards to leave out, as number and key.
    """
    return replace(files, units=_renamed(files.units, files.shards.keys() - absent))


def _renamed(units: Mapping[str, tuple[File, ...]], named: AbstractSet[ShardKey]) -> dict[str, tuple[File, ...]]:
    """Return the units with manifests that name other shards."""
    return {
        unit: _with_manifest(unit, tuple(file for file in files if file.key != MANIFEST), named)
        if unit in SHARD_KEYS
        else files
        for unit, files in units.items()
    }


def _with_manifest(unit: str, files: tuple[File, ...], named: AbstractSet[ShardKey]) -> tuple[File, ...]:
    return tuple(sorted((*files, _manifest(unit, files, named)), key=lambda file: file.key))


def _manifest(unit: str, files: tuple[File, ...], named: AbstractSet[ShardKey]) -> File:
    listed = [
        {"key": file.key, "path": file.path, "effect": file.effect, "mode": file.mode}
        for file in sorted(files, key=lambda file: file.key)
    ]
    mine = SHARD_KEYS.get(unit)
    tables = [
        {"name": table.name, "driver": table.driver, "columns": list(table.columns)}
        for table in TABLES
        if table.key == mine
    ]
    raw: dict[str, object] = {"files": listed, "tables": tables}
    if mine is not None:
        raw["shards"] = [f"{number:02d}" for number, key in sorted(named) if key == mine]
    content = dumps(raw, sort_keys=True, separators=(",", ":"))
    return File(MANIFEST, MANIFEST, f"{content}\n".encode())
