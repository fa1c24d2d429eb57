"""The manifest of a mount: the path, effect and mode of each file, and the tables.

It is parsed strictly, since a manifest must not be applied in part.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from enum import IntEnum
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any

from postboat.agent.errors import ActivationError, Failure

if TYPE_CHECKING:
    from collections.abc import Mapping

MANIFEST = "manifest.json"
DRIVERS = ("acl", "lmdb", "sqlite")
_WORD = re.compile(r"[a-z][a-z0-9_]*\Z")


class Effect(IntEnum):
    """What a changed file asks of its daemon; a greater value includes the smaller ones."""

    LIVE = 0
    RELOAD = 1
    RESTART = 2


@dataclass(frozen=True, slots=True)
class ManifestFile:
    """One file."""

    key: str
    """Its path in the mount."""
    path: str
    """Its path below the folder of the active configuration; never outside of it."""
    effect: Effect
    mode: int
    """Permission bits."""


@dataclass(frozen=True, slots=True)
class Table:
    """One table."""

    name: str
    driver: str
    """`lmdb`, `sqlite` or `acl`."""
    columns: tuple[str, ...]
    """Names of its columns; the first one is the primary key."""


@dataclass(frozen=True, slots=True)
class Manifest:
    """All files and tables of one container."""

    files: tuple[ManifestFile, ...]
    tables: tuple[Table, ...]
    shards: frozenset[str] = frozenset()
    """Two digits of each directory shard that has rows for the container; empty from older operators."""


def parse(content: bytes) -> Manifest:
    """Return the manifest in a file.

    Args:
        content: JSON, see docs/interfaces.md.

    Raises:
        ActivationError: InvalidConfiguration when it is no manifest.
    """
    try:
        raw = json.loads(content)
        files = tuple(_file(entry) for entry in raw.get("files", ()))
        tables = tuple(_table(entry) for entry in raw.get("tables", ()))
        shards = frozenset(str(name) for name in raw.get("shards", ()))
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ActivationError(Failure.INVALID_CONFIGURATION, f"{MANIFEST}: {error!r}") from error
    for names in ([file.path for file in files], [table.name for table in tables]):
        if len(names) != len(set(names)):
            raise ActivationError(Failure.INVALID_CONFIGURATION, f"{MANIFEST}: a name occurs twice")
    return Manifest(files, tables, shards)


def _file(entry: Mapping[str, Any]) -> ManifestFile:
    path = PurePosixPath(entry["path"])
    if path.is_absolute() or ".." in path.parts or not path.parts:
        raise ValueError(f"path {str(path)!r} leaves its folder")
    return ManifestFile(
        key=str(entry["key"]),
        path=str(path),
        effect=Effect[str(entry["effect"]).upper()],
        mode=int(entry.get("mode", "0644"), 8) & 0o777,
    )


def _table(entry: Mapping[str, Any]) -> Table:
    table = Table(name=entry["name"], driver=entry["driver"], columns=tuple(entry["columns"]))
    if table.driver not in DRIVERS or not table.columns:
        raise ValueError(f"table {table.name!r} has no such driver or no columns")
    if not all(_WORD.match(word) for word in (table.name, *table.columns)):
        raise ValueError(f"table {table.name!r} or one of its columns is no word")
    return table
