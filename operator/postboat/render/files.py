"""Rendered files, and what a daemon has to do when one of them changes.

The manifest describes them to an agent; its format is in docs/interfaces.md.
"""

from base64 import b64decode, b64encode
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from hashlib import sha256
from typing import Self

from postboat.model.platform import Platform

ShardKey = tuple[int, str]
"""Number of a shard (0 to 63) and the key of a file in it: `smtp`, `edge` or `store`."""


class Effect(StrEnum):
    """What a change of a file costs its daemon, at least."""

    LIVE = "live"
    RELOAD = "reload"
    RESTART = "restart"


@dataclass(frozen=True, slots=True)
class File:
    """One file of one container."""

    key: str
    """Key in the ConfigMap or Secret, and name of the mounted file."""
    path: str
    """Path below the folder of the active configuration, where the daemon reads it."""
    content: bytes
    """The bytes of the file; those in a ConfigMap are UTF-8."""
    effect: Effect = Effect.RELOAD
    secret: bool = False
    """Whether it goes into the Secret of its unit instead of the ConfigMap."""
    mode: str = "0644"
    """Permission bits as four octal digits."""

    @property
    def digest(self) -> str:
        """Return the sha256 of the content in hex."""
        return sha256(self.content).hexdigest()


@dataclass(frozen=True, slots=True)
class ShardFile:
    """The rows of one shard for one kind of container."""

    encoded: str
    """Lines `TABLE<TAB>COLUMN<TAB>...`, compressed with gzip, in Base64 as a Secret has them.

    There is one copy of them: for 100,000 mailboxes 16 MB.
    """
    digest: str
    """sha256 of the compressed rows in hex."""
    size: int
    """Bytes of the compressed rows."""

    @classmethod
    def of(cls, content: bytes) -> Self:
        """Return the file for compressed rows."""
        return cls(b64encode(content).decode(), sha256(content).hexdigest(), len(content))

    @property
    def content(self) -> bytes:
        """The compressed rows."""
        return b64decode(self.encoded)


@dataclass(frozen=True, slots=True)
class Files:
    """All files of a platform."""

    units: Mapping[str, tuple[File, ...]]
    """The files of each unit with its manifest: `smtp`, `smtp-edge`, `imap`, `store`, `filter`, `valkey`."""
    shards: Mapping[ShardKey, ShardFile]
    """The files of the directory shards."""
    site: Platform
    """The platform without its directory that the units were rendered from, to see whether it has changed."""
    origins: tuple[object, ...]
    """What each shard was rendered from, by number, to see whether it has changed."""
