"""`python -m e2e.bench.scale`: what many mailboxes cost the operator, in memory and in time.

It needs an API server, and no cluster around it: the operator runs as a process of its own, and this program answers
for the pods. `python -m e2e.cluster.api_only python -m e2e.bench.scale` brings one. What is measured is the operator's
share: the time to effect ends when the Secret of the shard in the API has the change.
"""

from __future__ import annotations

import argparse
import gzip
import os
import secrets
import subprocess
import sys
import tempfile
import threading
import time
from base64 import b64decode, b64encode
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import partial
from http.client import HTTPConnection
from pathlib import Path
from typing import TYPE_CHECKING, Any

from e2e.bench.figures import Figure, percentile, table, write
from postboat.cluster.client import Client
from postboat.cluster.connection import Connection
from postboat.cluster.reflector import Reflector, Source
from postboat.cluster.types import SECRET, Json, Key, NotFoundError, ResourceType
from postboat.model import names
from tests.faults.stage import RESOURCES, FakePods, condition, install_definitions, resource

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

NAMESPACE = ResourceType("", "v1", "namespaces", "Namespace", namespaced=False)
SOURCE = Path(__file__).resolve().parents[2] / "operator"
KEYS_A_SECRET = 500
CREATORS = 8
PAUSE = 0.25
"""Seconds between two changes."""


def say(text: str) -> None:
    """Progress for whoever waits."""
    print(f"[{time.strftime('%H:%M:%S')}] {text}", file=sys.stderr, flush=True)


def wait(condition: Callable[[], object], what: str, seconds: float, every: float = 0.2) -> float:
    """Give the seconds until something is true."""
    begun = time.monotonic()
    while not condition():
        if time.monotonic() - begun > seconds:
            raise TimeoutError(f"{what}: not within {seconds:.0f} s")
        time.sleep(every)
    return time.monotonic() - begun


class Operator:
    """The operator as a process of its own, and what its probes and the kernel tell of it."""

    def __init__(self, kubeconfig: str, namespace: str, source: Path, log: Path, resync: float) -> None:
        self.port = 20_000 + os.getpid() % 20_000
        self.slowest_answer = 0.0
        """The longest time that the liveness probe has waited, in seconds."""
        variables = {
            "PYTHONPATH": str(source),
            "POSTBOAT_KUBECONFIG": kubeconfig,
            "POSTBOAT_NAMESPACES": namespace,
            "POD_NAMESPACE": namespace,
            "POD_NAME": "scale",
            "POSTBOAT_PROBE_PORT": "0",
            "POSTBOAT_METRICS_PORT": str(self.port),
            "POSTBOAT_RESYNC_SECONDS": str(resync),
            "MALLOC_ARENA_MAX": "2",  # as in the image
        }
        with log.open("ab") as output:
            command = [sys.executable, "-m", "postboat", "run"]
            self.process = subprocess.Popen(command, env={**os.environ, **variables}, stderr=output)
        self._probing = threading.Event()
        threading.Thread(target=self._probe, name="probe", daemon=True).start()

    def stop(self) -> None:
        self._probing.set()
        self.process.terminate()
        self.process.wait(30)

    def memory(self, line: str) -> float:
        """Give resident memory in MiB: `VmRSS` is now, `VmHWM` the peak."""
        status = Path(f"/proc/{self.process.pid}/status").read_text().splitlines()
        return next(int(one.split()[1]) for one in status if one.startswith(line)) / 1024

    def cpu(self) -> float:
        """Give the seconds of a processor that it has used, which other work on the machine does not change."""
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def metric(self, name: str) -> float:
        """Give a value from the metrics, with its labels as written; 0 where there is none."""
        try:
            text = self._get("/metrics")
        except OSError:
            return 0.0
        return sum(float(line.rpartition(" ")[2]) for line in text.splitlines() if line.startswith(name))

    def _probe(self) -> None:
        while not self._probing.wait(0.2):
            begun = time.monotonic()
            try:
                self._get("/livez")
            except OSError:
                continue
            self.slowest_answer = max(self.slowest_answer, time.monotonic() - begun)

    def _get(self, path: str) -> str:
        connection = HTTPConnection("127.0.0.1", self.port, timeout=60)
        try:
            connection.request("GET", path)
            return connection.getresponse().read().decode()
        finally:
            connection.close()


@dataclass
class Shards:
    """The Secrets of the directory in the API, and what waits to be seen in them."""

    namespace: str
    _awaited: dict[str, tuple[str, threading.Event]] = field(default_factory=dict)

    def heard(self, _key: Key, _old: Json | None, new: Json | None) -> None:
        for name, (user, seen) in list(self._awaited.items()):
            if new is not None and new["metadata"]["name"] == name and user in content(new):
                seen.set()

    def expect(self, name: str) -> threading.Event:
        """Give what is set once the shard of a user has him."""
        seen = threading.Event()
        self._awaited[f"mail-directory-{names.shard(name):02d}"] = (f"\t{name}\t", seen)
        return seen

    def forget(self) -> None:
        self._awaited.clear()


