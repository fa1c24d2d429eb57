"""Why a pod is missing or does not serve: what Kubernetes says, the field it is about, and the cure.

The texts have no parts that change from one look to the next, so that a status is not rewritten without need.
"""

from __future__ import annotations

import logging
import re
from typing import TYPE_CHECKING, Final

from postboat.cluster.types import ApiError, ConnectionFailedError, Json, ResourceType

if TYPE_CHECKING:
    from collections.abc import Iterable

    from postboat.cluster.client import Client

log = logging.getLogger(__name__)

CORE_EVENT: Final = ResourceType("", "v1", "events", "Event")
LONGEST: Final = 300
"""Characters of what Kubernetes says about one pod."""
_IMAGE: Final = frozenset({"ErrImagePull", "ImagePullBackOff", "InvalidImageName", "ErrImageNeverPull"})
_CREATION: Final = frozenset({"CreateContainerConfigError", "CreateContainerError", "RunContainerError"})
_UNBOUND: Final = "unbound immediate PersistentVolumeClaims"
_NO_CLASS: Final = (
    "create a StorageClass of that name; for another one delete the MailServer and its claims, in which no mail is yet,"
    " and make it again"
)
_CURES: Final = (
    ("violates PodSecurity", "label the namespace pod-security.kubernetes.io/enforce=baseline: Postfix needs it"),
    ("must specify", "write spec.pods.{0}.resources with all that the quota wants; for smtp, sidecarResources too"),
    ("exceeded quota", "raise the quota, or ask for less in spec.pods.{0}.resources or the size of the volume"),
    ("no PriorityClass", "create it, or correct spec.pods.{0}.priorityClassName"),
    ("torageclass", _NO_CLASS),
    ("no storage class is set", "make a StorageClass the default one of the cluster"),
    ("LimitRange", "change the LimitRange, or spec.pods.{0}.resources"),
    ("exceeds", "change the limit, or spec.pods.{0}.resources"),
    ("maximum", "change the LimitRange, or spec.pods.{0}.resources"),
)


def of_pod(raw: Json, component: str) -> str:
    """Return why a pod does not serve, with the cure; "" when it is ready, or when the reason is unknown.

    Args:
        raw: A v1 Pod as JSON.
        component: `smtp`, `imap`, `store`, `filter` or `valkey`, for the field in the cure.
    """
    status = raw.get("status") or {}
    conditions = {condition["type"]: condition for condition in status.get("conditions") or ()}
    if conditions.get("Ready", {}).get("status") == "True":
        return ""
    if status.get("phase") == "Failed" and status.get("reason"):
        return f"{status['reason']}: {_plain(status.get('message', ''))}"
    scheduled = conditions.get("PodScheduled", {})
    if scheduled.get("status") == "False":
        return _unscheduled(_plain(scheduled.get("message", "")), component)
    statuses = [*(status.get("initContainerStatuses") or ()), *(status.get("containerStatuses") or ())]
    return next(filter(None, (_of_container(one, raw["metadata"]["name"], component) for one in statuses)), "")


def waits_for_claims(trouble: str) -> bool:
    """Return whether claims are unbound, so that the Events of the claims say more than the pod.

    Args:
        trouble: A text of `of_pod`.
    """
    return _UNBOUND in trouble


def _unscheduled(said: str, component: str) -> str:
    if _UNBOUND in said:
        return f"a claim is Pending ({_UNBOUND}): kubectl describe pvc"
    return f"no node takes it ({said}): add nodes or free some, or change spec.pods.{component}"


def _of_container(status: Json, pod: str, component: str) -> str:
    name, state, last = status["name"], status.get("state") or {}, status.get("lastState") or {}
    waiting, ended = state.get("waiting") or {}, state.get("terminated") or last.get("terminated") or {}
    reason = waiting.get("reason", "")
    field = "sidecarResources" if name == "edge" else "resources"
    if reason in _IMAGE:
        return f"the image {status.get('image', '')} cannot be pulled: check images and imagePullSecrets of the chart"
    if reason in _CREATION:
        return f"container {name} cannot be started ({_plain(waiting.get('message', reason))})"
    if ended.get("reason") == "OOMKilled" and not status.get("ready"):
        return f"container {name} was killed for memory (OOMKilled): raise spec.pods.{component}.{field}.limits.memory"
    if reason == "CrashLoopBackOff":
        code = ended.get("exitCode", "unknown")
        return f"container {name} ends again and again (exit code {code}): kubectl logs {pod} -c {name} --previous"
    return ""


def of_warning(message: str, component: str) -> str:
    """Return the message of a Warning about a StatefulSet or a claim, with the cure when one is known.

    Args:
        message: As Kubernetes writes it.
        component: `smtp`, `imap`, `store`, `filter` or `valkey`, for the field in the cure.
    """
    said = _plain(message.rpartition("failed error: ")[2])
    cure = next((cure for mark, cure in _CURES if mark in said), "")
    return said + (f": {cure.format(component)}" if cure else "")


def _plain(message: str) -> str:
    """Return a message without the parts that change from one look to the next, cut to LONGEST."""
    first = re.split(r"\. (?:preemption|no new claims|not found)|, used: |; try again", message, maxsplit=1)[0]
    return first.rstrip(". ")[:LONGEST]


class Inquiry:
    """Reads Warnings: for some failures they are the only source."""

    def __init__(self, client: Client) -> None:
        self._client = client

    def newest(self, namespace: str, kind: str, names: Iterable[str]) -> str:
        """Return the message of the newest Warning about the first of the objects that has one.

        The call blocks, up to 5 s for each object.

        Args:
            kind: `involvedObject.kind`.
            names: Names of objects, the most interesting one first.

        Returns:
            "" when there is no Warning, or Events cannot be read.
        """
        for name in names:
            chosen = f"involvedObject.kind={kind},involvedObject.name={name},type=Warning"
            try:
                found = self._client.listing(CORE_EVENT, namespace, fieldSelector=chosen, limit="100")
            except (ApiError, ConnectionFailedError) as failure:
                log.debug("the Events of %s %s cannot be read: %s", kind, name, failure)
                continue
            warnings = sorted((_moment(event), str(event.get("message") or "")) for event in found)
            if warnings:
                return warnings[-1][1]
        return ""


def _moment(event: Json) -> str:
    series = event.get("series") or {}
    moments = (series.get("lastObservedTime"), event.get("lastTimestamp"), event.get("eventTime"))
    return str(next(filter(None, moments), ""))[:19]
