"""The first process of the node: it prepares the namespaces it was started in, then starts and restarts the servers.

It is run as a file of its own with one argument, a JSON description that `up` wrote, by a plain system Python.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import ssl
import subprocess
import sys
import time
import urllib.error
import urllib.request
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType

PAUSE = 0.2
RESTART_AFTER = 1.0


@dataclass(slots=True)
class Server:
    """One server as it runs."""

    name: str
    command: list[str]
    waits: list[str]
    process: subprocess.Popen[bytes] | None = None
    not_before: float = 0.0
    restarts: int = -1


@dataclass(slots=True)
class Node:
    """The servers of the node and what is needed to look after them."""

    api: str
    authority: str
    logs: Path
    report: Path
    servers: list[Server] = field(default_factory=list)
    stopping: bool = False

    def ready(self, probe: str) -> bool:
        kind, _, rest = probe.partition(":")
        if kind == "api-server":
            return self.api_ready()
        try:
            if kind == "unix":
                with socket.socket(socket.AF_UNIX) as connection:
                    connection.connect(rest)
            else:
                host, port = rest.rsplit(":", 1)
                socket.create_connection((host, int(port)), 1).close()
        except OSError:
            return False
        return True

    def api_ready(self) -> bool:
        try:
            context = ssl.create_default_context(cafile=self.authority)
            with urllib.request.urlopen(f"{self.api}/readyz", timeout=2, context=context) as answer:  # noqa: S310
                return bool(answer.status == 200)
        except (urllib.error.URLError, OSError):
            return False

    def start_due(self) -> None:
        answers: dict[str, bool] = {}
        for server in self.servers:
            if server.process or time.monotonic() < server.not_before:
                continue
            for probe in server.waits:
                if probe not in answers:
                    answers[probe] = self.ready(probe)
            if all(answers[probe] for probe in server.waits):
                self.start(server)

    def start(self, server: Server) -> None:
        with (self.logs / f"{server.name}.log").open("ab") as log:
            server.process = subprocess.Popen(
                server.command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
            )
        server.restarts += 1
        self.write_report()

    def reap(self) -> None:
        """Collect every ended process: the servers and the orphans of the containers."""
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if not pid:
                return
            for server in self.servers:
                if server.process and server.process.pid == pid:
                    server.process.returncode = os.waitstatus_to_exitcode(status)
                    server.process = None
                    server.not_before = time.monotonic() + RESTART_AFTER
                    self.write_report()

    def write_report(self) -> None:
        states = {s.name: {"running": s.process is not None, "restarts": max(s.restarts, 0)} for s in self.servers}
        fresh = self.report.with_suffix(".new")
        fresh.write_text(json.dumps(states, indent=1) + "\n")
        fresh.replace(self.report)

    def stop(self, _number: int, _frame: FrameType | None) -> None:
        self.stopping = True


def prepare(mounts: list[list[str]], hostname: str) -> None:
    """Make the namespaces a node: its own folders in the usual places, forwarding, a host name."""
    subprocess.run(["mount", "--make-rshared", "/"], check=True)
    for source, target in mounts:
        subprocess.run(["mount", "--bind", source, target], check=True)
    Path("/proc/sys/net/ipv4/ip_forward").write_text("1\n")
    socket.sethostname(hostname)


def main() -> None:
    description = json.loads(Path(sys.argv[1]).read_text())
    prepare(description["mounts"], description["hostname"])
    os.environ["PATH"] = description["path"]
    node = Node(description["api"], description["authority"], Path(description["logs"]), Path(description["report"]))
    node.servers = [Server(s["name"], s["command"], s["waits"]) for s in description["servers"]]
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, node.stop)
    while not node.stopping:
        node.reap()
        node.start_due()
        time.sleep(PAUSE)


if __name__ == "__main__":
    main()
