"""The five components of a platform: pods, containers, ports, folders and rights, each stated once.

Workloads and Services follow from this table; the port numbers are in `agent/ports.py`.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from postboat.agent import ports
from postboat.agent.ports import AGENT, Port
from postboat.model.platform import Platform, Volume

POSTFIX_CAPABILITIES: Final = ("CHOWN", "DAC_OVERRIDE", "FOWNER", "KILL", "SETGID", "SETUID")


@dataclass(frozen=True, slots=True)
class Container:
    """One container of a component."""

    name: str
    image: str
    """Key in `Environment.images`."""
    unit: str
    """The unit with its files, see `render.units.UNITS`."""
    uid: int
    """`runAsUser` and `runAsGroup`; 0 for Postfix only."""
    ports: tuple[Port, ...]
    """Ports of the daemon, without that of the agent."""
    folders: Mapping[str, str]
    """Writable folders of its own, as `emptyDir`: name of the volume and path."""
    requests: Mapping[str, str]
    """Default resource requests: `cpu` and `memory`, as Kubernetes quantities."""
    memory: str
    """Default memory limit, as a Kubernetes quantity; docs/installation.md has what was measured."""
    shard_key: str = ""
    """Which file of the directory shards it mounts: `smtp`, `edge` or `store`; "" for none."""
    agent: int = AGENT.number
    """Port of its agent."""
    capabilities: tuple[str, ...] = ()
    """Linux capabilities that it keeps."""
    suffix: str = ""
    """Prefix of the names of its volumes and its agent port; "" for the main container.

    These names are unique in a pod.
    """
    sidecar: bool = False
    """Whether it starts before the other containers of its pod and ends after them."""
    environment: Mapping[str, str] = field(default_factory=dict)
    """Environment variables beside those that all agents get."""


@dataclass(frozen=True, slots=True)
class Claim:
    """The volumeClaimTemplate of a component."""

    name: str
    path: str
    """Where it is mounted."""
    container: str
    """Name of the container that mounts it."""


@dataclass(frozen=True, slots=True)
class Component:
    """One StatefulSet and its headless Service."""

    name: str
    governing: str
    """Suffix of the name of the headless Service."""
    containers: tuple[Container, ...]
    grace: int
    """`terminationGracePeriodSeconds`."""
    group: int | None = None
    """Uid of all containers and group of the volumes (`fsGroup`); None for pods with Postfix, which needs root."""
    claim: Claim | None = None
    shared: Mapping[str, str] = field(default_factory=dict)
    """Folders that all containers of the pod share: name of the volume and path."""


_DOVECOT_FOLDERS: Final = {"dovecot": "/run/dovecot"}

_POSTFIX: Final = Container(
    name="postfix",
    image="postfix",
    unit="smtp",
    uid=0,
    ports=(*ports.CLIENTS["smtp"], ports.INNER),
    folders={"data": "/var/lib/postfix"},
    requests={"cpu": "50m", "memory": "96Mi"},
    memory="2Gi",
    shard_key="smtp",
    capabilities=POSTFIX_CAPABILITIES,
)
_EDGE: Final = Container(
    name="edge",
    image="dovecot",
    unit="smtp-edge",
    uid=5000,
    ports=(),
    folders=_DOVECOT_FOLDERS,
    requests={"cpu": "20m", "memory": "64Mi"},
    memory="1Gi",
    shard_key="edge",
    agent=ports.EDGE_AGENT.number,
    suffix="edge-",
    sidecar=True,  # logins still work while Postfix drains
)
_IMAP: Final = Container(
    name="dovecot",
    image="dovecot",
    unit="imap",
    uid=5000,
    ports=(*ports.CLIENTS["imap"], *ports.CLIENTS["pop3"], *ports.CLIENTS["sieve"]),
    folders=_DOVECOT_FOLDERS,
    requests={"cpu": "50m", "memory": "96Mi"},
    memory="1Gi",
    shard_key="edge",
)
_STORE: Final = Container(
    name="dovecot",
    image="dovecot",
    unit="store",
    uid=5000,
    ports=(ports.LMTP, ports.LMTP_ONE_DOMAIN, *ports.LOGINS, ports.QUOTA),
    folders=_DOVECOT_FOLDERS,
    requests={"cpu": "100m", "memory": "128Mi"},
    memory="4Gi",
    shard_key="store",
    environment={"POSTBOAT_MAIL": "/srv/mail", "POSTBOAT_OPERATOR_PORT": str(ports.INVENTORY.number)},
)
_RSPAMD: Final = Container(
    name="rspamd",
    image="rspamd",
    unit="filter",
    uid=5001,
    ports=(ports.MILTER, ports.CONTROLLER),
    folders={"rspamd": "/run/rspamd", "cache": "/var/lib/rspamd"},
    requests={"cpu": "100m", "memory": "384Mi"},
    memory="1Gi",
)
_VALKEY: Final = Container(
    name="valkey",
    image="valkey",
    unit="valkey",
    uid=5002,
    ports=(ports.VALKEY,),
    folders={},
    requests={"cpu": "20m", "memory": "48Mi"},
    memory="2Gi",
)

SMTP: Final = Component(
    "smtp",
    "smtp-pods",
    (_POSTFIX, _EDGE),
    grace=60,
    claim=Claim("queue", "/var/spool/postfix", "postfix"),
    shared={"sockets": "/run/edge"},
)
IMAP: Final = Component("imap", "imap-pods", (_IMAP,), grace=60, group=5000)
STORE: Final = Component("store", "store", (_STORE,), grace=60, group=5000, claim=Claim("mail", "/srv/mail", "dovecot"))
FILTER: Final = Component("filter", "filter-pods", (_RSPAMD,), grace=75, group=5001)
VALKEY: Final = Component(
    "valkey", "valkey-pods", (_VALKEY,), grace=30, group=5002, claim=Claim("data", "/var/lib/valkey", "valkey")
)

COMPONENTS: Final = (VALKEY, STORE, FILTER, IMAP, SMTP)
"""In the order in which a platform starts best."""


def replicas(platform: Platform, component: Component) -> int:
    """Return the number of pods of a component."""
    return {
        "smtp": platform.smtp.replicas,
        "imap": platform.imap.replicas,
        "store": platform.stores.replicas,
        "filter": platform.filter_replicas,
        "valkey": 1,
    }[component.name]


def volume(platform: Platform, component: Component) -> Volume | None:
    """Return the volume that each pod of a component gets; None for a component without one."""
    return {"smtp": platform.smtp.queue, "store": platform.stores.mail, "valkey": platform.valkey}.get(component.name)
