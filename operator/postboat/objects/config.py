"""Files become ConfigMaps and Secrets: one pair a unit, and one Secret a shard of the directory.

What a file says about itself decides where it goes; shards are Secrets because they hold password hashes.
"""

from base64 import b64encode
from collections.abc import Iterator, Mapping

from postboat.model.platform import Platform
from postboat.objects.meta import Body, metadata
from postboat.render.files import File, Files, ShardFile

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


def shard_object(platform: Platform, number: int, contents: Mapping[str, ShardFile]) -> Body:
    """Make the Secret of one shard."""
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": metadata(platform, shard_suffix(number), "directory"),
        "type": "Opaque",
        "data": {key: _encoded(file.content) for key, file in sorted(contents.items())},
    }


def shard_suffix(number: int) -> str:
    """Name a shard within its platform: directory-07."""
    return f"directory-{number:02d}"


def _encoded(content: bytes) -> str:
    return b64encode(content).decode()
