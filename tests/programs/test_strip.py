"""What the build takes away from an image, and what it writes down about the rest."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

STRIP = Path(__file__).resolve().parents[2] / "images/strip.py"
STATUS = """\
Package: dash
Status: install ok installed
Architecture: amd64
Version: 0.5.12-12

Package: dpkg
Status: install ok installed
Architecture: amd64
Version: 1.22.21
Description: Debian package management system
 This package provides the low-level infrastructure.

Package: rspamd
Status: install ok installed
Architecture: amd64
Version: 3.12.1-1+deb13u1

Package: removed
Status: deinstall ok config-files
Architecture: amd64
Version: 1
"""


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A small file system with packages, one of them with a setuid program."""
    files = {"usr/bin/dash": 0o755, "usr/bin/dpkg": 0o755, "usr/bin/rspamd": 0o6755, "etc/apt/sources.list": 0o644}
    for name, mode in files.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(name)
        path.chmod(mode)
    (tmp_path / "usr/bin/sh").symlink_to("dash")
    info = tmp_path / "var/lib/dpkg/info"
    info.mkdir(parents=True)
    (info / "dash.list").write_text("/.\n/usr\n/usr/bin\n/usr/bin/dash\n/usr/bin/sh\n")
    (info / "dpkg.list").write_text("/.\n/usr/bin/dpkg\n")
    (info / "rspamd:amd64.list").write_text("/.\n/usr/bin/rspamd\n")
    (tmp_path / "var/lib/dpkg/status").write_text(STATUS)
    distribution = tmp_path / "opt/postboat/lib/python3.13/site-packages/Some_Thing-1.2+local.dist-info"
    distribution.mkdir(parents=True)
    (distribution / "METADATA").write_text(
        "Metadata-Version: 2.1\nName: Some_Thing\nVersion: 1.2+local\n\nText: no field\n"
    )
    return tmp_path


def strip(root: Path, *options: str) -> dict[str, str]:
    """Strip, and give the packages of the SBOM by their URLs."""
    subprocess.run([sys.executable, str(STRIP), "rspamd", "--root", str(root), *options], check=True)  # noqa: S603 -- our own words
    document = json.loads((root / "usr/share/sbom/packages.spdx.json").read_text())
    assert document["spdxVersion"] == "SPDX-2.3"
    assert len({entry["SPDXID"] for entry in document["packages"]}) == len(document["packages"])
    assert len(document["relationships"]) == len(document["packages"])
    return {entry["externalRefs"][0]["referenceLocator"]: entry["versionInfo"] for entry in document["packages"]}


def test_package_managers_and_shells_go_with_their_entries(root: Path) -> None:
    packages = strip(root)
    assert sorted(path.name for path in (root / "usr/bin").iterdir()) == ["rspamd"]
    assert not (root / "etc/apt").exists()
    assert packages == {
        "pkg:deb/debian/rspamd@3.12.1-1%2Bdeb13u1?arch=amd64&distro=trixie": "3.12.1-1+deb13u1",
        "pkg:pypi/some-thing@1.2%2Blocal": "1.2+local",
    }


def test_a_daemon_with_shell_scripts_keeps_the_shell(root: Path) -> None:
    assert "pkg:deb/debian/dash@0.5.12-12?arch=amd64&distro=trixie" in strip(root, "--keep", "dash")
    assert (root / "usr/bin/sh").exists()
    assert not (root / "usr/bin/dpkg").exists()


def test_no_file_makes_somebody_else_of_who_runs_it(root: Path) -> None:
    strip(root)
    assert (root / "usr/bin/rspamd").stat().st_mode & 0o7777 == 0o755


def test_the_same_packages_give_the_same_bytes(root: Path) -> None:
    strip(root)
    written = (root / "usr/share/sbom/packages.spdx.json").read_bytes()
    strip(root)
    assert (root / "usr/share/sbom/packages.spdx.json").read_bytes() == written
