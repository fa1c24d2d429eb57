"""Rendered files, told apart by what a daemon has to do when one of them changes.

The manifest is what an agent needs to know about them; its form is fixed in docs/interfaces.md.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from hashlib import sha256

from postboat.model.platform import Platform

ShardKey = tuple[int, str]
"""Number of a shard and the key within it: smtp, edge or store."""


class Effect(StrEnum):
    """The least a daemon has to do for a changed file to count."""

    LIVE = "live"
    RELOAD = "reload"
    RESTART = "restart"


@dataclass(frozen=True, slots=True)
class File:
    """One file of one container; `secret` decides whether it travels in a Secret or in a ConfigMap."""

    key: str
    path: str
    content: bytes
    effect: Effect = Effect.RELOAD
    secret: bool = False
    mode: str = "0644"

    @property
    def digest(self) -> str:
        """The sha256 of the content in hex."""
        return sha256(self.content).hexdigest()


@dataclass(frozen=True, slots=True)
class ShardFile:
    """The rows of one shard for one kind of container, compressed; `digest` is the sha256 of the content in hex."""

    content: bytes
    digest: str


@dataclass(frozen=True, slots=True)
class Files:
    """All files of a platform: of each unit (smtp, smtp-edge, imap, store, filter, valkey) and of the directory.

    `site` and `origins` are what units and shards were rendered from, so that the next rendering keeps what stays.
    """

    units: Mapping[str, tuple[File, ...]]
    shards: Mapping[ShardKey, ShardFile]
    site: Platform
    origins: tuple[object, ...]
