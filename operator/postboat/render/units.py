"""All files of a platform: those of each unit with its manifest, and the shards of the directory.

A unit is what one ConfigMap and one Secret hold: smtp, smtp-edge, imap, store, filter, valkey.
"""

from collections.abc import Callable, Mapping
from dataclasses import replace
from json import dumps
from typing import Final

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
SHARD_KEYS: Final[Mapping[str, str]] = {"smtp": "smtp", "smtp-edge": "edge", "imap": "edge", "store": "store"}


def render(platform: Platform, before: Files | None = None) -> Files:
    """Render everything, taking over from an earlier rendering what has not changed."""
    site = replace(platform, directory=())
    if before is not None and before.site == site:
        units, site = before.units, before.site
    else:
        units = {unit: _with_manifest(unit, files(platform)) for unit, files in UNITS.items()}
    origins = shards.origins(platform)
    rendered: dict[ShardKey, ShardFile] = {}
    for number, origin in enumerate(origins):
        if before is not None and before.origins[number] == origin:
            kept = ((number, key) for key in KEYS)
            rendered |= {key: before.shards[key] for key in kept if key in before.shards}
        else:
            rendered |= shards.shard_files(platform, number)
    return Files(units, rendered, site, origins)


def _with_manifest(unit: str, files: tuple[File, ...]) -> tuple[File, ...]:
    return tuple(sorted((*files, _manifest(unit, files)), key=lambda file: file.key))


def _manifest(unit: str, files: tuple[File, ...]) -> File:
    listed = [
        {"key": file.key, "path": file.path, "effect": file.effect, "mode": file.mode}
        for file in sorted(files, key=lambda file: file.key)
    ]
    tables = [
        {"name": table.name, "driver": table.driver, "columns": list(table.columns)}
        for table in TABLES
        if table.key == SHARD_KEYS.get(unit)
    ]
    content = dumps({"files": listed, "tables": tables}, sort_keys=True, separators=(",", ":"))
    return File("manifest.json", "manifest.json", f"{content}\n".encode())
