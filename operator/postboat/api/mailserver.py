"""A mail platform: host name, TLS, replicas, storage, protocols, limits, and the defaults of its mailboxes.

Everything but the host name may be left out.
"""

from enum import StrEnum
from typing import Annotated, Final

from pydantic import Field, Strict

from postboat.api.accounts import Accounts
from postboat.api.base import Model, Rule
from postboat.api.exposure import DnsPublication, FilterWebInterface, Monitoring, ProxyProtocol, Service, Tls
from postboat.api.listing import AS_SET
from postboat.api.mailaddress import Destination
from postboat.api.pods import Pods
from postboat.api.values import (
    Duration,
    EmailAddress,
    Flag,
    HostName,
    Junk,
    Network,
    ObjectName,
    Quantity,
    ReclaimPolicy,
    Replicas,
    SecretKeyRef,
    Size,
    Switch,
    Url,
)


class ImapProtocol(StrEnum):
    """The protocols that mail is read and scripts are kept with."""

    IMAP = "IMAP"
    POP3 = "POP3"
    MANAGE_SIEVE = "ManageSieve"


class Volume(Model):
    """A volume for each pod of a workload."""

    size: Size | None = None
    """Size of each volume, like 20Gi; 2Gi (queue) or 1Gi (Valkey) when absent. It never changes."""
    storage_class_name: ObjectName | None = None
    """StorageClass of the volumes; the cluster's default when absent. It never changes."""


class Smtp(Model):
    """How mail is received, submitted and sent on."""

    replicas: Replicas | None = None
    """Number of Postfix pods; 1 when absent."""
    queue: Volume | None = None
    """Volume of each pod for the queue."""
    relay_from: Annotated[tuple[Network, ...], Field(max_length=256), AS_SET] = ()
    """Addresses that may send without authentication and without any filter, like a printer. A last resort."""
    trusted_networks: Annotated[tuple[Network, ...], Field(max_length=256), AS_SET] = ()
    """Networks that may send without authentication, and whose mail is no spam. The pod network is never one of them by
    itself."""
    auth_on_port_25: Flag | None = None
    """Let clients authenticate on port 25 too, after STARTTLS; false when absent."""
    enforce_sender_login: Flag | None = None
    """Accept only sender addresses that belong to the login. False when absent: a login may then send as anybody,
    other users of this server too, and with an address of a MailDomain the mail is signed (DKIM) as if that person
    had sent it. The log of the smtp pods has the login beside the sender of each message."""
    hide_client_address: Flag | None = None
    """Leave the address and the HELO name of who submits on 587 or 465 out of Received; false when absent. The log of
    the smtp pods has them as before."""
    helo: HostName | None = None
    """Name for HELO when the host name is not in the public DNS; hostname when absent."""
    message_size_limit: Size | None = None
    """The largest message, like 50Mi; 20Mi when absent."""
    queue_lifetime: Duration | None = None
    """How long delivery is tried before a message is returned; 4d when absent."""
    copy_all_to: EmailAddress | None = None
    """Address that gets a hidden copy of all mail, in and out. In some countries this is against privacy laws."""


class Imap(Model):
    """How mail is read."""

    replicas: Replicas | None = None
    """Number of pods at the edge for IMAP, POP3 and ManageSieve; 1 when absent."""
    protocols: Annotated[tuple[ImapProtocol, ...], Field(min_length=1, max_length=3), AS_SET] = ()
    """IMAP, POP3, ManageSieve; all of them when absent."""
    allow_clear_text: Flag | None = None
    """Accept passwords without TLS. Not for production; false when absent."""
    log_actions: Flag | None = None
    """Log what users do with their mail: user, action, folder, message; false when absent."""
    move_deleted_to_trash: Flag | None = None
    """Move deleted mail to Trash, for Outlook; false when absent."""
    max_connections_per_user_ip: Annotated[int, Strict(), Field(ge=1, le=10000)] | None = None
    """Connections that one user may hold from one address; 12 when absent."""


class Storage(Model):
    """Where mail is kept."""

    shards: Replicas | None = None
    """Number of store pods; a mailbox lives on one of them and stays there; 1 when absent."""
    size: Size | None = None
    """Size of each volume, like 100Gi; 10Gi when absent. It never changes."""
    storage_class_name: ObjectName | None = None
    """StorageClass of the volumes; the cluster's default when absent. It never changes."""


class Filter(Model):
    """The filter of all mail."""

    replicas: Replicas | None = None
    """Number of Rspamd pods; 1 when absent."""
    policy: ObjectName | None = None
    """Name of the FilterPolicy for all mail; a cautious built-in policy when absent."""
    web_interface: FilterWebInterface | None = None
    """The web interface of Rspamd; closed when absent."""


class Signatures(Model):
    """Where virus signatures come from."""

    urls: Annotated[tuple[Url, ...], Field(max_length=16), AS_SET] = ()
    """Further files with signatures."""
    mirror: Url | None = None
    """Mirror of the official signatures; that of ClamAV when absent."""
    official: Flag | None = None
    """Load the official signatures; true when absent."""
    interval: Duration | None = None
    """Time between two updates, like 2h."""


class AntivirusService(Model):
    """The pods that search for viruses."""

    replicas: Replicas | None = None
    """Number of ClamAV pods; 1 when absent."""
    signatures: Signatures | None = None
    """Where virus signatures come from."""
    size: Size | None = None
    """Size of each volume for signatures."""
    storage_class_name: ObjectName | None = None
    """StorageClass of the volumes; the cluster's default when absent. It never changes."""


