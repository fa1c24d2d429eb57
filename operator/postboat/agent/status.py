"""What the agent knows of itself and of its daemon, as `/status` and `/metrics` show it.

No address, user or secret is in it: every pod that reaches the port can read both pages.
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
    """The values of `/status`."""

    daemon: str
    """Name of the daemon."""
    digest: str = ""
    """Digest of the content in force, sha256 in hex; "" before the first."""
    seen: str = ""
    """Digest of the mounted content, sha256 in hex; "" before it was read."""
    error: str = ""
    """A value of `errors.Failure`; "" when the mounted content is in force."""
    ready: bool = False
    """Whether the daemon answers its probes."""
    restarts: int = 0
    """Number of times that the daemon ended by itself."""
    activations: int = 0
    """Number of contents that came into force."""


class Status:
    """The values above and some counters; safe to use from many threads."""

    def __init__(self, daemon: str) -> None:
        self._lock = threading.Lock()
        self._values = Values(daemon)
        self._failures = self._hangs = 0
        self._seconds = 0.0
        self._activated = 0.0

    def seen(self, digest: str) -> None:
        """Record the digest of the mounted content, sha256 in hex."""
        with self._lock:
            self._values.seen = digest

    def activated(self, digest: str, seconds: float) -> None:
        """Record that a content is in force.

        Args:
            digest: Its digest, sha256 in hex.
            seconds: Time since it was read.
        """
        with self._lock:
            if digest != self._values.digest:
                self._values.activations += 1
                self._activated, self._seconds = time.time(), seconds
            self._values.digest, self._values.error = digest, ""

    def inherited(self, digest: str) -> None:
        """Record that the content of an earlier run is in force; an error stays.

        Args:
            digest: Its digest, sha256 in hex.
        """
        with self._lock:
            self._values.digest = digest

    def failed(self, error: str) -> None:
        """Record that the mounted content is not in force.

        Args:
            error: A value of `errors.Failure`.
        """
        with self._lock:
            self._values.error = error
            self._failures += 1

    def restarted(self) -> None:
        """Record that the daemon ended by itself."""
        with self._lock:
            self._values.restarts += 1

    def hung(self) -> None:
        """Record that the daemon was killed because it did not answer."""
        with self._lock:
            self._hangs += 1

    def ready(self, ready: bool) -> None:  # noqa: FBT001  the value itself
        """Record the result of a probe."""
        with self._lock:
            self._values.ready = ready

    def page(self, volume: Fill | None = None) -> bytes:
        """Return `/status` as JSON.

        Args:
            volume: How full the volume is; None without one.
        """
        with self._lock:
            values = asdict(self._values) | ({"volume": asdict(volume)} if volume is not None else {})
        return json.dumps(values, sort_keys=True).encode() + b"\n"

    def metrics(self, more: str = "") -> bytes:
        """Return `/metrics` in the Prometheus text format.

        Args:
            more: Further lines, which end with a line end; "" for none.
        """
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
