"""Files become ConfigMaps and Secrets: one pair for each unit, and one Secret for each directory shard.

The flag `secret` of a file decides where it goes; shards are Secrets because they hold password hashes.
"""

from base64 import b64encode
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from hashlib import sha256
from typing import Any, Final

from postboat.model.platform import Platform
from postboat.objects.meta import SHARD_NOTE, Body, metadata
from postboat.render.files import File, Files, ShardFile
from postboat.render.tables import TABLES

LAYOUT: Final = sha256(
    "\n".join(
        ("general rows", *(f"{table.key} {table.driver} {table.name} {' '.join(table.columns)}" for table in TABLES))
    ).encode()
).hexdigest()[:16]
"""16 hex digits that differ between two versions of the operator whose tables, columns or form of rows differ."""
MOST_BYTES: Final = 1 << 20
"""Bytes that the values of a Secret may have together (`MaxSecretSize` of Kubernetes)."""
_COMPONENT = {"smtp-edge": "smtp"}


def config_objects(platform: Platform, unit: str, files: tuple[File, ...]) -> Iterator[Body]:
    """Yield the ConfigMap and the Secret of one unit.

    Args:
        unit: `smtp`, `smtp-edge`, `imap`, `store`, `filter` or `valkey`.
        files: All files of the unit.
    """
    component = _COMPONENT.get(unit, unit)
    yield {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": metadata(platform, unit, component),
        "data": {file.key: file.content.decode() for file in files if not file.secret},
    }
    yield {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": metadata(platform, unit, component),
        "type": "Opaque",
        "data": {file.key: _encoded(file.content) for file in files if file.secret},
    }


def shard_contents(files: Files) -> Mapping[int, Mapping[str, ShardFile]]:
    """Return the shard files by number of the shard (0 to 63), and below it by key (`smtp`, `edge`, `store`)."""
    shards: dict[int, dict[str, ShardFile]] = {}
    for (number, key), file in sorted(files.shards.items()):
        shards.setdefault(number, {})[key] = file
    return shards


@dataclass(frozen=True, slots=True)
class Filling:
    """The largest directory shard of a platform."""

    shard: int = 0
    """Its number, 0 to 63."""
    used: int = 0
    """Bytes of its values in the Secret."""


def filling(files: Files) -> Filling:
    """Return the largest shard; number 0 with 0 bytes when there is none."""
    used = {number: sum(file.size for file in held.values()) for number, held in shard_contents(files).items()}
    return max((Filling(number, size) for number, size in used.items()), key=lambda one: one.used, default=Filling())


def shard_object(platform: Platform, number: int, contents: Mapping[str, ShardFile]) -> Body:
    """Return the Secret of one shard, with the annotation SHARD_NOTE.

    The note is the layout and then `KEY=SHA256HEX` for each file, separated by spaces.

    Args:
        number: Number of the shard, 0 to 63.
        contents: Its files by key (`smtp`, `edge`, `store`).
    """
    note = " ".join((LAYOUT, *(f"{key}={file.digest}" for key, file in sorted(contents.items()))))
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": metadata(platform, shard_suffix(number), "directory") | {"annotations": {SHARD_NOTE: note}},
        "type": "Opaque",
        "data": {key: file.encoded for key, file in sorted(contents.items())},
    }


def note_of(body: Mapping[str, Any]) -> str:
    """Return the annotation SHARD_NOTE of a body; "" when it has none."""
    return str(body["metadata"].get("annotations", {}).get(SHARD_NOTE, ""))


def layout_of(note: str) -> str:
    """Return the layout of the tables in a shard (see LAYOUT); "" when the note is empty.

    Args:
        note: The annotation SHARD_NOTE.
    """
    return note.partition(" ")[0]


def contents_of(note: str) -> dict[str, str]:
    """Return the sha256 in hex of each file of a shard by its key (`smtp`, `edge`, `store`).

    Args:
        note: The annotation SHARD_NOTE; "" has no files.
    """
    return {key: digest for key, _, digest in (entry.partition("=") for entry in note.split()[1:])}


def shard_suffix(number: int) -> str:
    """Return the suffix in the name of a shard's Secret: `directory-07`.

    Args:
        number: Number of the shard, 0 to 63.
    """
    return f"directory-{number:02d}"


def _encoded(content: bytes) -> str:
    return b64encode(content).decode()
