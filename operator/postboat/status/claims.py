"""The condition ClaimsServed: PersistentVolumeClaims without a pod, what may be on them, and what to do.

A volume cannot be read without its pod, so nobody knows whether there is anything on it.
"""

from collections.abc import Iterable
from typing import Final

from postboat.model.verdict import Reason
from postboat.status.conditions import Condition
from postboat.status.observation import Workload

TYPE: Final = "ClaimsServed"
_MOST_NAMED: Final = 5
_SAID: Final = {
    "smtp": "mail that nobody delivers may wait on {0}: raise spec.smtp.replicas until its queue is empty, then lower"
    " it and delete the claim",
    "store": "mail may be on {0}: raise spec.storage.shards to have it served, or delete the claim when nobody needs"
    " it",
}


def condition(workloads: Iterable[Workload]) -> Condition | None:
    """Return the condition ClaimsServed; None while no workload is known."""
    known = sorted(workloads, key=lambda workload: workload.name)
    if not known:
        return None
    told = [
        _SAID[workload.name].format(_few(workload.unserved))
        for workload in known
        if workload.unserved and workload.name in _SAID
    ]
    if not told:
        message = "Every claim has its pod, or is to have it."
        return Condition(TYPE, holds=True, reason=Reason.CLAIMS_SERVED, message=message)
    message = f"PersistentVolumeClaims without a pod: {'; '.join(told)}."
    return Condition(TYPE, holds=False, reason=Reason.CLAIM_WITHOUT_POD, message=message)


def _few(names: tuple[str, ...]) -> str:
    more = f" and {len(names) - _MOST_NAMED} more" if len(names) > _MOST_NAMED else ""
    return ", ".join(names[:_MOST_NAMED]) + more
