"""Brings the operator of this checkout into a cluster: the embedded one, or the one that KUBECONFIG names.

`python -m tools.install` builds and loads the images, installs the chart, and prints the path of the kubeconfig.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from e2e.cluster import build, layout, lifecycle
from e2e.cluster.steps import StepError, run, step
from tools import programs

ROOT = Path(__file__).resolve().parent.parent
CHART = ROOT / "charts/postboat"
NAMESPACE = "postboat-system"
RELEASE = "postboat"
FOREIGN = """KUBECONFIG names a cluster of yours, and it has to be able to pull the images. They are built:

{archives}

Bring them there, for example with
    skopeo copy docker-archive:ARCHIVE docker://YOUR.REGISTRY/PREFIX/NAME:TAG
or  kind load image-archive ARCHIVE
and say where they are: IMAGES=YOUR.REGISTRY/PREFIX, or IMAGES=localhost/postboat when the nodes hold them already."""


@dataclass(frozen=True, slots=True)
class Cluster:
    """A cluster at hand, and the programs to speak to it with."""

    kubeconfig: Path
    embedded: bool
    helm: Path
    kubectl: Path

    def run(self, program: Path, *arguments: str, stdin: str | None = None) -> str:
        """Run helm or kubectl against the cluster."""
        environment = os.environ | {"KUBECONFIG": str(self.kubeconfig)}
        return run([program, *arguments], environment=environment, stdin=stdin)


def is_foreign() -> bool:
    """Tell whether KUBECONFIG names another cluster than the embedded one."""
    named, own = os.environ.get("KUBECONFIG", ""), layout.find()
    return bool(named) and (own is None or Path(named) != own.kubeconfig)


def at_hand() -> Cluster:
    """Return the cluster that the user names by KUBECONFIG, else the embedded one, started."""
    named = os.environ.get("KUBECONFIG", "")
    own = layout.find()
    if named and (own is None or Path(named) != own.kubeconfig):
        return Cluster(
            Path(named), embedded=False, helm=programs.installed("helm"), kubectl=programs.installed("kubectl")
        )
    up = lifecycle.up()
    folder = build.binary_folder()
    return Cluster(up.kubeconfig, embedded=True, helm=folder / "helm", kubectl=folder / "kubectl")


def built_images() -> dict[str, dict[str, str]]:
    """Build the images that have changed; return the reference and the archive of each."""
    command = [sys.executable, str(ROOT / "images/build.py"), "--json"]
    told: deque[str] = deque(maxlen=40)
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as build_process:
        for line in build_process.stderr or ():
            told.append(line)
            if not line.startswith(" "):  # what is indented are the builder's own words, wanted only if it fails
                print(f"  {line.rstrip()}", file=sys.stderr, flush=True)
        printed = build_process.stdout.read() if build_process.stdout else ""
    if build_process.returncode:
        raise StepError("".join(["the images could not be built:\n", *told]))
    found: dict[str, dict[str, str]] = json.loads(printed)
    return found


def load(images: Mapping[str, Mapping[str, str]]) -> None:
    """Import the archives that the embedded node does not hold yet."""
    own = layout.find()
    if own is None:
        raise StepError("the embedded cluster is gone")
    listing: list[str | Path] = [
        build.binary_folder() / "ctr",
        "-a",
        own.containerd,
        "-n",
        "k8s.io",
        "images",
        "list",
        "-q",
    ]
    held = set(run(listing).split())
    for name, image in images.items():
        if image["image"] not in held:
            with step(f"loading the image {name}"):
                lifecycle.import_images(own, [Path(image["archive"])])


def references(cluster: Cluster, images: Mapping[str, Mapping[str, str]]) -> dict[str, str]:
    """Return where the cluster finds each image."""
    if cluster.embedded:
        load(images)
        return {name: image["image"] for name, image in images.items()}
    prefix = os.environ.get("IMAGES", "")
    if not prefix:
        lines = (f"    {image['image']:<45} {image['archive']}" for image in images.values())
        raise StepError(FOREIGN.format(archives="\n".join(lines)))
    return {name: f"{prefix}/{image['image'].rpartition('/')[2]}" for name, image in images.items()}


def values(found: Mapping[str, str]) -> dict[str, object]:
    """Write image references as values of the chart."""
    repository, _, tag = found["operator"].rpartition(":")
    daemons = {name: reference for name, reference in found.items() if name != "operator"}
    return {"image": {"repository": repository, "tag": tag}, "images": daemons}


def install(cluster: Cluster) -> None:
    """Install the chart, or bring an installed one up to date, and wait until the operator is ready."""
    found = references(cluster, built_images())
    arguments = ["upgrade", "--install", RELEASE, str(CHART), "--namespace", NAMESPACE, "--create-namespace"]
    if cluster.embedded:  # definitions that somebody tried by hand there are ours to take
        arguments += ["--take-ownership", "--force-conflicts"]
    with step("installing the chart"):
        cluster.run(
            cluster.helm, *arguments, "--values", "-", "--wait", "--timeout", "5m", stdin=json.dumps(values(found))
        )


def uninstall(cluster: Cluster) -> None:
    """Remove the operator; custom resources and mail stay."""
    with step("uninstalling the chart"):
        cluster.run(cluster.helm, "uninstall", RELEASE, "--namespace", NAMESPACE, "--ignore-not-found", "--wait")


def main() -> int:
    """Install into the cluster at hand and print the path of its kubeconfig."""
    parser = argparse.ArgumentParser(prog="python -m tools.install", description=__doc__)
    parser.parse_args()
    try:
        cluster = at_hand()
        install(cluster)
    except StepError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    print(cluster.kubeconfig)
    return 0


if __name__ == "__main__":
    sys.exit(main())
