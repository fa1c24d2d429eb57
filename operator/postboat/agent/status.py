"""What the agent knows of itself and of its daemon, as `/status` and `/metrics` show it.

Nothing here names an address, a user or a secret: both pages can be read by every pod that may reach the port.
"""

from __future__ import annotations

import json
import threading
import time
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

from postboat.agent.memory import oom_kills

if TYPE_CHECKING:
    from postboat.agent.fill import Fill


@dataclass(slots=True)
class Values:
    """The values of `/status`; `digest` is what is in force, `seen` what is mounted, both sha256 in hex or empty."""

    daemon: str
    digest: str = ""
    seen: str = ""
    error: str = ""
    ready: bool = False
    restarts: int = 0
    activations: int = 0


class Status:
    """The values above, written by the threads of the agent and read by its server, and some numbers more."""

    def __init__(self, daemon: str) -> None:
        self._lock = threading.Lock()
        self._values = Values(daemon)
        self._failures = self._hangs = 0
        self._seconds = 0.0
        self._activated = 0.0

    def seen(self, digest: str) -> None:
        """Note what is mounted."""
        with self._lock:
            self._values.seen = digest

    def activated(self, digest: str, seconds: float) -> None:
        """Note that a content is in force and how long it took since it was read."""
        with self._lock:
            if digest != self._values.digest:
                self._values.activations += 1
                self._activated, self._seconds = time.time(), seconds
            self._values.digest, self._values.error = digest, ""

    def inherited(self, digest: str) -> None:
        """Note that the content of an earlier run is in force, without touching the error that led to it."""
        with self._lock:
            self._values.digest = digest

    def failed(self, error: str) -> None:
        """Note that the mount is not in force, with a word of errors.Failure."""
        with self._lock:
            self._values.error = error
            self._failures += 1

    def restarted(self) -> None:
        """Note that the daemon ended without being asked to."""
        with self._lock:
            self._values.restarts += 1

    def hung(self) -> None:
        """Note that the daemon had to be ended since it did not answer."""
        with self._lock:
            self._hangs += 1

    def ready(self, ready: bool) -> None:  # noqa: FBT001  the value itself
        """Note the result of a probe."""
        with self._lock:
            self._values.ready = ready

    def page(self, volume: Fill | None = None) -> bytes:
        """Return `/status`, with how full the volume is where there is one."""
        with self._lock:
            values = asdict(self._values) | ({"volume": asdict(volume)} if volume is not None else {})
        return json.dumps(values, sort_keys=True).encode() + b"\n"

    def metrics(self, more: str = "") -> bytes:
        """Return `/metrics` in the Prometheus text format, ending with the daemon's own lines."""
        with self._lock:
            values, label = self._values, f'{{daemon="{self._values.daemon}"}}'
            rows = (
                ("ready", "gauge", "Whether the daemon answers.", int(values.ready)),
                ("in_force", "gauge", "Whether what is mounted is in force.", int(values.seen == values.digest != "")),
                ("restarts_total", "counter", "Times the daemon ended by itself.", values.restarts),
                ("hangs_total", "counter", "Times the daemon was ended since it did not answer.", self._hangs),
                ("oom_kills_total", "counter", "Processes of the container killed for want of memory.", oom_kills()),
                ("activations_total", "counter", "Contents put in force.", values.activations),
                (
                    "activation_failures_total",
                    "counter",
                    "Attempts that did not put the mount in force.",
                    self._failures,
                ),
                ("activation_seconds", "gauge", "Time the last activation took.", round(self._seconds, 4)),
                ("activation_timestamp_seconds", "gauge", "When it ended.", round(self._activated, 3)),
            )
        text = "".join(
            f"# HELP postboat_agent_{name} {about}\n# TYPE postboat_agent_{name} {kind}\n"
            f"postboat_agent_{name}{label} {value}\n"
            for name, kind, about, value in rows
        )
        return (text + more).encode()