def content(shard: Json) -> str:
    """Give the rows of a shard for the imap pods, which have one for each user."""
    return gzip.decompress(b64decode((shard.get("data") or {}).get("edge", ""))).decode()


class Stage:
    """A platform in a namespace of its own, with pods that are played."""

    def __init__(self, kubeconfig: str, source: Path, folder: Path, resync: float) -> None:
        self.kubeconfig, self.source, self.folder, self.resync = kubeconfig, source, folder, resync
        self.client = Client(Connection(kubeconfig))
        self.namespace = f"scale-{secrets.token_hex(3)}"
        self.shards = Shards(self.namespace)
        self.ready = 0
        self.most_ready = (0, 0.0)
        """The largest number of mailboxes that were Ready at one moment, and the first such moment."""
        self.done = 0
        self._changes = 0

    @contextmanager
    def set_up(self) -> Iterator[None]:
        install_definitions(self.client)
        meta = {"name": self.namespace}
        self.client.create(NAMESPACE, {"apiVersion": "v1", "kind": "Namespace", "metadata": meta})
        for kind in RESOURCES.values():
            wait(partial(self._answered, kind), f"the API has {kind.plural}", 60)
        self.put("MailServer", "mail", hostname="mail.example.test")
        self.put("MailDomain", "example.test")
        pods = FakePods(self.client, self.namespace, "mail")
        watched: list[Reflector[Any]] = [
            Reflector(
                self.client,
                Source(SECRET, self.namespace, "app.kubernetes.io/component=directory"),
                dict,
                self.shards.heard,
            ),
            Reflector(self.client, Source(RESOURCES["Mailbox"], self.namespace), _is_ready, self._mailbox),
        ]
        for one in watched:
            one.start()
        try:
            yield
        finally:
            for one in watched:
                one.stop()
            pods.stop()

    def _answered(self, kind: ResourceType) -> bool:
        try:
            self.client.page(kind, self.namespace, limit=1)
        except NotFoundError:
            return False
        return True

    def operator(self) -> Operator:
        log = self.folder / "operator.log"
        return Operator(self.kubeconfig, self.namespace, self.source, log, self.resync)

    def put(self, kind: str, name: str, **spec: object) -> None:
        self.client.create(RESOURCES[kind], resource(kind, self.namespace, name, **spec))

    def _mailbox(self, _key: Key, old: bool | None, new: bool | None) -> None:  # noqa: FBT001 - whether it is ready
        self.ready += bool(new) - bool(old)
        if self.ready > self.most_ready[0]:
            self.most_ready = self.ready, time.monotonic()

    def create(self, end: int) -> float:
        """Give the seconds that creating mailboxes up to this number took."""
        begun = time.monotonic()
        with ThreadPoolExecutor(CREATORS) as creators:
            for first in range(self.done, end, KEYS_A_SECRET):
                some = range(first, min(first + KEYS_A_SECRET, end))
                data = {f"user{one}": b64encode(secrets.token_urlsafe(12).encode()).decode() for one in some}
                meta = {"namespace": self.namespace, "name": f"passwords-{first}"}
                self.client.create(SECRET, {"apiVersion": "v1", "kind": "Secret", "metadata": meta, "data": data})
                list(creators.map(lambda user, first=first: self._create(user, f"passwords-{first}"), data))
        self.done = end
        return time.monotonic() - begun

    def _create(self, user: str, secret: str) -> None:
        self.put("Mailbox", user, passwordSecret={"name": secret, "key": user})

    def change(self) -> float:
        """Give the seconds until one more mailbox is in its shard; it is removed again."""
        self._changes += 1
        name = f"extra{self._changes}"
        seen = self.shards.expect(name)
        begun = time.monotonic()
        self._create(name, "passwords-0")
        if not seen.wait(300):
            raise TimeoutError(f"{name} is in no shard")
        taken = time.monotonic() - begun
        self.shards.forget()
        self.client.delete(RESOURCES["Mailbox"], self.namespace, name)
        time.sleep(PAUSE)
        return taken

    def changes(self, goes_on: Callable[[int, float], bool]) -> list[float]:
        """Make changes one after another while the number of them and the seconds so far allow it."""
        taken: list[float] = []
        begun = time.monotonic()
        while goes_on(len(taken), time.monotonic() - begun):
            taken.append(self.change())
        return taken

    def served(self) -> bool:
        return condition(self.client.get(RESOURCES["MailServer"], self.namespace, "mail"), "Ready") == "True"


def _is_ready(raw: Json) -> bool:
    return condition(raw, "Ready") == "True"


def of_changes(what: str, size: int, taken: list[float]) -> list[Figure]:
    """The figures of a row of changes."""
    if not taken:
        return []
    return [
        Figure(f"{what} p50", size, percentile(taken, 0.5), "s"),
        Figure(f"{what} p95", size, percentile(taken, 0.95), "s"),
        Figure(f"{what} max of {len(taken)}", size, max(taken), "s"),
    ]


