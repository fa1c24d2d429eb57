"""Reads the projected volume of a container in one consistent state.

The kubelet switches the link `..data` to a new folder; all files are read below the folder that it named at first.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from postboat.agent.digest import content_digest, file_digest
from postboat.agent.errors import ActivationError, Failure
from postboat.agent.manifest import MANIFEST, Manifest, parse

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

DATA = "..data"
SHARDS = "tables/"
"""Folder of the directory shards in the volume."""
_ATTEMPTS = 5


@dataclass(frozen=True, slots=True)
class Mount:
    """The content of a projected volume."""

    files: Mapping[str, bytes]
    """The files by their path as mounted."""
    sha256: Mapping[str, str]
    """The sha256 in hex of each file by the same path."""
    digest: str
    """The digest of all of it, see `digest.content_digest`."""

    @property
    def shards(self) -> dict[str, bytes]:
        """Return the compressed directory shards by their two digits."""
        return {path[len(SHARDS) :]: content for path, content in self.files.items() if path.startswith(SHARDS)}

    def manifest(self) -> Manifest:
        """Return the manifest.

        Raises:
            ActivationError: IncompleteMount when the manifest or a file in it is missing; InvalidConfiguration when it
                cannot be read.
        """
        if MANIFEST not in self.files:
            raise ActivationError(Failure.INCOMPLETE_MOUNT, f"no {MANIFEST} yet")
        manifest = parse(self.files[MANIFEST])
        missing = sorted({file.key for file in manifest.files} - self.files.keys())
        if missing:
            raise ActivationError(Failure.INCOMPLETE_MOUNT, f"missing: {', '.join(missing)}")
        return manifest


def fingerprint(root: Path) -> object:
    """Return a value that changes when the volume changes, at the cost of a few system calls.

    The value is only to be compared.

    Args:
        root: Where the volume is mounted.

    Returns:
        None when it cannot be read.
    """
    try:
        return os.readlink(root / DATA)  # noqa: PTH115  Path.readlink would build a path that nobody wants
    except OSError:
        pass
    try:
        return tuple((path, stat.st_mtime_ns, stat.st_size, stat.st_ino) for path, stat in _plain(root))
    except OSError:
        return None


def read(root: Path) -> Mount:
    """Return the content of a volume.

    Args:
        root: Where the volume is mounted.

    Raises:
        ActivationError: IncompleteMount when it could not be read, or changed during each of five attempts.
    """
    for _ in range(_ATTEMPTS):
        before = fingerprint(root)
        folder = root / DATA if (root / DATA).exists() else root
        try:
            base = folder.resolve(strict=True)
            files = {path: (base / path).read_bytes() for path in _paths(base)}
        except OSError:
            continue
        if fingerprint(root) == before:
            sha256 = {path: file_digest(content) for path, content in files.items()}
            return Mount(files, sha256, content_digest(sha256))
    raise ActivationError(Failure.INCOMPLETE_MOUNT, f"{root} cannot be read")


def _plain(root: Path) -> Iterator[tuple[str, os.stat_result]]:
    return ((path, (root / path).stat()) for path in _paths(root))


def _paths(base: Path) -> list[str]:
    """Return the paths of all files below `base`, sorted, without entries that begin with two dots."""
    paths: list[str] = []
    for folder, folders, names in os.walk(base, followlinks=True):
        folders[:] = [name for name in folders if not name.startswith("..")]
        paths += [Path(folder, name).relative_to(base).as_posix() for name in names if not name.startswith("..")]
    return sorted(paths)
