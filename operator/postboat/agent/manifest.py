"""The manifest of a mount: which file goes where in the daemon's folder, with which effect, and which tables there are.

It is read strictly, since a manifest that is not understood whole must not be put in force in part.
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
    """What a changed file asks of its daemon; the greater one includes the lesser ones."""

    LIVE = 0
    RELOAD = 1
    RESTART = 2


@dataclass(frozen=True, slots=True)
class ManifestFile:
    """One file: its key in the mount, its path in the daemon's folder, its effect, its permission bits."""

    key: str
    path: str
    effect: Effect
    mode: int


@dataclass(frozen=True, slots=True)
class Table:
    """One table: the driver that holds it and the names of its columns, of which the first is the primary key."""

    name: str
    driver: str
    columns: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Manifest:
    """All files and tables of one container, and the shards, by their two digits, that have rows for them.

    An operator of an older version names no shards.
    """

    files: tuple[ManifestFile, ...]
    tables: tuple[Table, ...]
    shards: frozenset[str] = frozenset()


def parse(content: bytes) -> Manifest:
    """Read a manifest; raise ActivationError (InvalidConfiguration) when it is not one."""
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
