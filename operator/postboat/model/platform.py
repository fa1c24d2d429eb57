"""The mail platform of one MailServer as plain, checked, effective values.

Everything below this layer works from a Platform alone and never looks at a custom resource again.
"""

from bisect import bisect_left
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

from postboat.agent.deliveries import PREFIX
from postboat.model import names


class Protocol(StrEnum):
    """The ways a client can reach a mailbox, in the words of Dovecot."""

    IMAP = "imap"
    POP3 = "pop3"
    SMTP = "smtp"
    SIEVE = "sieve"


READING: Final = (Protocol.IMAP, Protocol.POP3, Protocol.SIEVE)
"""The ways to read mail and to manage scripts, which the imap pods offer."""


class WantedKind(StrEnum):
    """The three Secrets that the platform makes for itself."""

    INTERNAL = "internal"
    SELF_SIGNED = "selfsigned"
    DKIM = "dkim"


@dataclass(frozen=True, slots=True)
class Wanted:
    """A Secret that the platform lacks, or whose entries are worn out; the controller makes them and keeps good ones.

    `hosts` are the DNS names a certificate must carry, `selector` names the DKIM key. The entries of each kind:
    internal: `ca.crt` (the signer first, then others that are trusted), `ca.key`; before the signer ends, `next.crt`
    and `next.key` (who signs next, and is trusted already); `store.crt`, `store.key` (server, for `hosts`); `smtp.crt`,
    `smtp.key` (server, for `smtp_hosts`); `client.crt`, `client.key` (client), all three signed by the CA;
    `master-password`, `hash-key`, `valkey-password`, `rspamd-password`, `rspamd-enable-password`, `operator-token`
    (ASCII letters and digits);
    selfsigned: `ca.crt`, `tls.crt`, `tls.key`; dkim: `SELECTOR.key` (RSA 2048, PEM, PKCS#8).
    """

    kind: WantedKind
    name: str
    hosts: tuple[str, ...] = ()
    smtp_hosts: tuple[str, ...] = ()
    selector: str = ""
    why: str = ""


class CertificateSource(StrEnum):
    """Where the certificate that clients see comes from."""

    SECRET = "Secret"  # noqa: S105 -- a source, not a password
    LAST_GOOD = "LastGood"
    SELF_SIGNED = "SelfSigned"


@dataclass(frozen=True, slots=True)
class Certificate:
    """The chain and the key that clients see, both PEM."""

    source: CertificateSource
    chain: bytes
    key: bytes


@dataclass(frozen=True, slots=True)
class InternalSecrets:
    """What the parts of the platform use to know each other; made once, never shown."""

    ca: bytes
    store_chain: bytes
    store_key: bytes
    client_chain: bytes
    client_key: bytes
    smtp_chain: bytes
    smtp_key: bytes
    master_password: str
    hash_key: bytes
    valkey_password: str
    rspamd_password: str
    rspamd_enable_password: str
    operator_token: str


@dataclass(frozen=True, slots=True)
class Volume:
    """A claim of each pod of a StatefulSet; no class means the default class of the cluster."""

    size: str
    storage_class: str | None = None
    selector: Mapping[str, str] | None = None
    """Of a StatefulSet that exists: by which labels it selects its pods, and those of its claims; both never change."""
    labels: Mapping[str, str] | None = None


@dataclass(frozen=True, slots=True)
class ClientService:
    """How both client Services are exposed."""

    type: str
    annotations: tuple[tuple[str, str], ...] = ()
    external_traffic_policy: str | None = None
    load_balancer_class: str | None = None
    source_ranges: tuple[str, ...] = ()
    family_policy: str | None = None
    families: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Scheduling:
    """What a MailServer asks for the pods of one component, as Kubernetes spells it; empty means default."""

    resources: Mapping[str, object] | None = None
    node_selector: Mapping[str, str] | None = None
    tolerations: tuple[Mapping[str, object], ...] = ()
    affinity: Mapping[str, object] | None = None
    priority_class: str | None = None
    spread: tuple[Mapping[str, object], ...] = ()
    sidecar_resources: Mapping[str, object] | None = None
    labels: Mapping[str, str] | None = None
    annotations: Mapping[str, str] | None = None
    image_pull_secrets: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Smtp:
    """The receiving and sending side."""

    replicas: int
    queue: Volume
    message_size: int
    queue_lifetime: int
    helo: str
    trusted_networks: tuple[str, ...] = ()
    hide_client: bool = False
    """Whether mail says nothing of where its submitter was."""


