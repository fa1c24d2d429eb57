"""Build the container images of postboat with buildah, on a machine that has neither a container engine nor a registry.

Every image is an archive named after the content of its Dockerfile and of the files it copies: an unchanged image costs
nothing. The Dockerfiles are ordinary ones; their base image is pulled, or made by mmdebstrap and given that very name.
"""
# ruff: noqa: INP001  a command of the repository, not a module of the package

from __future__ import annotations

import argparse
import hashlib
import io
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import tarfile
import tempfile
import time
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parent.parent
CACHE = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "postboat"
BASE = "debian:trixie-slim"
PINNED = re.compile(r"^ARG BASE=(\S+)$", re.MULTILINE)
AUTHORITIES = Path("/etc/ssl/certs/ca-certificates.crt")
TOOLS = {
    "buildah": "buildah",
    "mmdebstrap": "mmdebstrap",
    "/usr/share/keyrings/debian-archive-keyring.gpg": "debian-archive-keyring",
}
POLICY = '{"default": [{"type": "insecureAcceptAnything"}]}\n'
KEPT = 3  # archives of one image; older ones are built again within seconds
SBOM = "usr/share/sbom/packages.spdx.json"  # written by images/strip.py
SLIM = ("doc", "info", "man", "locale", "lintian", "linda")


class BuildError(Exception):
    """A command of the build failed; the message is what to tell the caller."""


def say(text: str) -> None:
    """Write one line of progress to standard error, where it does not disturb the JSON map on standard output."""
    sys.stderr.write(f"{text}\n")
    sys.stderr.flush()


def run(*command: str | Path) -> str:
    """Run a command, its output going to standard error, and return its last line; raise BuildError when it fails."""
    argv = [str(word) for word in command]
    last = ""
    with subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as process:  # noqa: S603  our own words
        for line in process.stdout or ():
            last = line.strip()
            say(f"    {last}")
    if process.returncode:
        raise BuildError(f"{shlex.join(argv)} ended with {process.returncode}")
    return last


def install_tools() -> None:
    """Install what the build needs with apt where it is missing (Debian 12 or newer, as root)."""
    missing = [package for probe, package in TOOLS.items() if not (shutil.which(probe) or Path(probe).exists())]
    if missing:
        say(f"installing {', '.join(missing)}")
        run("apt-get", "update", "--quiet")
        run("apt-get", "install", "--yes", "--quiet", "--no-install-recommends", *missing)


def copied(dockerfile: Path) -> list[str]:
    """Return the paths below the repository that a Dockerfile copies into its image, in the order of the file."""
    sources: list[str] = []
    for line in dockerfile.read_text().splitlines():
        words = line.split()
        if words[:1] == ["COPY"] and not any(word.startswith("--from") for word in words):
            sources += [word for word in words[1:-1] if not word.startswith("--")]
    return sources


def collect(name: str, context: Path) -> str:
    """Copy what image NAME is made of to the folder `context` and return its sha256 in hex.

    The build sees this copy only, so a file that changes meanwhile cannot make an image that its key does not describe.
    """
    dockerfile = Path("images", name, "Dockerfile")
    for source in [str(dockerfile), *copied(REPOSITORY / dockerfile)]:
        origin, target = REPOSITORY / source, context / source
        if origin.is_dir():
            shutil.copytree(origin, target, dirs_exist_ok=True, ignore=shutil.ignore_patterns("__pycache__", "*.pyc"))
        else:
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(origin, target)
    digest = hashlib.sha256()
    for path in sorted(path for path in context.rglob("*") if path.is_file()):
        path.chmod(0o644)
        os.utime(path, (0, 0))
        digest.update(f"{path.relative_to(context)} {hashlib.sha256(path.read_bytes()).hexdigest()}\n".encode())
    return digest.hexdigest()