class Resolver(Model):
    """A DNS resolver of the platform's own, for block lists and DANE."""

    enabled: Flag | None = None
    """Run a resolver; false when absent."""
    forward_to: Annotated[tuple[Network, ...], Field(max_length=8), AS_SET] = ()
    """Servers to ask instead of the root servers."""


class MailboxDefaults(Model):
    """What counts for each mailbox that says nothing else."""

    quota: Quantity | None = None
    """Space for mail, like 2Gi; no limit when absent or "0"."""
    quota_warning: Annotated[int, Strict(), Field(ge=1, le=99)] | None = None
    """Percentage of the quota from which on a user is warned by a message; 90 when absent."""
    junk: Junk | None = None
    """What happens to mail that the filter has flagged as spam."""
    group_addresses: Switch | None = None
    """Enabled makes GROUP@DOMAIN an address of every group that does not say otherwise; Disabled when absent."""
    reclaim_policy: ReclaimPolicy | None = None
    """Retain keeps the mail of a deleted Mailbox, Delete erases it; Retain when absent."""
    public_creators: Annotated[tuple[ObjectName, ...], Field(max_length=256), AS_SET] = ()
    """Names of Mailboxes of type User or Group whose people may make public mailboxes over IMAP; nobody when absent."""


class MasterUser(Model):
    """A user who may log in as another user: john*root with the password of the master user."""

    password_secret: SecretKeyRef
    """Secret with the password of the master user, plain or hashed."""


def _stays(path: str) -> Rule:
    steps = path.split(".")
    present = " && ".join(f"has(self.{'.'.join(steps[: depth + 1])})" for depth in range(len(steps)))
    new = f"({present} ? self.{path} : '')"
    return Rule(
        cel=f"{new} == {new.replace('self.', 'oldSelf.')}",
        message=f"{path} never changes, since volumes keep their class: make a new MailServer and migrate",
        field=steps[0],
    )


def _load_balancer(which: str) -> str:
    return f"has({which}.service) && has({which}.service.type) && {which}.service.type == 'LoadBalancer'"


def _families(which: str) -> str:
    return f"has({which}.service) && has({which}.service.ipFamilies) && size({which}.service.ipFamilies) > 0"


_CLASS: Final = "(has(self.service.loadBalancerClass) ? self.service.loadBalancerClass : '')"
_SERVICE_STAYS: Final = (
    Rule(
        cel=(
            f"!({_load_balancer('self')}) || !({_load_balancer('oldSelf')}) "
            f"|| {_CLASS} == {_CLASS.replace('self.', 'oldSelf.')}"
        ),
        message=(
            "service.loadBalancerClass never changes while the type is LoadBalancer: set type ClusterIP first, and then"
            " both; the Services get other addresses with it"
        ),
        field="service",
    ),
    Rule(
        cel=(
            f"!({_families('self')}) || !({_families('oldSelf')}) "
            "|| self.service.ipFamilies[0] == oldSelf.service.ipFamilies[0]"
        ),
        message="the first of service.ipFamilies never changes: add the other one behind it",
        field="service",
    ),
)
_CLASSES: Final = (
    "storage.storageClassName",
    "smtp.queue.storageClassName",
    "valkey.storageClassName",
    "antivirus.storageClassName",
    "fetch.storageClassName",
)


class MailServerSpec(Model):
    """What a mail platform should be."""

    hostname: HostName
    """Full name of the server for clients and other servers, like mail.example.com."""
    tls: Tls | None = None
    """Certificates; a self-signed one when absent."""
    service: Service | None = None
    """How the Services for clients (SMTP and IMAP) are reached."""
    proxy_protocol: ProxyProtocol | None = None
    """Load balancers that tell the client's address by PROXY protocol."""
    smtp: Smtp | None = None
    """How mail is received, submitted and sent on."""
    imap: Imap | None = None
    """How mail is read."""
    storage: Storage | None = None
    """Where mail is kept."""
    filter: Filter | None = None
    """The filter of all mail."""
    antivirus: AntivirusService | None = None
    """The pods that search for viruses."""
    valkey: Volume | None = None
    """Volume for the memory of the filter."""
    fetch: Volume | None = None
    """Volume in which connectors remember what they have seen."""
    resolver: Resolver | None = None
    """A DNS resolver of the platform's own."""
    mailboxes: MailboxDefaults | None = None
    """What counts for each mailbox that says nothing else."""
    postmaster: Destination | None = None
    """Where mail to postmaster goes in every local domain, unless a Mailbox or a MailAddress has that name."""
    master_user: MasterUser | None = None
    """A user who may log in as another user; nobody when absent."""
    accounts: Accounts | None = None
    """Where accounts come from besides Mailbox objects."""
    dns: DnsPublication | None = None
    """How DNS records are published."""
    monitoring: Monitoring | None = None
    """Objects for a Prometheus operator."""
    pods: Pods | None = None
    """Resources and placement of each workload: smtp, imap, store, filter, valkey, antivirus, fetch, resolver."""
    paused: Flag | None = None
    """Change nothing in the cluster for now; statuses tell what would change."""

    constraints = (*(_stays(path) for path in _CLASSES), *_SERVICE_STAYS)
