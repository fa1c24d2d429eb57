"""Pods and PersistentVolumeClaims of the platforms, and the reports of their agents: facts, no conclusions.

Pods and claims come through a watch. Agents are asked over HTTP with short timeouts, many in parallel.
"""

from __future__ import annotations

import json
import logging
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import urllib3

from postboat.agent import ports
from postboat.agent.deliveries import LONGEST, OUTCOMES, Deliveries, Delivery, merged
from postboat.agent.fill import Fill
from postboat.cluster import trouble
from postboat.cluster.children import INSTANCE, SELECTOR
from postboat.cluster.types import POD, ConflictError, InvalidError, Json, NotFoundError
from postboat.objects.meta import NAME, SERVER, TEMPLATE_DIGEST

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from postboat.cluster.client import Client

log = logging.getLogger(__name__)

COMPONENT = "app.kubernetes.io/component"
DIGEST = "postboat.dev/digest-"
"""Prefix of the annotations on pods with the desired digest of each container; its name follows."""
TOUCH = "postboat.dev/touch"
POD_SELECTOR = SELECTOR
CLAIM_SELECTOR = f"{NAME}=postboat"
"""A StatefulSet copies no more than its selector to its claims."""
EDGE_PORT, AGENT_PORT = ports.EDGE_AGENT.number, ports.AGENT.number
ASKERS = 16
"""Agents that are asked at the same time."""
LONGEST_ANSWER = 4096
"""Bytes of `/status` that are read."""
MOST_DELIVERIES = 256 * 1024
"""Bytes of `/deliveries` that are read: three outcomes of a hundred relay hosts, each with a text."""
SENDING = "smtp"
_NO_ANSWER = (urllib3.exceptions.HTTPError, OSError, ValueError, KeyError, TypeError, AttributeError)


@dataclass(frozen=True, slots=True)
class Pod:
    """One pod of a platform."""

    namespace: str
    name: str
    uid: str
    instance: str
    """Name of the MailServer; "" without the label."""
    component: str
    """`smtp`, `imap`, `store`, `filter` or `valkey`; "" without the label."""
    ip: str
    """Empty before the pod has an address."""
    phase: str
    """`status.phase`, such as `Running`."""
    ready: bool
    deleting: bool
    """Whether it has a deletion timestamp."""
    restarts: int
    """Restarts of all its containers together."""
    containers: tuple[str, ...]
    """Names of its containers, sidecars first."""
    demanded: Mapping[str, str]
    """The desired digest of each container by its name, from the annotations of the pod."""
    template: str = ""
    """Digest of the pod template that the pod was made from; "" when the pod does not say."""
    trouble: str = ""
    """Why it does not serve, with the cure; "" when it serves, or when the reason is unknown."""
    claims: tuple[str, ...] = ()
    """Names of its PersistentVolumeClaims."""

    @property
    def workload(self) -> str:
        """Return the name of the StatefulSet of the pod."""
        return self.name.rpartition("-")[0]


@dataclass(frozen=True, slots=True)
class Claim:
    """The PersistentVolumeClaim of one pod."""

    namespace: str
    name: str
    instance: str
    """Name of the MailServer; "" without a label."""
    pod: str
    """Name of the pod that the StatefulSet made the claim for."""


@dataclass(frozen=True, slots=True)
class AgentReport:
    """`/status` of the agent in one container."""

    digest: str
    """Digest of the content in force, sha256 in hex; "" before the first."""
    seen: str
    """Digest of the mounted content, sha256 in hex; "" before it was read."""
    error: str
    """A value of `agent.errors.Failure`, up to 64 characters; "" without an error."""
    ready: bool
    """Whether the daemon answers its probes."""
    volume: Fill | None = None
    """How full the volume of the container is; None without a volume, and from older agents."""


def pod_of(raw: Json) -> Pod:
    """Return the Pod for a v1 Pod as JSON."""
    meta, spec, status = raw["metadata"], raw["spec"], raw.get("status") or {}
    labels = meta.get("labels") or {}
    sidecars = [container for container in spec.get("initContainers") or () if container.get("restartPolicy")]
    conditions = {condition["type"]: condition["status"] for condition in status.get("conditions") or ()}
    annotations = meta.get("annotations") or {}
    return Pod(
        namespace=meta["namespace"],
        name=meta["name"],
        uid=meta["uid"],
        instance=labels.get(INSTANCE, ""),
        component=labels.get(COMPONENT, ""),
        ip=status.get("podIP", ""),
        phase=status.get("phase", ""),
        ready=conditions.get("Ready") == "True",
        deleting=bool(meta.get("deletionTimestamp")),
        restarts=sum(
            container.get("restartCount", 0)
            for group in ("initContainerStatuses", "containerStatuses")
            for container in status.get(group) or ()
        ),
        containers=tuple(container["name"] for container in [*sidecars, *spec["containers"]]),
        demanded={name.removeprefix(DIGEST): value for name, value in annotations.items() if name.startswith(DIGEST)},
        template=annotations.get(TEMPLATE_DIGEST, ""),
        trouble=trouble.of_pod(raw, labels.get(COMPONENT, "")),
        claims=tuple(
            volume["persistentVolumeClaim"]["claimName"]
            for volume in spec.get("volumes") or ()
            if "persistentVolumeClaim" in volume
        ),
    )