class Builder:
    """buildah with a store of its own in the cache, so that no other tool's images are seen or touched."""

    def __init__(self, cache: Path, storage_driver: str) -> None:
        cache.mkdir(parents=True, exist_ok=True)
        self.cache = cache
        policy = cache / "policy.json"
        policy.write_text(POLICY)
        self.store: list[str | Path] = [
            "--root",
            cache / "store",
            "--runroot",
            cache / "store-run",
            "--storage-driver",
            storage_driver,
        ]
        self.policy: list[str | Path] = ["--signature-policy", policy]

    def buildah(self, verb: str, *words: str | Path) -> str:
        """Run one verb of buildah on the store of this builder."""
        return run("buildah", *self.store, verb, *words)

    def holds(self, image: str) -> bool:
        """Tell whether the store holds an image of that name."""
        argv = ["buildah", *map(str, self.store), "images", "--quiet", image]
        return subprocess.run(argv, capture_output=True, check=False).returncode == 0  # noqa: S603  our own words

    def prepare_base(self, how: str, pinned: str) -> str:
        """Provide the base image and return its name: `pull` the pinned one, or `bootstrap` one by mmdebstrap."""
        if how == "pull":
            if not self.holds(pinned):
                self.buildah("pull", *self.policy, pinned)
            return pinned
        if self.holds(BASE):
            return BASE
        say(f"making {BASE}")
        archive = self.cache / "base.tar"
        excluded = [f"--dpkgopt=path-exclude=/usr/share/{folder}/*" for folder in SLIM]
        run("mmdebstrap", "--variant=minbase", "--quiet", *excluded, "trixie", archive)
        container = self.buildah("from", "scratch")
        self.buildah("add", "--quiet", container, archive, "/")
        self.buildah("config", "--cmd", "bash", container)
        self.buildah("commit", "--quiet", "--rm", *self.policy, container, BASE)
        archive.unlink()
        return BASE

    def digest(self, image: str) -> str:
        """Pull an image by its tag and return the digest that its registry has for it now."""
        self.buildah("pull", *self.policy, "--policy", "always", image)
        return self.buildah("images", "--digests", "--format", "{{.Digest}}", image)

    def build(self, name: str, context: Path, tag: str, base: str) -> None:
        """Build image NAME from the folder `context` as localhost/postboat/NAME:TAG."""
        authorities = ["--secret", f"id=ca,src={AUTHORITIES}"] if AUTHORITIES.exists() else []
        self.buildah(
            "build", "--isolation", "chroot", "--layers", "--pull-never", "--timestamp", "0", *self.policy,
            *authorities, "--build-arg", f"BASE={base}", "--label", f"org.opencontainers.image.version={tag}",
            "--file", context / "images" / name / "Dockerfile", "--tag", f"localhost/postboat/{name}:{tag}", context,
        )  # fmt: skip

    def export(self, name: str, tag: str, archive: Path) -> None:
        """Write the image as a docker archive with its own tag and `dev`, and remove the oldest archives of it."""
        with tempfile.TemporaryDirectory(dir=archive.parent) as folder:
            plain, named = Path(folder, "plain.tar"), Path(folder, "named.tar")
            reference = f"localhost/postboat/{name}:{tag}"
            self.buildah("push", "--quiet", *self.policy, reference, f"docker-archive:{plain}:{reference}")
            add_tag(plain, named, f"localhost/postboat/{name}:dev")
            archive.with_suffix(".spdx.json").write_bytes(bill(named))
            named.rename(archive)
        archives = sorted(archive.parent.glob(f"{name}-*.tar"), key=lambda path: path.stat().st_mtime)
        for old in archives[:-KEPT]:
            old.unlink(missing_ok=True)
            old.with_suffix(".spdx.json").unlink(missing_ok=True)


def add_tag(source: Path, target: Path, tag: str) -> None:
    """Copy a docker archive and give its image one more tag."""
    with tarfile.open(source) as old, tarfile.open(target, "w") as new:
        for member in old:
            stream = old.extractfile(member) if member.isfile() else None
            if member.name == "manifest.json" and stream:
                manifest = json.loads(stream.read())
                manifest[0]["RepoTags"].append(tag)
                content = json.dumps(manifest).encode()
                member.size, stream = len(content), io.BytesIO(content)
            new.addfile(member, stream)


