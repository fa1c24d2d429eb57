"""What was seen in the cluster, as far as a status tells it.

The controller fills these in; nothing here knows how.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from postboat.model.census import Orphan
from postboat.model.volumes import StoreVolume
from postboat.status.storage import Volume


@dataclass(frozen=True, slots=True)
class Workload:
    """The pods of one component (smtp, imap, store, filter, valkey): wanted, ready, ready with the newest plan."""

    name: str
    desired: int
    ready: int
    current: int
    error: str = ""
    """What kept an agent from the newest configuration, a word of agent.errors.Failure."""
    goes_on: bool = True
    """The container that said so has an earlier configuration in force."""
    volumes: tuple[Volume, ...] = ()
    """The volumes of its pods, as far as they have told."""
    trouble: str = ""
    """Why a pod is not there or does not serve, with the cure."""
    unserved: tuple[str, ...] = ()
    """The claims of pods that are gone and are not to come back."""


@dataclass(frozen=True, slots=True)
class Observation:
    """The state of one platform: whether its objects are as planned, and its pods.

    `sync_error` is a sentence without values of secrets; empty means that every object was applied.
    """

    sync_error: str = ""
    held: tuple[str, ...] | None = None
    """While spec.paused forbids to write: the objects that are not as planned. None means not paused."""
    workloads: tuple[Workload, ...] = ()
    in_force: bool = False
    """Every replica of every workload serves the newest configuration."""
    endpoints: Mapping[str, str] | None = None
    """Host or address at which clients reach smtp and imap."""
    orphans: tuple[Orphan, ...] = ()
    orphan_count: int | None = None
    """None while not every store has told what it holds."""
    volumes: tuple[StoreVolume, ...] | None = None
    """Which volumes the stores should have; None while none has told the name of the one it has."""


@dataclass(frozen=True, slots=True)
class Moment:
    """When a report is written; conditions that do not change keep their own time."""

    now: datetime
