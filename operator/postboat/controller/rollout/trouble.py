"""Finds out why pods are missing, from Warnings about the StatefulSet or its claims.

They are read only while a pod is missing, and every few seconds at most.
"""

from __future__ import annotations

import time
from dataclasses import replace
from typing import TYPE_CHECKING

from postboat.cluster.trouble import of_warning, waits_for_claims

if TYPE_CHECKING:
    from collections.abc import Sequence

    from postboat.cluster.observe import Pod
    from postboat.cluster.trouble import Inquiry
    from postboat.cluster.types import Key
    from postboat.controller.rollout.progress import Progress

PAUSE = 5.0
"""Seconds between two looks; also how long a pod must be missing before the first one, since pods start one by one."""


class Inquirer:
    """Explains the progress of one MailServer.

    Args:
        key: Namespace and name of the MailServer.
    """

    def __init__(self, key: Key, inquiry: Inquiry) -> None:
        self._key, self._inquiry = key, inquiry
        self._known: dict[str, tuple[float, str]] = {}

    def explained(self, progress: Sequence[Progress], pods: Sequence[Pod]) -> tuple[Progress, ...]:
        """Return the progress, with the reason in `trouble` where a pod is missing or its claim is unbound.

        The call blocks while it reads Events.

        Args:
            progress: The state of each workload.
            pods: All pods of the platform.
        """
        return tuple(self._explained(part, pods) for part in progress)

    def _explained(self, part: Progress, pods: Sequence[Pod]) -> Progress:
        missing = part.present < part.desired
        if not missing and not waits_for_claims(part.trouble):
            self._known.pop(part.workload, None)
            return part
        now = time.monotonic()
        looked, told = self._known.setdefault(part.workload, (now, ""))
        if now - looked >= PAUSE:
            told = self._look(part, pods)
            self._known[part.workload] = (now, told)
        return replace(part, trouble=told) if told else part

    def _look(self, part: Progress, pods: Sequence[Pod]) -> str:
        component = part.workload.removeprefix(f"{self._key.name}-")
        if part.present < part.desired:
            said = self._inquiry.newest(self._key.namespace, "StatefulSet", (part.workload,))
            if said:
                return of_warning(said, component)
        claims = sorted(
            claim
            for pod in pods
            if pod.workload == part.workload and waits_for_claims(pod.trouble)
            for claim in pod.claims
        )
        said = self._inquiry.newest(self._key.namespace, "PersistentVolumeClaim", claims)
        return f"a claim is Pending: {of_warning(said, component)}" if said else ""