@dataclass(frozen=True, slots=True)
class Imap:
    """The side of the clients that read mail."""

    replicas: int
    protocols: tuple[Protocol, ...]
    allow_clear_text: bool
    connections: int
    log_actions: bool = False
    deleted_to_trash: bool = False
    master_password: str = ""
    """What the password of the master user is checked against; empty when there is none."""


@dataclass(frozen=True, slots=True)
class Store:
    """The pods with the mailboxes: `shards` take new ones, `replicas` also counts those that still hold some.

    `placed` is the highest on which a mailbox in force lives; -1 when there is none.
    """

    shards: int
    replicas: int
    mail: Volume
    quota_warning: int = 90
    """The percentage of a quota from which on its user is warned."""
    placed: int = -1


@dataclass(frozen=True, slots=True)
class Dkim:
    """The key that signs the mail of a domain; `record` is the text of its DNS record."""

    selector: str
    key: bytes
    record: str
    secret: str


@dataclass(frozen=True, slots=True)
class Relay:
    """The server that mail of a domain is handed to; `authority` are certificates (PEM), empty means public ones.

    With `waits`, the authority that is asked for is not there, so that no certificate can be right. `rank` tells the
    authorities apart by which domains trust the same host and port.
    """

    host: str
    port: int
    tls: str
    authority: bytes = b""
    waits: bool = False
    rank: int = 0


@dataclass(frozen=True, slots=True)
class RelayHost:
    """The next hop for mail of `senders` (addresses and @domains in every form), or for all other mail (`default`).

    `login` says that it is never spoken to without one. `authority` are certificates (PEM) for the level Verified,
    empty means public ones. While `waits` tells a reason, mail waits in the queue.
    """

    resource: str
    host: str
    port: int
    tls: str
    implicit_tls: bool
    senders: tuple[str, ...]
    default: bool
    login: bool = False
    username: str = ""
    password: str = field(default="", repr=False)
    authority: bytes = b""
    waits: str = ""

    @property
    def transport(self) -> str:
        """The service of Postfix that delivers there; its socket is a file, whose path is bounded."""
        return f"{PREFIX}{names.bounded(self.resource, 60)}"

    @property
    def endpoint(self) -> str:
        """Host and port as they are written in addresses; an IPv6 address stands in brackets."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


@dataclass(frozen=True, slots=True)
class Domain:
    """A domain; `name` has A-labels, `spellings` are all forms a client may write. With `relay`, others deliver it.

    `catch_all` and `copies` are finished lists of those who get mail to unknown recipients, and copies of all mail;
    the two fields before them are what the MailDomain names.
    """

    resource: str
    name: str
    spellings: tuple[str, ...]
    dkim: Dkim | None
    relay: Relay | None = None
    catch_all_mailbox: str = ""
    copy_to: tuple[str, ...] = ()
    catch_all: tuple[str, ...] = ()
    copies: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Junk:
    """What happens to spam: whether it goes to the folder Junk, and how many seconds mail stays there."""

    move: bool = True
    retention: int = 15 * 86_400


UNPLACED: Final = -1
"""In the place of a store: mail is taken and waits in the queue, for a store may hold older mail of that name."""


@dataclass(frozen=True, slots=True)
class Account:
    """A mailbox of a person: who may log in how, and on which store it lives (UNPLACED while nobody knows)."""

    resource: str
    user: str
    password: str
    access: tuple[Protocol, ...]
    shard: int
    quota: int
    """Bytes that mail may take; 0 is no limit."""
    junk: Junk = field(default_factory=Junk)
    groups: tuple[str, ...] = ()
    """User names of all groups the person is in, directly or through other groups; sorted."""
    creator: bool = False
    """Whether the person may make public mailboxes over IMAP."""
    uid: str = ""
    """The uid of the Mailbox object: another one under the same name is another person's."""


@dataclass(frozen=True, slots=True)
class Group:
    """A group: it has no storage; `members` are the user names of all its people, those of inner groups too."""

    resource: str
    user: str
    members: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Owner:
    """Who owns a public mailbox, by user name, and with which rights: Read, ReadWrite or Full."""

    user: str
    group: bool
    rights: str


PUBLIC_STORE: Final = 0
"""The store of all public mailboxes: stores share nothing, and people of other stores visit this one."""


@dataclass(frozen=True, slots=True)
class PublicMailbox:
    """A mailbox that nobody logs in to: its owners see it among their own folders."""

    resource: str
    user: str
    shard: int
    quota: int = 0
    junk: Junk = field(default_factory=Junk)
    owners: tuple[Owner, ...] = ()


Mailbox = Account | Group | PublicMailbox


