"""Makes an image out of an installed Debian: takes away what no daemon needs, and writes down what is left.

Runs inside the build, as the last step before everything is copied to an empty image: package managers, tools to become
somebody else, the shells (unless kept by `--keep`), and every setuid and setgid bit go. The list of packages goes to
/usr/share/sbom/packages.spdx.json (SPDX 2.3), and /var/lib/dpkg/status keeps telling scanners what is installed.
"""
# ruff: noqa: INP001  a command of the build, not a module of the package

from __future__ import annotations

import argparse
import hashlib
import json
import re
import stat
from collections.abc import Iterator, Mapping
from pathlib import Path

MANAGERS = ("apt", "debconf", "debian-archive-keyring", "dpkg", "gpgv", "libapt-pkg7.0", "perl-base", "sqv")
IDENTITY = ("adduser", "bsdutils", "login", "login.defs", "mount", "passwd", "util-linux")
SYSTEM = ("debianutils", "init-system-helpers", "sysvinit-utils")
SHELLS = ("bash", "dash")
LEFTOVERS = ("etc/apt", "etc/dpkg", "var/lib/apt", "var/cache/apt", "var/cache/debconf", "var/lib/dpkg/info")
SBOM = Path("usr/share/sbom/packages.spdx.json")

Stanza = Mapping[str, str]


def stanzas(status: str) -> Iterator[tuple[str, Stanza]]:
    """Yield each paragraph of a dpkg status file with its fields that stand on one line (deb822(5))."""
    for text in re.split(r"\n{2,}", status.strip()):
        fields = (line.partition(":") for line in text.splitlines() if not line.startswith(" "))
        yield text, {name: value.strip() for name, _, value in fields}


def remove(root: Path, packages: frozenset[str]) -> None:
    """Remove the files of the packages below `root`, and the packages from dpkg's status; folders stay."""
    info, status = root / "var/lib/dpkg/info", root / "var/lib/dpkg/status"
    for listing in info.glob("*.list"):
        if listing.name.removesuffix(".list").partition(":")[0] in packages:
            for name in listing.read_text().splitlines():
                path = root / name.lstrip("/")
                if path.is_symlink() or path.is_file():
                    path.unlink()
    kept = [text for text, fields in stanzas(status.read_text()) if fields.get("Package") not in packages]
    status.write_text("\n\n".join(kept) + "\n")


def discard(path: Path) -> None:
    """Remove a file or a folder with all that is in it."""
    if path.is_dir() and not path.is_symlink():
        for child in path.iterdir():
            discard(child)
        path.rmdir()
    else:
        path.unlink(missing_ok=True)


def drop_privileges(root: Path) -> None:
    """Take the setuid and setgid bits from every file of the image; other file systems below are left alone."""
    device = root.stat().st_dev  # of folders only: an overlay gives files the device of their layer
    folders = [root]
    while folders:
        for path in folders.pop().iterdir():
            found = path.lstat()
            if stat.S_ISDIR(found.st_mode):
                folders += [path] if found.st_dev == device else []
            elif stat.S_ISREG(found.st_mode) and found.st_mode & (stat.S_ISUID | stat.S_ISGID):
                path.chmod(stat.S_IMODE(found.st_mode) & ~(stat.S_ISUID | stat.S_ISGID))


def debian_packages(root: Path) -> Iterator[tuple[str, str, str]]:
    """Yield name, version and package URL of each installed Debian package."""
    for _, fields in stanzas((root / "var/lib/dpkg/status").read_text()):
        if fields.get("Status", "").endswith(" installed"):
            name, version = fields["Package"], fields["Version"]
            url = f"pkg:deb/debian/{name}@{version.replace('+', '%2B')}?arch={fields['Architecture']}&distro=trixie"
            yield name, version, url


def python_packages(root: Path) -> Iterator[tuple[str, str, str]]:
    """Yield name, version and package URL of each Python distribution in the virtual environment of the operator."""
    for metadata in sorted(root.glob("opt/postboat/lib/python3*/site-packages/*.dist-info/METADATA")):
        _, fields = next(stanzas(metadata.read_text(errors="replace").partition("\n\n")[0]))
        name = re.sub(r"[-_.]+", "-", fields["Name"]).lower()
        yield name, fields["Version"], f"pkg:pypi/{name}@{fields['Version'].replace('+', '%2B')}"


def bill(image: str, packages: list[tuple[str, str, str]]) -> dict[str, object]:
    """Write an SPDX 2.3 document of an image; the same packages give the same bytes, so it states no real time."""
    digest = hashlib.sha256(repr(packages).encode()).hexdigest()
    entries = [
        {
            "SPDXID": f"SPDXRef-{number}-{re.sub(r'[^A-Za-z0-9.-]', '-', name)}",
            "name": name,
            "versionInfo": version,
            "downloadLocation": "NOASSERTION",
            "filesAnalyzed": False,
            "licenseConcluded": "NOASSERTION",
            "licenseDeclared": "NOASSERTION",
            "copyrightText": "NOASSERTION",
            "externalRefs": [
                {"referenceCategory": "PACKAGE-MANAGER", "referenceType": "purl", "referenceLocator": url}
            ],
        }
        for number, (name, version, url) in enumerate(packages)
    ]
    described = [
        {"spdxElementId": "SPDXRef-DOCUMENT", "relationshipType": "DESCRIBES", "relatedSpdxElement": entry["SPDXID"]}
        for entry in entries
    ]
    return {
        "spdxVersion": "SPDX-2.3",
        "dataLicense": "CC0-1.0",
        "SPDXID": "SPDXRef-DOCUMENT",
        "name": f"postboat/{image}",
        "documentNamespace": f"https://postboat.dev/spdx/{image}/{digest}",
        "creationInfo": {"created": "1970-01-01T00:00:00Z", "creators": ["Tool: postboat-images"]},
        "packages": entries,
        "relationships": described,
    }


def main() -> None:
    """Strip the file system that this runs in."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("image", help="name of the image, for the list of packages")
    parser.add_argument("--keep", nargs="*", default=(), metavar="PACKAGE", help="what scripts of the daemon need")
    parser.add_argument("--root", type=Path, default=Path("/"), help="the file system (%(default)s)")
    options = parser.parse_args()
    root: Path = options.root
    remove(root, frozenset((*MANAGERS, *IDENTITY, *SYSTEM, *SHELLS)) - set(options.keep))
    for name in LEFTOVERS:
        discard(root / name)
    drop_privileges(root)
    packages = [*debian_packages(root), *python_packages(root)]
    (root / SBOM).parent.mkdir(parents=True, exist_ok=True)
    (root / SBOM).write_text(json.dumps(bill(options.image, packages), indent=1) + "\n")


if __name__ == "__main__":
    main()
