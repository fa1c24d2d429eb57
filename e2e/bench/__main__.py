"""`python -m e2e.bench`: delivery and reading beside daemons started by hand, time to effect, bulk apply, memory.

It uses the cluster of KUBECONFIG with the operator installed, works in namespaces of its own, and removes them at the
end.
"""

from __future__ import annotations

import argparse
import os
import secrets
import sys
import tempfile
import time
from pathlib import Path

from e2e.bench.bulk import Bulk
from e2e.bench.effect import time_to_effect
from e2e.bench.figures import Figure, percentile, table, write
from e2e.bench.mail import Load, compare
from e2e.clients import Directory
from e2e.kube import Kube
from e2e.operator import Operator
from e2e.platform import Platform


def say(text: str) -> None:
    """Progress for whoever waits."""
    print(f"[{time.strftime('%H:%M:%S')}] {text}", file=sys.stderr, flush=True)


def measure(kube: Kube, directory: Directory, sizes: list[int], changes: int, load: Load) -> list[Figure]:
    operator = Operator(kube)
    platform = Platform(kube, directory, namespace=f"bench-{secrets.token_hex(3)}", domains=("example.test",))
    say(f"a platform in namespace {platform.namespace}")
    try:
        platform.create({"first": secrets.token_urlsafe(12)})
        mail = compare(platform, load, say) if load.pairs else []
        return mail + at_each_size(platform, operator, sizes, changes)
    finally:
        kube.delete("v1", "Namespace", None, platform.namespace)


def at_each_size(platform: Platform, operator: Operator, sizes: list[int], changes: int) -> list[Figure]:
    figures: list[Figure] = []
    done = 0
    for size in sizes:
        if size > done:
            figures += grow(platform, operator, done, size)
            done = size
        say(f"{changes} changes at {size} mailboxes")
        slow = time_without_touch(platform, operator, min(changes, 3))
        taken = time_to_effect(platform, changes)
        for share in (0.5, 0.95):
            figures.append(
                Figure(f"time to effect p{share * 100:.0f}", size, percentile(taken, share), "s", percentile(slow, 0.5))
            )
        figures.append(Figure("operator memory", size, operator.memory() / 2**20, "MiB"))
    return figures


def time_without_touch(platform: Platform, operator: Operator, changes: int) -> list[float]:
    """The same change while the operator leaves the pods alone and the kubelet comes when it comes."""
    operator.configure(POSTBOAT_TOUCH_PODS="false")
    try:
        return time_to_effect(platform, changes, timeout=240)
    finally:
        operator.configure(POSTBOAT_TOUCH_PODS="true")


def grow(platform: Platform, operator: Operator, start: int, end: int) -> list[Figure]:
    with tempfile.TemporaryDirectory() as folder:
        bulk = Bulk(platform, Path(folder), start, end)
        say(f"{end - start} mailboxes, without the operator")
        operator.scale(0)
        try:
            bare = bulk.apply_elsewhere()
        finally:
            operator.scale(1)
        say(f"{end - start} mailboxes, with the operator")
        applied, ready = bulk.apply()
        peak = operator.memory_peak()
    return [
        Figure("bulk apply until all Ready", end - start, ready, "s", bare),
        Figure("Ready after the last apply", end - start, ready - applied, "s"),
        Figure("operator memory peak", end, peak / 2**20, "MiB"),
    ]


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m e2e.bench", description=__doc__)
    parser.add_argument("--sizes", default="0,1000,10000", help="numbers of mailboxes, growing; may be empty")
    parser.add_argument("--pairs", type=int, default=5, help="turns beside daemons by hand; 0: none (%(default)s)")
    parser.add_argument("--messages", type=int, default=600, help="delivered in each turn (default: %(default)s)")
    parser.add_argument(
        "--seconds", type=float, default=10, help="of reading in each turn, twice (default: %(default)s)"
    )
    parser.add_argument("--changes", type=int, default=20, help="changes measured at each size (default: %(default)s)")
    parser.add_argument("--output", type=Path, default=Path("reports/bench.jsonl"), help="default: %(default)s")
    options = parser.parse_args()
    directory = Directory()
    with directory.installed():
        sizes = [int(size) for size in options.sizes.split(",") if size]
        load = Load(options.pairs, options.messages, options.seconds)
        figures = measure(Kube(os.environ["KUBECONFIG"]), directory, sizes, options.changes, load)
    write(figures, options.output)
    print(table(figures))


if __name__ == "__main__":
    main()
