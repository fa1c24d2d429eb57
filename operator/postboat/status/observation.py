"""What was seen in the cluster, as far as a status shows it; the controller fills these in."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from postboat.model.retention.inventory import Orphan
from postboat.model.volumes import StoreVolume
from postboat.status.storage import Volume


@dataclass(frozen=True, slots=True)
class Workload:
    """The state of the pods of one component."""

    name: str
    """`smtp`, `imap`, `store`, `filter` or `valkey`."""
    desired: int
    """Number of replicas that the plan wants."""
    ready: int
    """Number of replicas that are ready."""
    current: int
    """Number of replicas that are ready and have loaded the newest plan."""
    error: str = ""
    """Why an agent has not loaded the newest configuration, a value of `agent.errors.Failure`; "" without an error."""
    goes_on: bool = True
    """Whether the container with that error still runs an earlier configuration."""
    volumes: tuple[Volume, ...] = ()
    """The volumes of its pods, as far as agents have reported them."""
    trouble: str = ""
    """Why a pod is missing or does not serve, with the cure; "" when nothing is known."""
    unserved: tuple[str, ...] = ()
    """Names of the PersistentVolumeClaims whose pods are gone and are not planned any more."""


@dataclass(frozen=True, slots=True)
class Observation:
    """The state of one platform: whether its objects are as planned, and its pods."""

    sync_error: str = ""
    """Why an object was not applied, a sentence without values of Secrets; "" when all were."""
    held: tuple[str, ...] | None = None
    """While `spec.paused` is set, the objects that differ from the plan as `KIND/NAME`; None when it is not set."""
    workloads: tuple[Workload, ...] = ()
    in_force: bool = False
    """Whether every replica of every workload has loaded the newest plan."""
    endpoints: Mapping[str, str] | None = None
    """Host name or IP address of the load balancers of the Services `smtp` and `imap`; None when unknown."""
    orphans: tuple[Orphan, ...] = ()
    """Mail without a Mailbox, as much of it as the status lists."""
    orphan_count: int | None = None
    """Number of orphans; None until every store has reported what it holds."""
    volumes: tuple[StoreVolume, ...] | None = None
    """Which volume each store should have; None until a store has reported the name of its volume."""


@dataclass(frozen=True, slots=True)
class Moment:
    """The time at which a status is written."""

    now: datetime
    """In UTC."""
