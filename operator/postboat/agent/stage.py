"""The folders of configuration: every change is a new generation, activated by switching one link.

A generation that does not pass validation is removed; the last active one survives a restart of the container.
"""

from __future__ import annotations

import json
import os
import shutil
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from postboat.agent.manifest import Effect

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from postboat.agent.manifest import Manifest
    from postboat.agent.mount import Mount

ACTIVE = "active"
_GENERATIONS = "generations"
_RECORD = ".generation.json"
_AGE = 10.0  # seconds


@dataclass(frozen=True, slots=True)
class Generation:
    """A folder of configuration files."""

    folder: Path
    files: Mapping[str, tuple[str, Effect, int]]
    """For each path below the folder: sha256 in hex, effect, and permission bits."""
    digest: str
    """Digest of the mount that it was made from, sha256 in hex."""

    def effect_of_change(self, other: Generation) -> Effect | None:
        """Return the strongest effect among the files that differ between two generations; None when none differs."""
        return max(
            (
                max(entry[1] for entry in (self.files.get(path), other.files.get(path)) if entry)
                for path in self.files.keys() | other.files.keys()
                if self.files.get(path) != other.files.get(path)
            ),
            default=None,
        )


class Stage:
    """The generations below one folder.

    Args:
        root: The folder; its entry `active` is a link to the active generation.
    """

    def __init__(self, root: Path) -> None:
        self.active = root / ACTIVE
        self._generations = root / _GENERATIONS

    def plan(self, mount: Mount, manifest: Manifest) -> Generation:
        """Return the generation for a mount without writing it; its name is never used again.

        Args:
            mount: The content.
            manifest: The manifest in it.
        """
        files = {file.path: (mount.sha256[file.key], file.effect, file.mode) for file in manifest.files}
        return Generation(self._generations / str(time.time_ns()), files, mount.digest)

    def write(self, generation: Generation, mount: Mount, manifest: Manifest) -> None:
        """Write the files of a generation.

        Raises:
            OSError: The folder cannot be written.
        """
        generation.folder.mkdir(parents=True, mode=0o755)
        for file in manifest.files:
            _write(generation.folder / file.path, mount.files[file.key], file.mode)
        record = {"digest": generation.digest, "files": generation.files}
        _write(generation.folder / _RECORD, json.dumps(record).encode(), 0o600)

    def write_rehearsal(self, generation: Generation) -> Path:
        """Write a copy of a generation whose files refer to the copy instead of the active folder; return its folder.

        Files refer to each other by `.../active/`; a validator must find the new ones there before the link is
        switched.

        Raises:
            OSError: The folder cannot be written.
        """
        folder = generation.folder.with_name(f"{generation.folder.name}-rehearsal")
        folder.mkdir(mode=0o755)
        for path, (_, _, mode) in generation.files.items():
            content = (generation.folder / path).read_bytes()
            _write(folder / path, content.replace(os.fsencode(self.active), os.fsencode(folder)), mode)
        return folder

    def activate(self, generation: Generation) -> None:
        """Make a generation the active one by renaming a new link over the old one; readers see either of them.

        Raises:
            OSError: The folder cannot be written.
        """
        link = self.active.with_name(f"{ACTIVE}.new")
        link.unlink(missing_ok=True)
        link.symlink_to(generation.folder)
        link.replace(self.active)

    def inherited(self) -> Generation | None:
        """Return the generation that an earlier run of this container left active; None when there is none."""
        try:
            folder = self.active.resolve(strict=True)
            record = json.loads((folder / _RECORD).read_bytes())
            files = {path: (sha256, Effect(effect), mode) for path, (sha256, effect, mode) in record["files"].items()}
            return Generation(folder, files, record["digest"])
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            return None

    def prune(self, *kept: Generation | None) -> None:
        """Remove all generations but those to keep; errors are ignored.

        Args:
            kept: The generations to keep; None is ignored.
        """
        names = {generation.folder.name for generation in kept if generation}
        for folder in self._folders():
            if folder.name not in names:
                shutil.rmtree(folder, ignore_errors=True)

    def _folders(self) -> Iterator[Path]:
        return self._generations.iterdir() if self._generations.is_dir() else iter(())


def _write(path: Path, content: bytes, mode: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    with open(descriptor, "wb") as stream:  # noqa: PTH123  a descriptor: the file must never exist with a wider mode
        stream.write(content)
        stream.flush()
        os.fchmod(descriptor, mode)
        age(descriptor)


def age(file: int | Path) -> None:
    """Set the modification time of a file to 10 s ago; later files still are newer.

    Postfix reads a main.cf that is younger than about 2 s again and again (dict_load_file_xt).

    Args:
        file: A path, or a file descriptor.
    """
    then = time.time() - _AGE
    os.utime(file, (then, then))