def bill(archive: Path) -> bytes:
    """Read the list of packages from a docker archive; raise BuildError when the image has none."""
    with tarfile.open(archive) as image:
        manifest = image.extractfile("manifest.json")
        layers = json.loads(manifest.read())[0]["Layers"] if manifest else []
        for layer in layers:
            with tarfile.open(fileobj=image.extractfile(layer)) as files:
                if SBOM in files.getnames():
                    content = files.extractfile(SBOM)
                    return content.read() if content else b""
    raise BuildError(f"{archive.name} has no {SBOM}")


def make(builder: Builder, name: str, output: Path, base: str) -> tuple[str, Path]:
    """Return the reference and the archive of image NAME, building it when its content has no archive yet."""
    with tempfile.TemporaryDirectory(prefix="postboat-context-") as folder:
        context = Path(folder)
        content = collect(name, context)
        tag = content[:12]
        reference, archive = f"localhost/postboat/{name}:{tag}", output / f"{name}-{content}.tar"
        if archive.exists():
            say(f"{name}: unchanged, {reference}")
            return reference, archive
        started = time.monotonic()
        say(f"{name}: building {reference}")
        install_tools()
        pinned = PINNED.search((context / "images" / name / "Dockerfile").read_text())
        if pinned is None:
            raise BuildError(f"images/{name}/Dockerfile has no line ARG BASE=IMAGE")
        builder.build(name, context, tag, builder.prepare_base(base, pinned[1]))
        builder.export(name, tag, archive)
        say(f"{name}: built in {time.monotonic() - started:.0f} s, {archive.stat().st_size >> 20} MiB")
        return reference, archive


def renew(builder: Builder, image: str, dockerfiles: list[Path]) -> str:
    """Write the digest that an image has now into the Dockerfiles, and return the reference with it."""
    install_tools()
    reference = f"{image}@{builder.digest(image)}"
    for dockerfile in dockerfiles:
        dockerfile.write_text(PINNED.sub(f"ARG BASE={reference}", dockerfile.read_text()))
    return reference


def arguments(names: list[str]) -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "name", nargs="*", choices=[*names, []], help=f"images to build: {', '.join(names)}; default all"
    )
    parser.add_argument("--output", type=Path, default=CACHE / "images", help="folder of the archives (%(default)s)")
    parser.add_argument(
        "--base", choices=["bootstrap", "pull"], default="bootstrap", help="make the base image, or pull the pinned one"
    )
    parser.add_argument(
        "--renew",
        metavar="IMAGE",
        help=f"pin the digest that IMAGE ({BASE}, or its like in a mirror) has now; build nothing",
    )
    parser.add_argument("--storage-driver", choices=["overlay", "vfs"], default="overlay", help="vfs works everywhere")
    parser.add_argument("--json", action="store_true", help="print a map of names to image references and archives")
    return parser.parse_args()


def main() -> int:
    """Build the images that the command line names and return the exit status."""
    names = sorted(path.parent.name for path in (REPOSITORY / "images").glob("*/Dockerfile"))
    options = arguments(names)
    options.output.mkdir(parents=True, exist_ok=True)
    builder = Builder(CACHE / "buildah", options.storage_driver)
    try:
        if options.renew:
            say(renew(builder, options.renew, [REPOSITORY / "images" / name / "Dockerfile" for name in names]))
            return 0
        images = {name: make(builder, name, options.output, options.base) for name in options.name or names}
    except BuildError as error:
        say(f"error: {error}")
        return 1
    if options.json:
        built = {
            name: {"image": image, "archive": str(archive), "sbom": str(archive.with_suffix(".spdx.json"))}
            for name, (image, archive) in images.items()
        }
        sys.stdout.write(json.dumps(built, indent=2, sort_keys=True) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
