"""The folders of configuration: every change is a new generation, put in force by swapping one link.

A generation that did not pass validation is removed; the last one in force survives a restart of the container.
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
    """A folder of configuration files and what is in it: path -> (sha256, effect, mode); `digest` is the mount's."""

    folder: Path
    files: Mapping[str, tuple[str, Effect, int]]
    digest: str

    def effect_of_change(self, other: Generation) -> Effect | None:
        """Return the strongest effect among the files that differ between two generations, None when none does."""
        return max(
            (
                max(entry[1] for entry in (self.files.get(path), other.files.get(path)) if entry)
                for path in self.files.keys() | other.files.keys()
                if self.files.get(path) != other.files.get(path)
            ),
            default=None,
        )


class Stage:
    """The generations below one folder; `active` in it is a link to the one in force."""

    def __init__(self, root: Path) -> None:
        self.active = root / ACTIVE
        self._generations = root / _GENERATIONS

    def plan(self, mount: Mount, manifest: Manifest) -> Generation:
        """Return the generation that a mount asks for, without writing anything; its name is never used again."""
        files = {file.path: (mount.sha256[file.key], file.effect, file.mode) for file in manifest.files}
        return Generation(self._generations / str(time.time_ns()), files, mount.digest)

    def write(self, generation: Generation, mount: Mount, manifest: Manifest) -> None:
        """Write the files of a generation."""
        generation.folder.mkdir(parents=True, mode=0o755)
        for file in manifest.files:
            _write(generation.folder / file.path, mount.files[file.key], file.mode)
        record = {"digest": generation.digest, "files": generation.files}
        _write(generation.folder / _RECORD, json.dumps(record).encode(), 0o600)

    def write_rehearsal(self, generation: Generation) -> Path:
        """Write a copy of a generation whose files refer to each other, not to the folder in force, and return it.

        Files name `.../active/`; a validator must see the new ones behind that name before the link is swapped.
        """
        folder = generation.folder.with_name(f"{generation.folder.name}-rehearsal")
        folder.mkdir(mode=0o755)
        for path, (_, _, mode) in generation.files.items():
            content = (generation.folder / path).read_bytes()
            _write(folder / path, content.replace(os.fsencode(self.active), os.fsencode(folder)), mode)
        return folder

    def activate(self, generation: Generation) -> None:
        """Put a generation in force by renaming a new link over the old one, which no reader can see half done."""
        link = self.active.with_name(f"{ACTIVE}.new")
        link.unlink(missing_ok=True)
        link.symlink_to(generation.folder)
        link.replace(self.active)

    def inherited(self) -> Generation | None:
        """Return the generation that an earlier run of this container left in force, None when there is none."""
        try:
            folder = self.active.resolve(strict=True)
            record = json.loads((folder / _RECORD).read_bytes())
            files = {path: (sha256, Effect(effect), mode) for path, (sha256, effect, mode) in record["files"].items()}
            return Generation(folder, files, record["digest"])
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            return None

    def prune(self, *kept: Generation | None) -> None:
        """Remove every generation but those to keep."""
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
    """Date a file back, always by the same time, so that later stays later.

    Postfix reads a main.cf younger than about two seconds again and again until it is older (dict_load_file_xt).
    """
    then = time.time() - _AGE
    os.utime(file, (then, then))
