"""The effective settings of a MailServer: its spec, and defaults for what it leaves out.

Defaults are here and not in the schema, so that GitOps tools see no difference between spec and object.
"""

from collections.abc import Mapping
from typing import Any, Final

from postboat.api import mailserver as api
from postboat.api import values
from postboat.api.duration import parse_duration
from postboat.api.exposure import Service, ServiceType, TrafficPolicy
from postboat.api.pods import PodSettings, Workload
from postboat.api.quantity import canonical, parse_quantity
from postboat.api.resource import Resource
from postboat.api.values import Switch
from postboat.model.addresses import Destination
from postboat.model.dependencies import Policy
from postboat.model.platform import ClientService, Imap, Junk, Protocol, Scheduling, Smtp, Stores, Volume

COMPONENTS: Final = ("smtp", "imap", "store", "filter", "valkey")
"""Names of the components, as keys of `spec.pods`."""
_MESSAGE_SIZE: Final = "20Mi"
_QUEUE_LIFETIME: Final = "4d"
_QUEUE_SIZE: Final = "2Gi"
_MAIL_SIZE: Final = "10Gi"
_VALKEY_SIZE: Final = "1Gi"
_CONNECTIONS: Final = 12
_QUOTA_WARNING: Final = 90
_LARGEST_QUOTA: Final = 2**53
_LONGEST_RETENTION: Final = 10**9
_PROTOCOLS: Final = {
    api.ImapProtocol.IMAP: Protocol.IMAP,
    api.ImapProtocol.POP3: Protocol.POP3,
    api.ImapProtocol.MANAGE_SIEVE: Protocol.SIEVE,
}


def paused(server: Resource) -> bool:
    """Return whether a MailServer asks for no changes (`spec.paused`)."""
    return isinstance(server.spec, api.MailServerSpec) and bool(server.spec.paused)


def smtp(spec: api.MailServerSpec) -> Smtp:
    """Return the settings for receiving and sending mail; sizes in bytes, times in seconds."""
    given = spec.smtp or api.Smtp()
    return Smtp(
        replicas=given.replicas or 1,
        queue=_volume(given.queue, _QUEUE_SIZE),
        message_size=parse_quantity(given.message_size_limit or _MESSAGE_SIZE),
        queue_lifetime=parse_duration(given.queue_lifetime or _QUEUE_LIFETIME),
        helo=(given.helo or spec.hostname).lower(),
        trusted_networks=tuple(sorted(given.trusted_networks)),
        hide_client=bool(given.hide_client_address),
    )


def policy(spec: object) -> Policy:
    """Return what a MailServer says about all names.

    Args:
        spec: The spec of a MailServer; a Refusal gives the defaults.
    """
    if not isinstance(spec, api.MailServerSpec):
        return Policy()
    to = spec.postmaster
    return Policy(
        group_addresses=spec.mailboxes is not None and spec.mailboxes.group_addresses is Switch.ENABLED,
        postmaster=None if to is None else Destination(to.mailbox or "", to.address or ""),
        hostname=spec.hostname.lower(),
        public_creators=spec.mailboxes.public_creators if spec.mailboxes is not None else (),
    )


def imap(spec: api.MailServerSpec) -> Imap:
    """Return the settings for reading mail."""
    given = spec.imap or api.Imap()
    return Imap(
        replicas=given.replicas or 1,
        protocols=tuple(_PROTOCOLS[name] for name in _PROTOCOLS if not given.protocols or name in given.protocols),
        allow_clear_text=bool(given.allow_clear_text),
        connections=given.max_connections_per_user_ip or _CONNECTIONS,
        log_actions=bool(given.log_actions),
        deleted_to_trash=bool(given.move_deleted_to_trash),
    )


def stores(spec: api.MailServerSpec) -> Stores:
    """Return the settings of the stores."""
    given = spec.storage or api.Storage()
    number = store_count(spec)
    warning = spec.mailboxes.quota_warning if spec.mailboxes is not None else None
    mail = Volume(given.size or _MAIL_SIZE, given.storage_class_name)
    return Stores(number, number, mail, warning or _QUOTA_WARNING)