@dataclass(frozen=True, slots=True)
class Limit:
    """The mailbox that a message must fit into for an address to take it, by user name, and the store that keeps it."""

    user: str
    store: int


@dataclass(frozen=True, slots=True)
class Route:
    """An address with the finished list of those who get its mail: final mailboxes and addresses elsewhere, sorted.

    The empty domain is all local domains that have no route of their own under this local part. Without targets the
    address exists, but mail to it is refused. Only where the mailbox of that name gets a copy, or nobody else than one
    mailbox does, can there be a limit: who shares an address with a full mailbox gets his mail all the same.
    `owner` is the user whose own address it is, empty for one of several or of nobody: only owners answer from it.
    """

    local: str
    domain: str
    targets: tuple[str, ...]
    internal: bool
    limit: Limit | None = None
    owner: str = ""


@dataclass(frozen=True, slots=True)
class Place:
    """What Postfix has to know of a mailbox that keeps mail: its store (UNPLACED as ever), and whether it may send."""

    user: str
    store: int
    sends: bool = False


@dataclass(frozen=True, slots=True)
class Shard:
    """What one directory shard holds, each sorted by user; an unchanged shard stays the same object.

    A user in one domain is called by his address, one in all local domains by the local part alone. Mailboxes are in
    the shard of their user; routes and places are in that of their local part, so that an address goes from one mailbox
    to another at one moment.
    """

    accounts: tuple[Account, ...] = ()
    groups: tuple[Group, ...] = ()
    publics: tuple[PublicMailbox, ...] = ()
    routes: tuple[Route, ...] = ()
    places: tuple[Place, ...] = ()
    withheld: tuple[str, ...] = ()
    """Users in one domain with whose address nobody may log in: groups, and Mailboxes that are not in force."""


@dataclass(frozen=True, slots=True)
class Environment:
    """What is true of the cluster, not of one platform; the version of the operator is deliberately no part of it."""

    operator_namespace: str
    cluster_domain: str
    images: Mapping[str, str]
    image_pull_secrets: tuple[str, ...] = ()
    cluster_networks: tuple[str, ...] = ()
    """Networks in CIDR notation that are part of the cluster; mail is never delivered there as to the internet."""


@dataclass(frozen=True, slots=True)
class Platform:
    """Everything about one mail platform that files and objects follow from."""

    name: str
    namespace: str
    uid: str
    environment: Environment
    hostname: str
    certificate: Certificate
    internal: InternalSecrets
    client_service: ClientService
    smtp: Smtp
    imap: Imap
    store: Store
    filter_replicas: int
    valkey: Volume
    scheduling: Mapping[str, Scheduling]
    domains: tuple[Domain, ...]
    directory: tuple[Shard, ...]
    relay_hosts: tuple[RelayHost, ...] = ()

    def fqdn(self, service: str) -> str:
        """Give the full name of a Service of the platform, since daemons look up without search domains."""
        return f"{self.name}-{service}.{self.namespace}.svc.{self.environment.cluster_domain}"

    def account(self, user: str) -> Account | None:
        """Find the account of a user name."""
        found = self.mailbox(user)
        return found if isinstance(found, Account) else None

    def mailbox(self, user: str) -> Mailbox | None:
        """Find the mailbox of a user name, of whatever type it is."""
        shard = self.directory[names.shard(user)]
        kinds: tuple[Sequence[Mailbox], ...] = (shard.accounts, shard.groups, shard.publics)
        for mailboxes in kinds:
            place = bisect_left(mailboxes, user, key=lambda mailbox: mailbox.user)
            if place < len(mailboxes) and mailboxes[place].user == user:
                return mailboxes[place]
        return None

    def domain(self, name: str) -> Domain | None:
        """Find a domain by its normalised name."""
        place = bisect_left(self.domains, name, key=lambda domain: domain.name)
        found = self.domains[place] if place < len(self.domains) else None
        return found if found is not None and found.name == name else None

    @property
    def local_domains(self) -> tuple[Domain, ...]:
        """The domains whose mail is delivered here."""
        return tuple(domain for domain in self.domains if domain.relay is None)

    @property
    def next_hops(self) -> frozenset[tuple[str, int]]:
        """Host and port of every server that mail is handed to by name, beside those that the DNS tells."""
        relays = ((domain.relay.host, domain.relay.port) for domain in self.domains if domain.relay is not None)
        return frozenset((*relays, *((host.host, host.port) for host in self.relay_hosts)))

    def store_host(self, shard: int) -> str:
        """Give the full name of the pod that holds a mailbox shard."""
        return f"{self.name}-store-{shard}.{self.fqdn('store')}"
