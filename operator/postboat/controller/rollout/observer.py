"""Follows the rollout of a plan: annotates pods so that kubelets refresh their files, and asks agents what is loaded.

It polls quickly during a rollout and rarely at rest.
"""

from __future__ import annotations

import logging
import threading
import time
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from typing_extensions import override

from postboat import telemetry
from postboat.cluster.observe import DIGEST, touched
from postboat.cluster.types import FencedError
from postboat.controller.rollout.progress import NEVER, Ledger, Progress, Target, lagging, unserved, workload_progress
from postboat.controller.rollout.trouble import Inquirer

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from postboat.agent.deliveries import Deliveries
    from postboat.cluster.observe import AgentReport, Agents, Claim, Pod, PodAnnotator
    from postboat.cluster.trouble import Inquiry
    from postboat.cluster.types import Key
    from postboat.objects.plan import ContainerKey

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Beat:
    """How often to look at pods and to touch them; all values are seconds."""

    fast: float = 0.12
    """Between two looks while a container has not loaded its desired content."""
    slow: float = 2.0
    """Between two looks while a container has failed or lags for long, or this process does not hold the Lease."""
    rest: float = 15.0
    """Between two looks at all agents when nothing is to be done."""
    touch: float = 0.5
    """Between two touches of a pod at first."""
    touch_fast_for: float = 10.0
    """For so long after a new desired digest `touch` applies."""
    touch_slow: float = 5.0
    """Between two touches of a pod later."""
    touch_for: float = 60.0
    """For so long after a new desired digest a pod is touched at all."""
    echo: float = 2.0
    """For so long the watch may not show an annotation that was just written."""
    unready: float = 5.0
    """Between two looks while a pod is not ready, at most."""
    deliveries: float = 5.0
    """Between two questions for deliveries while there are relay hosts."""


@dataclass(slots=True)
class _Demand:
    digest: str
    since: float
    touched: float = field(default=0.0)