def mailbox_defaults(spec: api.MailServerSpec) -> tuple[int, Junk]:
    """Return the quota in bytes (0: none) and the Junk settings for mailboxes that set none of their own."""
    given = spec.mailboxes or api.MailboxDefaults()
    return quota(given.quota, 0), junk(given.junk, Junk())


def quota(written: str | None, otherwise: int) -> int:
    """Return a quota in bytes; 0 means no quota.

    Args:
        written: A quantity such as `2Gi`; None when the object sets none.
        otherwise: Bytes that apply then; 0 means no quota.
    """
    return otherwise if written is None else min(parse_quantity(written), _LARGEST_QUOTA)


def junk(written: values.Junk | None, otherwise: Junk) -> Junk:
    """Return what happens to spam.

    Args:
        written: The settings of the object; None when it has none.
        otherwise: The settings for what `written` leaves out.
    """
    if written is None:
        return otherwise
    kept = written.retention
    return Junk(
        move=otherwise.move if written.move is None else written.move,
        retention=otherwise.retention if kept is None else min(parse_duration(kept), _LONGEST_RETENTION),
    )


def valkey_volume(spec: api.MailServerSpec) -> Volume:
    """Return the volume of Valkey."""
    return _volume(spec.valkey, _VALKEY_SIZE)


def store_count(spec: api.MailServerSpec) -> int:
    """Return the number of stores that take new mailboxes, at least 1."""
    return (spec.storage.shards if spec.storage is not None else None) or 1


def filter_replicas(spec: api.MailServerSpec) -> int:
    """Return the number of Rspamd pods, at least 1."""
    return (spec.filter.replicas if spec.filter is not None else None) or 1


def client_service(spec: api.MailServerSpec) -> ClientService:
    """Return how the client Services are exposed."""
    given = spec.service or Service()
    kind = given.type or ServiceType.CLUSTER_IP
    # Limits and blocks by client address are worth nothing, or hit everybody, where a node puts its own address there.
    policy = None if kind is ServiceType.CLUSTER_IP else given.external_traffic_policy or TrafficPolicy.LOCAL
    return ClientService(
        type=kind.value,
        annotations=tuple(sorted((given.annotations or {}).items())),
        external_traffic_policy=policy.value if policy is not None else None,
        load_balancer_class=given.load_balancer_class,
        source_ranges=tuple(sorted(given.load_balancer_source_ranges)),
        family_policy=given.ip_family_policy,
        families=tuple(given.ip_families),
    )


def scheduling(spec: api.MailServerSpec) -> Mapping[str, Scheduling]:
    """Return the pod settings by component."""
    return {name: _scheduling((spec.pods or {}).get(Workload(name))) for name in COMPONENTS}


def _scheduling(given: PodSettings | None) -> Scheduling:
    if given is None:
        return Scheduling()
    plain: dict[str, Any] = given.model_dump(mode="json", by_alias=True, exclude_none=True, exclude_defaults=True)
    return Scheduling(
        resources=_resources(plain.get("resources")),
        node_selector=plain.get("nodeSelector"),
        tolerations=tuple(plain.get("tolerations", ())),
        affinity=plain.get("affinity"),
        priority_class=plain.get("priorityClassName"),
        spread=tuple(plain.get("topologySpreadConstraints", ())),
        sidecar_resources=_resources(plain.get("sidecarResources")),
        labels=plain.get("labels"),
        annotations=plain.get("annotations"),
        image_pull_secrets=tuple(one["name"] for one in plain.get("imagePullSecrets", ())),
    )


def _resources(given: Mapping[str, Mapping[str, int | str]] | None) -> Mapping[str, Mapping[str, str]] | None:
    """Return each quantity in one form, so that another spelling of it restarts no pod."""
    if given is None:
        return None
    return {part: {name: canonical(value) for name, value in amounts.items()} for part, amounts in given.items()}


def _volume(given: api.Volume | None, size: str) -> Volume:
    volume = given or api.Volume()
    return Volume(volume.size or size, volume.storage_class_name)
