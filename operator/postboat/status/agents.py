"""What the agents report about the newest configuration, as text for the status of the MailServer.

A refusal is a verdict of the daemon's own validator. Every other failure may be transient and is tried again.
"""

from collections.abc import Iterable, Mapping
from typing import Final

from postboat.agent.errors import Failure
from postboat.model.verdict import Reason
from postboat.status.conditions import Condition
from postboat.status.observation import Workload

_LIMITS: Final = "a busy node, or too small limits in spec.pods"
_SAID: Final[Mapping[str, str]] = {
    Failure.INVALID_CONFIGURATION: "a daemon refused the newest configuration",
    Failure.NOT_VALIDATED: "the validator of the newest configuration was killed or ran out of time"
    f" ({_LIMITS}) and is run again",
    Failure.OUT_OF_MEMORY: "processes of the container are OOM-killed, so the newest configuration is not in force;"
    " raise the memory limit in spec.pods",
    Failure.TABLE_UPDATE_FAILED: f"the tables of addresses could not be written ({_LIMITS}), which is tried again",
    Failure.DAEMON_FAILED: "the newest configuration did not come in force, which is tried again",
    Failure.INCOMPLETE_MOUNT: "files or directory shards that belong to the configuration are missing in the pod",
}
_GOES_ON: Final = "it goes on with the configuration before"
_NOTHING: Final = "no configuration is in force, so it does not serve"


def unsettled(workloads: Iterable[Workload]) -> Condition | None:
    """Return WorkloadsReady=False where an agent reports that it could not load the newest configuration; else None."""
    complaining = [workload for workload in workloads if workload.error]
    if not complaining:
        return None
    refused = any(workload.error == Failure.INVALID_CONFIGURATION for workload in complaining)
    reason = Reason.CONFIGURATION_REFUSED if refused else Reason.CONFIGURATION_DELAYED
    told = "; ".join(_sentence(workload) for workload in complaining)
    message = f"{told}. The log of the container tells more."
    return Condition("WorkloadsReady", holds=False, reason=reason, message=message)


def _sentence(workload: Workload) -> str:
    said = _SAID.get(workload.error, "the newest configuration is not in force")
    return f"{workload.name}: {said} ({workload.error}); {_GOES_ON if workload.goes_on else _NOTHING}"


def waiting(workloads: Iterable[Workload], generation: int) -> str:
    """Return which replicas have not loaded a generation yet, as a sentence.

    Args:
        generation: `metadata.generation` of the object that waits.
    """
    behind = [one for one in workloads if one.current < one.desired]
    told = " and ".join(f"{one.desired - one.current} of {one.desired} replicas of {one.name}" for one in behind)
    return f"Waiting for {told or 'all replicas'} to load generation {generation}."
