"""Files become ConfigMaps and Secrets: one pair a unit, and one Secret a shard of the directory.

What a file says about itself decides where it goes; shards are Secrets because they hold password hashes.
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
    "\n".join(f"{table.key} {table.driver} {table.name} {' '.join(table.columns)}" for table in TABLES).encode()
).hexdigest()[:16]
"""Tells two versions apart that do not keep the same tables with the same columns."""
MOST_BYTES: Final = 1 << 20
"""What the values of a Secret may have together (`MaxSecretSize` of Kubernetes)."""
_COMPONENT = {"smtp-edge": "smtp"}


def config_objects(platform: Platform, unit: str, files: tuple[File, ...]) -> Iterator[Body]:
    """Make the ConfigMap and the Secret of one unit."""
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
    """Group the shard files by shard."""
    shards: dict[int, dict[str, ShardFile]] = {}
    for (number, key), file in sorted(files.shards.items()):
        shards.setdefault(number, {})[key] = file
    return shards


@dataclass(frozen=True, slots=True)
class Filling:
    """The largest directory shard of a platform: its number, and its bytes in the Secret that holds it."""

    shard: int = 0
    used: int = 0


def filling(files: Files) -> Filling:
    """Find the largest shard."""
    used = {number: sum(len(file.content) for file in held.values()) for number, held in shard_contents(files).items()}
    return max((Filling(number, size) for number, size in used.items()), key=lambda one: one.used, default=Filling())


def shard_object(platform: Platform, number: int, contents: Mapping[str, ShardFile]) -> Body:
    """Make the Secret of one shard, with a note of its layout and of what it holds."""
    note = " ".join((LAYOUT, *(f"{key}={file.digest}" for key, file in sorted(contents.items()))))
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": metadata(platform, shard_suffix(number), "directory") | {"annotations": {SHARD_NOTE: note}},
        "type": "Opaque",
        "data": {key: _encoded(file.content) for key, file in sorted(contents.items())},
    }


def note_of(body: Mapping[str, Any]) -> str:
    """Read the note of a shard from its body."""
    return str(body["metadata"].get("annotations", {}).get(SHARD_NOTE, ""))


def layout_of(note: str) -> str:
    """Read from the note of a shard which tables it has."""
    return note.partition(" ")[0]


def contents_of(note: str) -> dict[str, str]:
    """Read from the note of a shard the digests of its files by their keys."""
    return {key: digest for key, _, digest in (entry.partition("=") for entry in note.split()[1:])}


def shard_suffix(number: int) -> str:
    """Name a shard within its platform: directory-07."""
    return f"directory-{number:02d}"


def _encoded(content: bytes) -> str:
    return b64encode(content).decode()