def claim_of(raw: Json) -> Claim:
    """Return the Claim for the metadata of a PersistentVolumeClaim.

    StatefulSets of earlier versions used another label.
    """
    meta = raw["metadata"]
    labels = meta.get("labels") or {}
    pod = meta["name"].partition("-")[2]  # a StatefulSet calls it TEMPLATE-POD, and no template has a hyphen
    return Claim(meta["namespace"], meta["name"], labels.get(SERVER) or labels.get(INSTANCE, ""), pod)


class Agents:
    """Asks the agents of pods over HTTP; at most 0.4 s to connect and 0.8 s between two reads."""

    def __init__(self) -> None:
        timeout = urllib3.Timeout(connect=0.4, read=0.8)
        self._http = urllib3.PoolManager(num_pools=512, maxsize=2, retries=False, timeout=timeout)
        self._pool = ThreadPoolExecutor(ASKERS, thread_name_prefix="agents")

    def stop(self) -> None:
        """Start no further request."""
        self._pool.shutdown(wait=False, cancel_futures=True)

    def ask(self, targets: Iterable[tuple[Pod, str]]) -> dict[tuple[str, str], AgentReport]:
        """Return the reports of the agents that answered. The call blocks until all have answered or timed out.

        Args:
            targets: Pods, each with the name of one of its containers; pods without an address are left out.

        Returns:
            The report of each agent that answered, by the name of the pod and that of the container.
        """
        asked = [(pod, container) for pod, container in targets if pod.ip]
        answers = self._pool.map(self._ask, asked)
        return {
            (pod.name, container): answer
            for (pod, container), answer in zip(asked, answers, strict=True)
            if answer is not None
        }

    def deliveries(self, pods: Iterable[Pod]) -> dict[str, Deliveries]:
        """Return the last deliveries through each relay host, merged over all smtp pods. The call blocks.

        Returns:
            The deliveries by the name of the transport (`rh-NAME`); pods that do not answer are left out.
        """
        asked = [pod for pod in pods if pod.ip and pod.component == SENDING]
        told: dict[str, list[Deliveries]] = {}
        for answer in self._pool.map(self._ask_for_deliveries, asked):
            for transport, one in answer.items():
                told.setdefault(transport, []).append(one)
        return {transport: merged(found) for transport, found in told.items()}

    def _ask_for_deliveries(self, pod: Pod) -> dict[str, Deliveries]:
        try:
            answer = self._page(pod, AGENT_PORT, "/deliveries", MOST_DELIVERIES)
            return {str(transport): _deliveries(raw) for transport, raw in answer.items()}
        except _NO_ANSWER:
            return {}

    def _page(self, pod: Pod, port: int, path: str, longest: int) -> Any:  # noqa: ANN401 -- JSON
        host = f"[{pod.ip}]" if ":" in pod.ip else pod.ip
        response = self._http.request("GET", f"http://{host}:{port}{path}", preload_content=False)
        answer: Any = json.loads(response.read(longest))
        response.release_conn()
        return answer

    def _ask(self, target: tuple[Pod, str]) -> AgentReport | None:
        pod, container = target
        port = EDGE_PORT if container == "edge" and pod.component == SENDING else AGENT_PORT
        try:
            answer = self._page(pod, port, "/status", LONGEST_ANSWER)
            told = answer.get("volume")
            volume = Fill(**{name: int(told[name]) for name in Fill.__slots__}) if told else None
            return AgentReport(
                str(answer["digest"]), str(answer["seen"]), str(answer["error"])[:64], bool(answer["ready"]), volume
            )
        except _NO_ANSWER:
            return None


def _deliveries(raw: Mapping[str, Mapping[str, Any]]) -> Deliveries:
    """Return the deliveries in the answer of one agent; fields of later versions are ignored."""
    return Deliveries(
        **{
            outcome: Delivery(
                int(raw[outcome]["at"]), str(raw[outcome]["code"])[:16], str(raw[outcome]["text"])[:LONGEST]
            )
            for outcome in OUTCOMES
            if outcome in raw
        }
    )


class PodAnnotator:
    """Writes the desired digests to pods: any change of a pod makes its kubelet refresh the mounted files at once.

    When it is not enabled nothing is written, and kubelets refresh at their own interval.
    """

    def __init__(self, client: Client, *, enabled: bool = True) -> None:
        self._client = client
        self.enabled = enabled
        self._pool = ThreadPoolExecutor(ASKERS, thread_name_prefix="annotate")

    def stop(self) -> None:
        """Start no further write."""
        self._pool.shutdown(wait=False, cancel_futures=True)

    def annotate(self, wanted: Iterable[tuple[Pod, Mapping[str, str]]]) -> list[Exception]:
        """Merge annotations into many pods, 16 at a time. The call blocks.

        Args:
            wanted: Pods, each with full names of annotations and their values.

        Returns:
            The failures. A pod that is gone, or was replaced, is no failure.
        """
        if not self.enabled:
            return []
        failures = self._pool.map(lambda item: self._patch(*item), wanted)
        return [failure for failure in failures if failure is not None]

    def _patch(self, pod: Pod, annotations: Mapping[str, str]) -> Exception | None:
        body: Json = {"metadata": {"uid": pod.uid, "annotations": dict(annotations)}}
        try:
            self._client.merge(POD, pod.namespace, pod.name, body)
        except (NotFoundError, ConflictError, InvalidError):
            return None
        except Exception as failure:  # noqa: BLE001 - the caller counts failures and tries again
            return failure
        return None


def touched() -> dict[str, str]:
    """Return an annotation with the current time in milliseconds, so that writing it always changes the pod."""
    return {TOUCH: str(time.time_ns() // 1_000_000)}
