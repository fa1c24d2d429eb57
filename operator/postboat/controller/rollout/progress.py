"""Which plan each container has loaded: plans are numbered, and a reported digest maps back to a number.

An object is Ready when every replica has loaded a plan whose number is at least that of the last plan that changed it.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from sys import maxsize
from typing import TYPE_CHECKING

from postboat.agent.errors import Failure
from postboat.status.storage import Volume, judged

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from postboat.cluster.observe import AgentReport, Claim, Pod
    from postboat.objects.plan import ContainerKey

REMEMBERED = 256
"""Digests of each container whose plans are known."""
NEVER = -1
"""The number of no plan: nothing that is known is loaded. Plans are numbered from 1."""
AFTER_ALL = maxsize
"""The number of a plan that is not loaded before another number replaces it."""


class Ledger:
    """The history of digests of one platform.

    Attributes:
        sequence: Number of the newest plan; 0 before the first.
        digests: Its desired digests, sha256 in hex.
    """

    def __init__(self) -> None:
        self.sequence = 0
        self.digests: Mapping[ContainerKey, str] = {}
        self._history: dict[ContainerKey, OrderedDict[str, int]] = {}

    def record(self, digests: Mapping[ContainerKey, str]) -> int:
        """Record a plan and return its number; a digest that stays the same gets the new number too.

        Args:
            digests: Desired digest of each container, sha256 in hex.
        """
        self.sequence += 1
        self.digests = digests
        for container in self._history.keys() - digests.keys():
            del self._history[container]
        for container, digest in digests.items():
            history = self._history.setdefault(container, OrderedDict())
            history[digest] = self.sequence
            history.move_to_end(digest)
            while len(history) > REMEMBERED:
                history.popitem(last=False)
        return self.sequence

    def number(self, container: ContainerKey, digest: str) -> int:
        """Return the number of the newest plan with this digest of a container; NEVER when it is not known.

        Args:
            container: Name of the StatefulSet and of the container.
            digest: sha256 in hex.
        """
        history = self._history.get(container)
        return NEVER if history is None else history.get(digest, NEVER)


@dataclass(frozen=True, slots=True)
class Target:
    """What one workload should become."""

    replicas: int
    """Number of pods."""
    template: str
    """Digest of the pod template."""


@dataclass(frozen=True, slots=True)
class Progress:
    """The state of one workload."""

    workload: str
    """Name of the StatefulSet."""
    desired: int
    """Number of pods that the plan wants."""
    ready: int
    """Number of pods that are ready."""
    current: int
    """Number of pods that are ready, made from the newest template, and have loaded the newest plan."""
    lowest: int
    """Number of the oldest plan that any of its containers has loaded.

    NEVER while a pod is missing or an agent is silent.
    """
    error: str
    """Why an agent has not loaded its content, a value of `agent.errors.Failure`; "" without an error."""
    rolled: bool
    """Whether every pod is made from the newest template."""
    goes_on: bool = True
    """Whether the container with that error still runs an earlier configuration."""
    volumes: tuple[Volume, ...] = ()
    """The volumes of its pods, as far as agents have reported them."""
    present: int = 0
    """Number of pods, in any state."""
    trouble: str = ""
    """Why a pod is missing or does not serve; "" when nothing is known."""
    unserved: tuple[str, ...] = ()
    """Names of the claims of pods that are gone and not planned any more."""


def workload_progress(
    ledger: Ledger,
    workload: str,
    target: Target,
    pods: Iterable[Pod],
    reports: Mapping[tuple[str, str], AgentReport],
) -> Progress:
    """Return the state of one workload; a pod that is missing or silent has loaded nothing.

    Args:
        ledger: The numbers of plans.
        workload: Name of the StatefulSet.
        target: What it should become.
        pods: Pods of the platform; those of other workloads are ignored.
        reports: The last report of each agent, by names of pod and container.
    """
    containers = [container for name, container in ledger.digests if name == workload]
    numbers: list[int] = []
    ready = current = rolled = 0
    error, goes_on, trouble = "", True, ""
    volumes: list[Volume] = []
    for pod in sorted(pods, key=lambda pod: pod.name):
        if pod.workload != workload or pod.deleting:
            continue
        of_pod = [
            _in_force(ledger, (workload, container), reports.get((pod.name, container))) for container in containers
        ]
        numbers.append(min(of_pod, default=ledger.sequence))
        ready += pod.ready
        fresh = pod.template == target.template
        rolled += fresh
        current += pod.ready and fresh and numbers[-1] == ledger.sequence
        trouble = trouble or (f"{pod.name}: {pod.trouble}" if pod.trouble else "")
        told = [report for name in containers if (report := reports.get((pod.name, name))) is not None]
        volumes += [judged(pod.name, report.volume) for report in told if report.volume is not None]
        said = _error(ledger, workload, pod, reports)
        if said is not None and (not error or (goes_on and not said.digest)):
            error, goes_on = said.error, bool(said.digest)
    lowest = min(numbers, default=NEVER) if len(numbers) >= target.replicas else NEVER
    if target.replicas == 0:
        lowest = ledger.sequence
    whole = rolled == len(numbers) >= target.replicas
    return Progress(
        workload,
        target.replicas,
        ready,
        current,
        lowest,
        error,
        whole,
        goes_on,
        tuple(volumes),
        len(numbers),
        trouble,
    )


def unserved(workload: str, target: Target, claims: Iterable[Claim], pods: Iterable[Pod]) -> tuple[str, ...]:
    """Return the names of claims whose pods have a higher number than the wanted ones and have ended.

    Args:
        workload: Name of the StatefulSet.
        pods: All pods of the platform, those that are ending too.
    """
    there = {pod.name for pod in pods}
    found = []
    for claim in claims:
        owner, _, number = claim.pod.rpartition("-")
        if owner == workload and number.isdecimal() and int(number) >= target.replicas and claim.pod not in there:
            found.append((int(number), claim.name))
    return tuple(name for _, name in sorted(found))


def _in_force(ledger: Ledger, container: ContainerKey, report: AgentReport | None) -> int:
    return NEVER if report is None else ledger.number(container, report.digest)


def _error(
    ledger: Ledger, workload: str, pod: Pod, reports: Mapping[tuple[str, str], AgentReport]
) -> AgentReport | None:
    """Return the report of an agent that could not load the desired digest, or None.

    An incomplete mount counts whatever its digest is, since the agent cannot have seen what is missing.
    """
    for (name, container), digest in ledger.digests.items():
        report = reports.get((pod.name, container))
        if name != workload or report is None or not report.error or report.digest == digest:
            continue
        if report.seen == digest or report.error == Failure.INCOMPLETE_MOUNT:
            return report
    return None


def lagging(
    ledger: Ledger, pods: Iterable[Pod], reports: Mapping[tuple[str, str], AgentReport]
) -> list[tuple[Pod, str, str]]:
    """Return pod, container and desired digest of each container that has not loaded its desired digest.

    Args:
        reports: The last report of each agent, by names of pod and container.
    """
    behind = []
    for pod in pods:
        if pod.deleting:
            continue
        for (workload, container), digest in ledger.digests.items():
            if workload != pod.workload:
                continue
            report = reports.get((pod.name, container))
            if report is None or report.digest != digest:
                behind.append((pod, container, digest))
    return behind
