"""The two images the cluster brings along, composed as archives without any container engine.

`pause` holds a pod's namespaces and is one static C program; `busybox` is what the tests of the cluster itself run.
"""

from __future__ import annotations

import hashlib
import io
import json
import tarfile
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from e2e.cluster import packages
from e2e.cluster.layout import cache_home, locked
from e2e.cluster.steps import run, step

PAUSE = "postboat.test/pause:1"
BUSYBOX = "postboat.test/busybox:latest"
BUSYBOX_BINARY = Path("/bin/busybox")
PAUSE_SOURCE = r"""
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>
static void stop(int number) { _exit(0); }
static void reap(int number) { while (waitpid(-1, 0, WNOHANG) > 0) {} }
int main(void) {
  signal(SIGINT, stop);
  signal(SIGTERM, stop);
  signal(SIGCHLD, reap);
  for (;;) pause();
}
"""
APPLETS = (
    "ash", "awk", "cat", "chmod", "chown", "cut", "date", "dd", "df", "echo", "env", "false", "find", "grep", "head",
    "hostname", "httpd", "id", "ip", "kill", "ls", "mkdir", "mount", "nc", "netstat", "nslookup", "od", "ping", "ps",
    "rm", "sed", "seq", "sh", "sleep", "sort", "stat", "tail", "tee", "test", "touch", "tr", "true", "wc", "wget",
)  # fmt: skip


def _layer(files: Mapping[str, bytes], links: Mapping[str, str], folders: Sequence[str]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for folder in folders:
            entry = tarfile.TarInfo(folder)
            entry.type, entry.mode = tarfile.DIRTYPE, 0o1777 if folder == "tmp" else 0o755
            archive.addfile(entry)
        for path, content in files.items():
            entry = tarfile.TarInfo(path)
            entry.size, entry.mode = len(content), 0o755 if path.startswith("bin/") else 0o644
            archive.addfile(entry, io.BytesIO(content))
        for path, target in links.items():
            entry = tarfile.TarInfo(path)
            entry.type, entry.linkname = tarfile.SYMTYPE, target
            archive.addfile(entry)
    return buffer.getvalue()


def compose(target: Path, name: str, layer: bytes, command: Sequence[str]) -> None:
    """Write a docker archive of one layer."""
    config = {
        "architecture": run(["dpkg", "--print-architecture"]).strip(),
        "os": "linux",
        "config": {"Cmd": list(command), "Env": ["PATH=/bin"]},
        "rootfs": {"type": "layers", "diff_ids": [f"sha256:{hashlib.sha256(layer).hexdigest()}"]},
        "history": [{"created_by": "postboat e2e/cluster"}],
    }
    config_bytes = json.dumps(config, sort_keys=True).encode()
    config_name = f"{hashlib.sha256(config_bytes).hexdigest()}.json"
    manifest = [{"Config": config_name, "RepoTags": [name], "Layers": ["layer.tar"]}]
    with tarfile.open(target, "w") as archive:
        for path, content in (
            (config_name, config_bytes),
            ("layer.tar", layer),
            ("manifest.json", json.dumps(manifest).encode()),
        ):
            entry = tarfile.TarInfo(path)
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content))


def _compose_pause(target: Path) -> None:
    with tempfile.TemporaryDirectory() as scratch:
        source, binary = Path(scratch, "pause.c"), Path(scratch, "pause")
        source.write_text(PAUSE_SOURCE)
        run(["gcc", "-Os", "-static", "-s", "-o", binary, source])
        compose(target, PAUSE, _layer({"bin/pause": binary.read_bytes()}, {}, ("bin",)), ["/bin/pause"])


def _compose_busybox(target: Path) -> None:
    if not BUSYBOX_BINARY.exists():
        packages.install(["busybox-static"])
    files = {
        "bin/busybox": BUSYBOX_BINARY.read_bytes(),
        "etc/passwd": b"root:x:0:0:root:/:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/sh\n",
        "etc/group": b"root:x:0:\nnogroup:x:65534:\n",
    }
    links = {f"bin/{applet}": "busybox" for applet in APPLETS}
    compose(target, BUSYBOX, _layer(files, links, ("bin", "etc", "tmp")), ["/bin/sh"])


def ensure() -> tuple[Path, ...]:
    """Return the archives of both images, composing what the cache lacks."""
    folder = cache_home() / "images"
    version = hashlib.sha256(Path(__file__).read_bytes()).hexdigest()[:12]
    archives = (folder / f"pause-{version}.tar", folder / f"busybox-{version}.tar")
    with locked(cache_home() / "images.lock"):
        folder.mkdir(exist_ok=True)
        for target, make in zip(archives, (_compose_pause, _compose_busybox), strict=True):
            if not target.exists():
                scratch = target.with_suffix(".new")
                with step(f"composing the image {target.stem.split('-')[0]}"):
                    make(scratch)
                scratch.replace(target)
    return archives