def grow(stage: Stage, operator: Operator, size: int) -> list[Figure]:
    """Create mailboxes while the operator works, then see how long it takes to follow, and what a change costs.

    `Ready/created` is the time until all are Ready over the time that their creation took.
    """
    before, begun, used = stage.done, time.monotonic(), operator.cpu()
    created = stage.create(size)
    say(f"{size} mailboxes are there after {created:.0f} s, {stage.ready} are Ready")
    changed = stage.changes(lambda _, __: stage.most_ready[0] < size)
    ready = stage.most_ready[1] - begun
    say(f"all are Ready after {ready:.0f} s")
    return [
        Figure("Ready/created", size, ready / created, ""),
        Figure("create", size, created, "s"),
        Figure("create until all Ready", size, ready, "s", created),
        Figure("created a second", size, (size - before) / max(created, 0.001), "1/s"),
        Figure("operator's processor time until all Ready", size, operator.cpu() - used, "s"),
        Figure("memory peak while created", size, operator.memory("VmHWM"), "MiB"),
        *of_changes("change while statuses are written", size, changed),
    ]


def at_rest(stage: Stage, operator: Operator, changes: int, seconds: float) -> list[Figure]:
    """Changes while nothing else happens, but a resync now and then; and what the process then holds."""
    size = stage.done
    say(f"changes at {size} mailboxes")
    changed = stage.changes(lambda count, passed: count < changes or passed < seconds)
    return [
        *of_changes("change", size, changed),
        Figure("memory", size, operator.memory("VmRSS"), "MiB"),
        Figure("longest wait of a probe", size, operator.slowest_answer, "s"),
    ]


def start(stage: Stage, *, ready: int) -> tuple[Operator, list[Figure]]:
    """Start an operator, with so many mailboxes that are to become Ready, and see how it begins."""
    size, begun = stage.done, time.monotonic()
    operator = stage.operator()
    wait(lambda: operator.metric("postboat_last_success_timestamp_seconds{"), "the first plan", 900)
    planned, used = time.monotonic() - begun, operator.cpu()
    say(f"the first plan is applied after {planned:.1f} s")
    changed = stage.changes(lambda _, __: stage.ready < ready)
    wait(lambda: stage.ready >= ready and stage.served(), "all Ready", 3600, every=0.5)
    passed = time.monotonic() - begun
    say(f"all are Ready after {passed:.0f} s")
    figures = [
        Figure("start until the first plan is applied", size, planned, "s"),
        Figure("processor time until the first plan is applied", size, used, "s"),
        Figure("start until all Ready", size, passed, "s"),
        Figure("processor time until all Ready", size, operator.cpu(), "s"),
        Figure("memory peak of a start", size, operator.memory("VmHWM"), "MiB"),
        Figure("longest wait of a probe at a start", size, operator.slowest_answer, "s"),
        *of_changes("change while statuses are written after a start", size, changed),
    ]
    operator.slowest_answer = 0.0
    return operator, figures


def measure(stage: Stage, options: argparse.Namespace) -> list[Figure]:
    operator, figures = start(stage, ready=0)
    try:
        for size in (int(size) for size in options.sizes.split(",")):
            if options.cold and size > stage.done:
                operator.stop()
                say(f"{size} mailboxes, without an operator")
                figures.append(Figure("create without an operator", size, stage.create(size), "s"))
                operator, begun = start(stage, ready=size)
                figures += begun
            elif size > stage.done:
                say(f"{size} mailboxes")
                figures += grow(stage, operator, size)
            figures += at_rest(stage, operator, options.changes, 1.3 * options.resync)
            if options.restart:
                operator.stop()
                operator, begun = start(stage, ready=size)
                figures += [*begun, Figure("memory after a start", size, operator.memory("VmRSS"), "MiB")]
            print(table(figures), file=sys.stderr, flush=True)
    finally:
        operator.stop()
    return figures


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m e2e.bench.scale", description=__doc__)
    parser.add_argument("--sizes", default="0,10000,100000", help="numbers of mailboxes, growing (%(default)s)")
    parser.add_argument("--changes", type=int, default=40, help="changes at rest at each size, at least (%(default)s)")
    parser.add_argument("--resync", type=float, default=40, help="seconds between two resyncs (%(default)s)")
    parser.add_argument("--cold", action="store_true", help="create while no operator runs, then start one")
    parser.add_argument("--restart", action="store_true", help="start the operator again at each size")
    parser.add_argument("--source", type=Path, default=SOURCE, help="folder of the package to run (%(default)s)")
    parser.add_argument("--output", type=Path, default=Path("reports/scale.jsonl"), help="default: %(default)s")
    options = parser.parse_args()
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="scale-")))
        stage = Stage(os.environ["KUBECONFIG"], options.source, folder, options.resync)
        stack.enter_context(stage.set_up())
        figures = measure(stage, options)
        complaints = [line for line in (folder / "operator.log").read_text().splitlines() if '"level": "error"' in line]
    write(figures, options.output)
    print(table(figures))
    for line in complaints[:5]:
        say(line)


if __name__ == "__main__":
    main()
