"""Starting, stopping and looking at the cluster of a checkout.

Killing the node's first process ends every process of the cluster, and with them its mounts: that makes `down` exact.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path

from e2e.cluster import bootstrap, build, certificates, cgroups, components, configuration, images, network, packages
from e2e.cluster.layout import SOURCES, Layout, alone, claim, find, locked, lost, release, state_home
from e2e.cluster.steps import StepError, attempt, run, step, wait_for

# Folders that some program insists on; in the node they are the cluster's own.
NODE_FOLDERS = {"kubelet": "/var/lib/kubelet", "cni-results": "/var/lib/cni", "log": "/var/log"}
NODE_FILES = {"etc/resolv.conf": "/etc/resolv.conf", "etc/hosts": "/etc/hosts"}
HOST_LEFTOVERS = ("/var/lib/kubelet", "/var/lib/cni")


def kubectl(layout: Layout, *arguments: str, stdin: str | None = None) -> str:
    """Run kubectl as the administrator of the cluster."""
    return run([*_kubectl(layout), *arguments], stdin=stdin)


def _kubectl(layout: Layout) -> list[str]:
    return [str(layout.programs / "kubectl"), f"--kubeconfig={layout.kubeconfig}"]


def is_running(layout: Layout) -> bool:
    """Tell whether the node runs and its API server is ready."""
    if not (layout.programs / "kubectl").exists() or not network.processes(layout):
        return False
    return attempt([*_kubectl(layout), "get", "--raw=/readyz", "--request-timeout=5s"])


def describe(layout: Layout) -> dict[str, object]:
    """Compose what the node's first process reads."""
    mounts = [[str(layout.state / source), target] for source, target in (NODE_FOLDERS | NODE_FILES).items()]
    return {
        "api": "https://127.0.0.1:6443",
        "authority": str(layout.state / "pki/ca.crt"),
        "hostname": layout.name,
        "logs": str(layout.logs),
        "mounts": mounts,
        "path": build.search_path(),
        "report": str(layout.state / "servers.json"),
        "servers": [asdict(component) for component in components.all_components(layout)],
    }


def _prepare(layout: Layout) -> None:
    layout.state.mkdir(parents=True, mode=0o700)
    layout.run.mkdir(mode=0o700)
    for folder, target in NODE_FOLDERS.items():
        (layout.state / folder).mkdir()
        Path(target).mkdir(exist_ok=True)
    for target in NODE_FILES.values():
        Path(target).touch()
    layout.volumes.mkdir()
    layout.programs.symlink_to(build.binary_folder())
    (layout.state / "checkout").write_text(f"{layout.checkout}\n")
    certificates.write(layout)
    configuration.write(layout, build.published_folder())
    (layout.state / "node.json").write_text(json.dumps(describe(layout), indent=1) + "\n")
    cgroups.create(layout)
    network.create(layout)


def _start_node(layout: Layout) -> None:
    command = [
        "unshare", "--mount", "--uts", "--ipc", "--pid", "--fork", "--kill-child", "--mount-proc",
        sys.executable, "-I", str(SOURCES / "node.py"), str(layout.state / "node.json"),
    ]  # fmt: skip
    environment = {"PATH": build.search_path(), "HOME": str(layout.state), "GOMEMLIMIT": "2GiB"}
    with (layout.logs / "node.log").open("ab") as log:
        node = subprocess.Popen(
            network.in_node(layout, *command), cwd="/", env=environment, start_new_session=True,
            stdin=subprocess.DEVNULL, stdout=log, stderr=log,
        )  # fmt: skip
    layout.pid_file.write_text(f"{node.pid}\n")

    def ready() -> bool:
        if node.poll() is not None:
            raise StepError(f"the node ended: {(layout.logs / 'node.log').read_text()[-2000:]}")
        return is_running(layout)

    wait_for(f"API server (logs: {layout.logs})", ready, 120)


def import_images(layout: Layout, archives: list[Path] | tuple[Path, ...]) -> list[str]:
    """Import image archives into the node and return what was imported."""
    names = []
    for archive in archives:
        if not archive.is_file():
            raise StepError(f"no such image archive: {archive}")
        ctr = [str(layout.programs / "ctr"), "-a", str(layout.containerd), "-n", "k8s.io"]
        names.append(run([*ctr, "images", "import", "--local", str(archive)]).strip())
    return names


def up() -> Layout:
    """Start the cluster of this checkout unless it runs."""
    packages.ensure()
    layout = claim()
    with locked(state_home() / f"{layout.name}.lock"):
        build.ensure()
        archives = images.ensure()
        if is_running(layout):
            return layout
        with step("clearing what an earlier run left"):
            clear(layout)
        with step("preparing certificates, settings and the network"):
            _prepare(layout)
        with step("starting the servers"):
            _start_node(layout)
        with step("importing pause and busybox"):
            wait_for("containerd", layout.containerd.exists, 30)
            import_images(layout, archives)
        with step("waiting for the node"):
            bootstrap.apply(layout)
    return layout


def _kill(layout: Layout) -> None:
    if Path("/proc/self").readlink() != Path(str(os.getpid())):
        raise StepError("/proc shows another process namespace than this one: its pids would hit the wrong processes")
    for _ in range(100):
        alive = set(network.processes(layout)) | set(cgroups.members(layout))
        if not alive:
            return
        for pid in alive:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        time.sleep(0.1)
    raise StepError(f"processes that will not end: {sorted(alive)}")


def clear(layout: Layout) -> None:
    """End every process of the cluster and remove all it left on the machine, its state too."""
    _kill(layout)
    network.remove(layout)
    wait_for("removal of control groups", lambda: not cgroups.remove(layout), 20)
    for folder in (layout.state, layout.run):
        if folder.exists():
            shutil.rmtree(folder)
    # Removing a folder takes away what is mounted on it in other mount namespaces: the nodes of other checkouts.
    for leftover in HOST_LEFTOVERS if alone(layout) else ():
        with suppress(OSError):
            Path(leftover).rmdir()


def down() -> bool:
    """Stop the cluster of this checkout; tell whether there was one."""
    layout = find()
    if layout is not None:
        _remove(layout)
    return layout is not None


def down_lost() -> int:
    """Stop every cluster whose checkout is not there any more, and return how many there were."""
    gone = lost()
    for layout in gone:
        _remove(layout)
    return len(gone)


def _remove(layout: Layout) -> None:
    with locked(state_home() / f"{layout.name}.lock"):
        with step(f"removing the cluster {layout.name}"):
            clear(layout)
        release(layout)
    (state_home() / f"{layout.name}.lock").unlink(missing_ok=True)


def servers(layout: Layout) -> dict[str, dict[str, object]]:
    """Return what the node's first process says about its servers."""
    try:
        report: dict[str, dict[str, object]] = json.loads((layout.state / "servers.json").read_text())
    except FileNotFoundError:
        return {}
    return report
