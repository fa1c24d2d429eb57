"""Folders with the content of an image, to start its programs by hand."""

from __future__ import annotations

import json
import posixpath
import shutil
import tarfile
from pathlib import Path
from typing import IO

_GONE = ".wh."  # how a layer says that a file of the layers below is no more


def unpack(archive: Path, folder: Path) -> None:
    """Write all layers of a docker archive below a folder; needs root, since files keep their owners."""
    with tarfile.open(archive) as image:
        manifest = json.load(_member(image, "manifest.json"))
        for layer in manifest[0]["Layers"]:
            with tarfile.open(fileobj=_member(image, layer)) as files:
                _apply(files, folder)


def _member(image: tarfile.TarFile, name: str) -> IO[bytes]:
    found = image.getmember(name)
    if found.issym():  # layers lie beside folders of older names that point to them
        found = image.getmember(posixpath.normpath(posixpath.join(posixpath.dirname(name), found.linkname)))
    content = image.extractfile(found)
    assert content is not None, f"{name} is no file"
    return content


def _apply(files: tarfile.TarFile, folder: Path) -> None:
    for one in files:
        place = folder / one.name
        if place.name.startswith(_GONE):
            _remove(place.with_name(place.name.removeprefix(_GONE)))
            continue
        if not one.isdir() or place.is_symlink():
            _remove(place)
        files.extract(one, folder, numeric_owner=True, filter="fully_trusted")


def _remove(place: Path) -> None:
    if place.is_dir() and not place.is_symlink():
        shutil.rmtree(place)
    else:
        place.unlink(missing_ok=True)