class Observer(threading.Thread):
    """The thread that follows the plans of one MailServer.

    Args:
        key: Namespace and name of the MailServer.
        pods: Returns all pods of the platform.
        advance: Called after each look with the number of the plan that all containers have loaded (NEVER for none) and
            the state of each workload. It returns the seconds until the next look, None for no wish.
        allowed: Returns whether this process holds the Lease.
        inquiry: Reads Warnings about missing pods; None asks for none.
        claims: Returns all claims of the platform.
        deliveries: Called with the last deliveries by transport; returns whether there are relay hosts.

    Attributes:
        heartbeat: Start of the last look, in seconds of the monotonic clock.
    """

    def __init__(  # noqa: PLR0913 - what to follow, by which means, whom to tell
        self,
        key: Key,
        pods: Callable[[], list[Pod]],
        agents: Agents,
        annotator: PodAnnotator,
        advance: Callable[[int, tuple[Progress, ...]], float | None],
        *,
        allowed: Callable[[], bool],
        beat: Beat | None = None,
        inquiry: Inquiry | None = None,
        claims: Callable[[], list[Claim]] = list,
        deliveries: Callable[[Mapping[str, Deliveries]], bool] = lambda _told: False,
    ) -> None:
        super().__init__(name=f"observer {key.namespace}/{key.name}", daemon=True)
        self.heartbeat = time.monotonic()
        self._key = key
        self._pods, self._claims, self._agents, self._annotator = pods, claims, agents, annotator
        self._advance, self._allowed = advance, allowed
        self._beat = beat or Beat()
        self._inquirer = Inquirer(key, inquiry) if inquiry is not None else None
        self._deliveries, self._deliveries_due = deliveries, 0.0
        self._lock = threading.Lock()
        self._ledger = Ledger()
        self._targets: Mapping[str, Target] = {}
        self._hands_off = False
        self._begun: dict[int, float] = {}
        self._reports: dict[tuple[str, str], AgentReport] = {}
        self._uids: dict[str, str] = {}
        self._demands: dict[tuple[str, str], _Demand] = {}
        self._patched: dict[str, tuple[Mapping[str, str], float]] = {}
        self._asked_all = 0.0
        self._woken = threading.Event()
        self._stopping = False

    def stop(self) -> None:
        """Ask the thread to end."""
        self._stopping = True
        self._woken.set()

    def wake(self) -> None:
        """Look at once, since a pod or the plan has changed. Any thread may call it."""
        self._woken.set()

    def hold(self) -> None:
        """Write to no pod until the next call of `follow`, but go on looking. Any thread may call it."""
        with self._lock:
            self._hands_off = True

    @property
    def sequence(self) -> int:
        """Return the number of the newest plan; 0 before the first."""
        return self._ledger.sequence

    def follow(
        self, digests: Mapping[ContainerKey, str], targets: Mapping[str, Target], *, hands_off: bool = False
    ) -> int:
        """Record a plan that was applied and return its number. Any thread may call it.

        Args:
            digests: Desired digest of each container, sha256 in hex.
            targets: What each workload should become, by name of the StatefulSet.
            hands_off: Write to no pod, only look.
        """
        with self._lock:
            sequence = self._ledger.record(digests)
            self._targets, self._hands_off = targets, hands_off
            self._begun[sequence] = time.monotonic()
        self.wake()
        return sequence

    @override
    def run(self) -> None:
        interval = self._beat.rest
        while not self._stopping:
            self._woken.wait(interval)
            self._woken.clear()
            self.heartbeat = time.monotonic()
            if self._stopping:
                return
            try:
                interval = self._once() if self._allowed() else self._beat.slow
            except Exception:
                log.exception(
                    "polling the pods failed", extra={"namespace": self._key.namespace, "mailserver": self._key.name}
                )
                interval = self._beat.slow

    def _once(self) -> float:
        if self._ledger.sequence:
            return self._round()
        self._advance(NEVER, ())  # nothing was applied yet, and that may last
        return self._beat.slow

    def _round(self) -> float:
        """Look once; return the seconds until the next look."""
        now = time.monotonic()
        everyone = self._pods()
        pods = [pod for pod in everyone if not pod.deleting]
        with self._lock:
            self._forget_replaced(pods)
            behind = lagging(self._ledger, pods, self._reports)
            digests = self._ledger.digests
            patches = [] if self._hands_off else self._patches(pods, behind, now)
        for failure in self._annotator.annotate(patches):
            level = logging.DEBUG if isinstance(failure, FencedError) else logging.WARNING
            log.log(
                level,
                "a pod was not annotated: %s",
                failure,
                extra={"namespace": self._key.namespace, "mailserver": self._key.name},
            )
        everybody = now - self._asked_all >= self._beat.rest
        if everybody:
            self._asked_all = now
            targets = [(pod, name) for pod in pods for workload, name in digests if workload == pod.workload]
        else:
            targets = [(pod, container) for pod, container, _ in behind]
        if now >= self._deliveries_due:
            self._deliveries_due = now + self._beat.rest
            if self._deliveries(self._agents.deliveries(pods)):
                self._deliveries_due = now + self._beat.deliveries
        answers = self._agents.ask(targets)
        with self._lock:
            for pod, container in targets:
                self._reports.pop((pod.name, container), None)
            self._reports |= answers
            progress = self._progress(pods, everyone)
            pause = self._pause(pods, lagging(self._ledger, pods, self._reports))
            sequence = self._ledger.sequence
        if self._inquirer is not None:
            progress = self._inquirer.explained(progress, pods)
        if any(part.ready < part.desired for part in progress):
            pause = min(pause, self._beat.unready)
        pause = min(pause, max(0.0, self._deliveries_due - time.monotonic()))
        in_force = min((part.lowest for part in progress), default=NEVER)
        self._measure(in_force, sequence, len(behind))
        asked = self._advance(in_force, progress)
        return pause if asked is None else min(pause, asked)

    def _forget_replaced(self, pods: list[Pod]) -> None:
        uids = {pod.name: pod.uid for pod in pods}
        same = {name for name, uid in uids.items() if self._uids.get(name) == uid}
        self._reports = {key: report for key, report in self._reports.items() if key[0] in same}
        self._demands = {key: demand for key, demand in self._demands.items() if key[0] in same}
        self._patched = {uid: patch for uid, patch in self._patched.items() if uid in uids.values()}
        self._uids = uids

    def _patches(
        self, pods: list[Pod], behind: list[tuple[Pod, str, str]], now: float
    ) -> list[tuple[Pod, dict[str, str]]]:
        """Return the annotations to write: new desired digests, and touches where the files were not refreshed."""
        patches = {pod.name: (pod, self._demand(pod, now)) for pod in pods}
        for pod, container, digest in behind:
            if self._touch_due(pod, container, digest, now):
                patches[pod.name][1].update(touched())
        return [(pod, annotations) for pod, annotations in patches.values() if annotations]

    def _demand(self, pod: Pod, now: float) -> dict[str, str]:
        wanted = {
            container: digest
            for (workload, container), digest in self._ledger.digests.items()
            if workload == pod.workload
        }
        missing = {DIGEST + name: digest for name, digest in wanted.items() if pod.demanded.get(name) != digest}
        last, at = self._patched.get(pod.uid, ({}, 0.0))
        if not missing or (missing == last and now - at < self._beat.echo):
            return {}
        self._patched[pod.uid] = (missing, now)
        return missing

    def _touch_due(self, pod: Pod, container: str, digest: str, now: float) -> bool:
        key = (pod.name, container)
        demand = self._demands.get(key)
        if demand is None or demand.digest != digest:
            self._demands[key] = _Demand(digest, now, now)
            return False
        report = self._reports.get(key)
        age = now - demand.since
        if not pod.ip or age > self._beat.touch_for or (report is not None and report.seen == digest):
            return False
        if now - demand.touched < (self._beat.touch if age < self._beat.touch_fast_for else self._beat.touch_slow):
            return False
        demand.touched = now
        return True

    def _progress(self, pods: list[Pod], everyone: list[Pod]) -> tuple[Progress, ...]:
        """Return the state of all workloads; `everyone` includes pods that are being deleted."""
        claims = self._claims()
        return tuple(
            replace(
                workload_progress(self._ledger, workload, target, pods, self._reports),
                unserved=unserved(workload, target, claims, everyone),
            )
            for workload, target in sorted(self._targets.items())
        )

    def _pause(self, pods: list[Pod], behind: list[tuple[Pod, str, str]]) -> float:
        if not behind:
            return self._beat.rest
        now = time.monotonic()
        for pod, container, digest in behind:
            report = self._reports.get((pod.name, container))
            demand = self._demands.get((pod.name, container))
            lately = demand is None or now - demand.since < self._beat.touch_for
            if lately and pod.ip and not (report is not None and report.seen == digest and report.error):
                return self._beat.fast
        return self._beat.slow if pods else self._beat.rest

    def _measure(self, in_force: int, sequence: int, behind: int) -> None:
        telemetry.AGENTS_BEHIND.labels(*self._key).set(behind)
        now = time.monotonic()
        with self._lock:
            for number in [number for number in self._begun if number <= in_force]:
                telemetry.IN_FORCE_SECONDS.observe(now - self._begun.pop(number))
            for number in [number for number in self._begun if number < sequence - 1000]:
                del self._begun[number]
