"""Leader election by a Lease (coordination.k8s.io/v1): one process writes, the others keep their informers in sync.

The holder stops writing as soon as it cannot renew in time, well before another process may take the Lease.
"""

from __future__ import annotations

import datetime as dt
import logging
import threading
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from typing_extensions import override

from postboat.cluster.types import LEASE, ApiError, ConnectionFailedError, Json, NotFoundError

if TYPE_CHECKING:
    from collections.abc import Callable

    from postboat.cluster.client import Client

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Terms:
    """Timing of the Lease, in seconds."""

    duration: float = 15.0
    """`leaseDurationSeconds`: after so long without a renewal another process may take the Lease."""
    deadline: float = 10.0
    """For so long after the start of the last successful renewal the holder may write; less than `duration`."""
    period: float = 2.0
    """Seconds between two renewals or attempts."""


@dataclass(slots=True)
class Observation:
    """The state of the Lease as last read, and when this process first saw it; clocks of other hosts are not used."""

    version: str = ""
    """`renewTime`, holder and transitions; "" before the first read."""
    holder: str = ""
    """`holderIdentity`; "" when nobody holds it."""
    duration: float = 0.0
    """Seconds."""
    since: float = 0.0
    """When this state was first seen, in seconds of the monotonic clock."""

    def learn(self, lease: Json, now: float) -> None:
        """Record the Lease as read; a renewed one starts its duration again.

        Args:
            now: Seconds of the monotonic clock.
        """
        spec = lease.get("spec") or {}
        version = f"{spec.get('renewTime')} {spec.get('holderIdentity')} {spec.get('leaseTransitions')}"
        if version != self.version:
            self.version, self.since = version, now
        self.holder = spec.get("holderIdentity") or ""
        self.duration = float(spec.get("leaseDurationSeconds") or 0)

    def free(self, identity: str, now: float) -> bool:
        """Return whether this process may take the Lease: it holds it, nobody does, or its duration has passed.

        Args:
            identity: The holder identity of this process.
            now: Seconds of the monotonic clock.
        """
        return self.holder in {"", identity} or now - self.since >= self.duration


class Lease(threading.Thread):
    """The thread that acquires, renews and releases the Lease; as a `Fence` it grants each write.

    Args:
        namespace: Namespace of the Lease.
        name: Name of the Lease.
        identity: `holderIdentity` of this process, unique among all processes.
        on_change: Called with True when the Lease was acquired and with False when it was lost, on this thread.
    """

    def __init__(  # noqa: PLR0913 - which Lease, who we are, whom to tell
        self,
        client: Client,
        namespace: str,
        name: str,
        identity: str,
        *,
        on_change: Callable[[bool], None] = lambda _: None,
        terms: Terms | None = None,
    ) -> None:
        super().__init__(name="lease", daemon=True)
        self.terms = terms or Terms()
        self.heartbeat = time.monotonic()
        self._client = client
        self._namespace, self._name, self._identity = namespace, name, identity
        self._on_change = on_change
        self._seen = Observation()
        self._until = 0.0
        self._held = False
        self._stopping = threading.Event()

    @property
    def held(self) -> bool:
        """Return whether this process may write now."""
        return self.remaining() > 0

    def remaining(self) -> float:
        """Return the seconds for which this process may still write; 0 or less when it may not. Safe on any thread."""
        return self._until - time.monotonic()

    def stop(self) -> None:
        """Ask the thread to end; it releases the Lease at its end."""
        self._stopping.set()

    @override
    def run(self) -> None:
        """Acquire and renew the Lease until `stop` is called, then release it."""
        while not self._stopping.is_set():
            begun = self.heartbeat = time.monotonic()
            try:
                if self._attempt(begun):
                    self._until = begun + self.terms.deadline
            except (ApiError, ConnectionFailedError) as failure:
                log.warning("renewing the Lease failed, retrying: %s", failure)
            except Exception:
                log.exception("reading the Lease failed")
            self._notice()
            self._stopping.wait(
                min(self.terms.period, max(0.05, self.remaining())) if self._held else self.terms.period
            )
        self._release()

    def _notice(self) -> None:
        if self.held == self._held:
            return
        self._held = not self._held
        log.info("leader election: this process %s the Lease", "acquired" if self._held else "lost")
        try:
            self._on_change(self._held)
        except Exception:
            log.exception("the leader election callback failed")

    def _attempt(self, now: float) -> bool:
        """Read the Lease and write it if it is free or ours; the resource version prevents a race.

        Returns:
            Whether this process holds it.

        Raises:
            ApiError: The server refused; ConflictError when another process was faster.
            ConnectionFailedError: The server did not answer.
        """
        patience = max(0.5, min(self.terms.period * 2, self.terms.deadline / 2))
        path = LEASE.path(self._namespace, self._name)
        try:
            lease = self._client.lease_read(path, timeout=patience)
        except NotFoundError:
            fresh = self._body({}, 0)
            self._client.lease_write("POST", LEASE.path(self._namespace), fresh, timeout=patience)
            return True
        self._seen.learn(lease, now)
        if not self._seen.free(self._identity, now):
            self._until = 0.0
            return False
        spec = lease.get("spec") or {}
        ours = spec.get("holderIdentity") == self._identity
        transitions = int(spec.get("leaseTransitions") or 0) + (0 if ours else 1)
        self._client.lease_write("PUT", path, self._body(lease, transitions), timeout=patience)
        return True

    def _body(self, lease: Json, transitions: int, *, released: bool = False) -> Json:
        moment = dt.datetime.now(dt.UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        old = lease.get("spec") or {}
        ours = old.get("holderIdentity") == self._identity
        meta = {"name": self._name, "namespace": self._namespace}
        if version := (lease.get("metadata") or {}).get("resourceVersion"):
            meta["resourceVersion"] = version
        spec = {
            "holderIdentity": "" if released else self._identity,
            "leaseDurationSeconds": 1 if released else int(self.terms.duration),
            "acquireTime": old.get("acquireTime", moment) if ours else moment,
            "renewTime": moment,
            "leaseTransitions": transitions,
        }
        return {"apiVersion": LEASE.api_version, "kind": LEASE.kind, "metadata": meta, "spec": spec}

    def _release(self) -> None:
        """Release the Lease, so that a successor need not wait until it expires."""
        was_held, self._until = self.held, 0.0
        self._notice()
        if not was_held:
            return
        path = LEASE.path(self._namespace, self._name)
        try:
            lease = self._client.lease_read(path, timeout=2)
            spec = lease.get("spec") or {}
            if spec.get("holderIdentity") == self._identity:
                body = self._body(lease, int(spec.get("leaseTransitions") or 0), released=True)
                self._client.lease_write("PUT", path, body, timeout=2)
        except (ApiError, ConnectionFailedError) as failure:
            log.warning("releasing the Lease failed: %s", failure)
