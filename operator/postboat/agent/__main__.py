"""`python3 -m postboat.agent DAEMON`: PID 1 of a daemon's container.

The main thread only reaps processes and handles signals; all that takes time runs on other threads.
"""

from __future__ import annotations

import contextlib
import importlib
import logging
import os
import select
import signal
import socket
import sys
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from postboat.agent import ports, storage
from postboat.agent.activation import Activator
from postboat.agent.children import Children
from postboat.agent.hangs import Monitor
from postboat.agent.server import Page, Server, plain
from postboat.agent.stage import Stage
from postboat.agent.status import Status
from postboat.agent.supervisor import Supervisor

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from postboat.agent.daemons.base import Daemon
    from postboat.agent.fill import Fill

log = logging.getLogger("postboat.agent")

DAEMONS = {"postfix": "Postfix", "dovecot": "Dovecot", "rspamd": "Rspamd", "valkey": "Valkey"}
_STACK = 256 * 1024
_GOOD = 20.0  # seconds for which a good answer counts: every probe is a session that the daemon logs
_BAD = 1.0  # seconds for which a bad one does


@dataclass(frozen=True, slots=True)
class Settings:
    """The settings of the agent, from its environment."""

    config: Path
    """Mounted configuration (POSTBOAT_CONFIG)."""
    state: Path
    """Folder for tables (POSTBOAT_STATE)."""
    run: Path
    """Folder for generations of the configuration (POSTBOAT_RUN)."""
    port: int
    """TCP port of the pages (POSTBOAT_PORT)."""
    grace: float
    """Seconds that sessions get to end when the daemon is stopped (POSTBOAT_GRACE)."""
    mail: Path | None = None
    """Root of the mail volume (POSTBOAT_MAIL); None but for stores."""
    operator_port: int = ports.INVENTORY.number
    """TCP port for the operator, of stores only (POSTBOAT_OPERATOR_PORT)."""
    volume: Path | None = None
    """Where the volume of the container is mounted (POSTBOAT_VOLUME); None without a volume."""

    @classmethod
    def read(cls, environment: Mapping[str, str]) -> Settings:
        """Return the settings in an environment.

        Args:
            environment: Environment variables; those that are missing get defaults.

        Raises:
            ValueError: A port or the grace is no number.
        """
        return cls(
            config=Path(environment.get("POSTBOAT_CONFIG", "/etc/postboat")),
            state=Path(environment.get("POSTBOAT_STATE", "/var/lib/postboat")),
            run=Path(environment.get("POSTBOAT_RUN", "/run/postboat")),
            port=int(environment.get("POSTBOAT_PORT", str(ports.AGENT.number))),
            grace=float(environment.get("POSTBOAT_GRACE", "20")),
            mail=Path(environment["POSTBOAT_MAIL"]) if environment.get("POSTBOAT_MAIL") else None,
            volume=Path(environment["POSTBOAT_VOLUME"]) if environment.get("POSTBOAT_VOLUME") else None,
            operator_port=int(environment.get("POSTBOAT_OPERATOR_PORT", str(ports.INVENTORY.number))),
        )


class Agent:
    """All parts of the agent together.

    Args:
        name: Name of the daemon, a key of DAEMONS.
        settings: From the environment.
    """

    def __init__(self, name: str, settings: Settings) -> None:
        self._settings = settings
        self._status = Status(name)
        self._children = Children()
        stage = Stage(settings.run)
        module = importlib.import_module(f"postboat.agent.daemons.{name}")
        make: Callable[[Path, Path, Children], Daemon] = getattr(module, DAEMONS[name])
        with contextlib.suppress(OSError):  # a folder that others may write would let them choose the tables
            settings.state.chmod(0o755)
        self._daemon = make(stage.active, settings.state, self._children)
        self._supervisor = Supervisor(self._daemon, self._children, self._status, settings.grace)
        self._activator = Activator(settings.config, stage, self._daemon, self._supervisor, self._status)
        self._monitor = Monitor(self._daemon, self._supervisor, self._status)
        self._probing = threading.Lock()
        self._probed = 0.0
        self._answered = 0
        self._ready = self._stopping = False

    def run(self) -> int:
        """Run until SIGTERM or SIGINT and the end of the daemon.

        Returns:
            The exit status of the agent.
        """
        pages = {"/livez": self._livez, "/readyz": self._readyz, "/metrics": self._metrics, "/status": self._page}
        pages |= {path: self._json(content) for path, content in self._daemon.pages().items()}
        receiving, sending = socket.socketpair()
        receiving.settimeout(0)
        sending.settimeout(0)
        signal.set_wakeup_fd(sending.fileno(), warn_on_full_buffer=False)
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._stop)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        Server(self._settings.port, pages).start()
        if self._settings.mail is not None:
            mailstore = importlib.import_module("postboat.agent.mailstore.keeping")  # its weight is a store's only
            mailstore.keep(self._settings.mail, self._settings, self._children)
        self._activator.start()
        self._daemon.begin()
        self._monitor.start()
        while not (self._stopping and self._supervisor.wait_stopped(0)):
            select.select([receiving], [], [], 0.1 if self._stopping else 5.0)
            with contextlib.suppress(BlockingIOError):
                receiving.recv(4096)
            self._children.reap()
        return 0

    def _stop(self, *_: object) -> None:
        self._stopping = True
        self._supervisor.stop()

    def _is_ready(self) -> bool:
        """Probe the daemon, rarely while it is well; a daemon that ended or a new one needs no probe or a new one."""
        with self._probing:
            process = self._supervisor.process
            known = self._ready and process == self._answered
            if process and time.monotonic() - self._probed >= (_GOOD if known else _BAD):
                self._ready, self._answered = self._daemon.ready(), process
                self._probed = time.monotonic()
            serving = self._ready and process == self._answered and not self._monitor.silent
            ready = serving and bool(process) and not self._stopping
            self._status.ready(ready)
            return ready

    def _livez(self) -> Page:
        well = self._activator.alive and not (self._supervisor.hopeless or self._monitor.hopeless)
        return plain(200, "ok") if well else plain(503, "the daemon does not stay up")

    def _readyz(self) -> Page:
        return plain(200, "ok") if self._is_ready() else plain(503, "not ready")

    def _page(self) -> Page:
        self._is_ready()
        return 200, "application/json", self._status.page(self._fill())

    @staticmethod
    def _json(content: Callable[[], bytes]) -> Callable[[], Page]:
        return lambda: (200, "application/json", content())

    def _metrics(self) -> Page:
        self._is_ready()
        more = storage.metrics(self._fill(), self._daemon.name) + self._daemon.metrics()
        return 200, "text/plain; version=0.0.4; charset=utf-8", self._status.metrics(more)

    def _fill(self) -> Fill | None:
        return storage.fill(self._settings.volume, self._daemon.needed())


def main() -> int:
    """Run the agent for the daemon on the command line; return its exit status, 2 for a wrong command line."""
    if sys.argv[1:] not in ([name] for name in DAEMONS):
        sys.stderr.write(f"usage: python3 -m postboat.agent {{{','.join(DAEMONS)}}}\n")
        return 2
    logging.basicConfig(level=logging.INFO, format="agent: %(levelname)s %(message)s", stream=sys.stdout)
    os.umask(0o022)
    threading.stack_size(_STACK)
    return Agent(sys.argv[1], Settings.read(os.environ)).run()


if __name__ == "__main__":
    sys.exit(main())
