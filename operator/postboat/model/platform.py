"""The mail platform of one MailServer as checked, effective values.

What is rendered depends on a Platform alone; no custom resource is read after it.

Conventions: a `user` is a user name, `local@domain` for one bound to a domain and the local part alone for one in all
local domains; a `resource` is the name of a custom resource.
"""

from bisect import bisect_left
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

from postboat.agent.deliveries import PREFIX
from postboat.model import names


class Protocol(StrEnum):
    """How a client reaches a mailbox, by the names that Dovecot uses."""

    IMAP = "imap"
    POP3 = "pop3"
    SMTP = "smtp"
    SIEVE = "sieve"


READING: Final = (Protocol.IMAP, Protocol.POP3, Protocol.SIEVE)
"""The protocols that the imap pods offer: to read mail and to manage scripts."""


class WantedKind(StrEnum):
    """The Secrets that the operator makes for a platform."""

    INTERNAL = "internal"
    SELF_SIGNED = "selfsigned"
    DKIM = "dkim"


@dataclass(frozen=True, slots=True)
class Wanted:
    """A Secret that is missing or has entries to renew; the controller makes these and keeps the good ones.

    Entries of each kind (certificates and keys are PEM):

    - internal: `ca.crt` (the CA that signs first, then others that are trusted) and `ca.key`; before that CA ends
      also `next.crt` and `next.key` (the CA that signs next and is trusted already); `store.crt` and `store.key`
      (server, for `hosts`); `smtp.crt` and `smtp.key` (server, for `smtp_hosts`); `client.crt` and `client.key`
      (client), all three signed by the CA; `master-password`, `hash-key`, `valkey-password`, `rspamd-password`,
      `rspamd-enable-password` and `operator-token` (ASCII letters and digits).
    - selfsigned: `ca.crt`, `tls.crt`, `tls.key`.
    - dkim: `SELECTOR.key` (RSA 2048, PKCS#8).
    """

    kind: WantedKind
    name: str
    """Name of the Secret."""
    hosts: tuple[str, ...] = ()
    """DNS names that the certificate must have."""
    smtp_hosts: tuple[str, ...] = ()
    """DNS names that `smtp.crt` must have."""
    selector: str = ""
    """DKIM selector; "" for other kinds."""
    why: str = ""
    """Why it has to be made or renewed, for logs and Events."""


class CertificateSource(StrEnum):
    """Where the certificate for clients comes from."""

    SECRET = "Secret"  # noqa: S105 -- a source, not a password
    LAST_GOOD = "LastGood"
    SELF_SIGNED = "SelfSigned"


@dataclass(frozen=True, slots=True)
class Certificate:
    """The certificate for clients and other servers."""

    source: CertificateSource
    chain: bytes
    """The certificate and its intermediates, PEM."""
    key: bytes
    """Private key without a password, PEM."""


@dataclass(frozen=True, slots=True)
class InternalSecrets:
    """Keys and passwords between the parts of a platform; generated once, never shown.

    Chains and keys are PEM, keys without a password. Passwords and the token are ASCII letters and digits.
    """

    ca: bytes
    """The trusted CA certificates, PEM; the first one signs."""
    store_chain: bytes
    store_key: bytes
    client_chain: bytes
    client_key: bytes
    smtp_chain: bytes
    smtp_key: bytes
    master_password: str
    hash_key: bytes
    """Key from which the salts of password hashes are derived."""
    valkey_password: str
    rspamd_password: str
    rspamd_enable_password: str
    operator_token: str


@dataclass(frozen=True, slots=True)
class Volume:
    """The volumeClaimTemplate of a StatefulSet."""

    size: str
    """A Kubernetes quantity."""
    storage_class: str | None = None
    """Name of the StorageClass; None for the default class of the cluster."""
    selector: Mapping[str, str] | None = None
    """Labels by which an existing StatefulSet selects its pods; None for one that does not exist yet.

    They cannot be changed.
    """
    labels: Mapping[str, str] | None = None
    """Labels in the claim template of an existing StatefulSet; None for one that does not exist yet.

    They cannot be changed.
    """


@dataclass(frozen=True, slots=True)
class ClientService:
    """How the client Services are exposed; None and () leave a field of the Service unset."""

    type: str
    """`ClusterIP`, `NodePort` or `LoadBalancer`."""
    annotations: tuple[tuple[str, str], ...] = ()
    """Names and values, sorted."""
    external_traffic_policy: str | None = None
    load_balancer_class: str | None = None
    source_ranges: tuple[str, ...] = ()
    """Networks in CIDR notation."""
    family_policy: str | None = None
    families: tuple[str, ...] = ()
    """`IPv4` and `IPv6`, in order of preference."""


@dataclass(frozen=True, slots=True)
class Scheduling:
    """The pod settings of one component, as fields of a pod spec; None and () stand for the defaults."""

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
    """Receiving and sending mail."""

    replicas: int
    queue: Volume
    message_size: int
    """Largest message, in bytes."""
    queue_lifetime: int
    """Seconds after which undelivered mail is returned."""
    helo: str
    """Host name for HELO, in lower case."""
    trusted_networks: tuple[str, ...] = ()
    """Networks in CIDR notation that may relay without a login, sorted."""
    hide_client: bool = False
    """Whether the host of the submitter is removed from `Received`."""


@dataclass(frozen=True, slots=True)
class Imap:
    """Reading mail."""

    replicas: int
    protocols: tuple[Protocol, ...]
    allow_clear_text: bool
    """Whether a login without TLS is allowed."""
    connections: int
    """Connections of one user from one IP address, at most."""
    log_actions: bool = False
    """Whether changes of mailboxes are logged."""
    deleted_to_trash: bool = False
    """Whether a message that is flagged as deleted is moved to Trash."""
    master_password: str = ""
    """Password hash of the master user, `{SCHEME}...`; "" when there is no master user."""


@dataclass(frozen=True, slots=True)
class Stores:
    """The stores."""

    requested: int
    """Number of stores that take new mailboxes, at least 1."""
    replicas: int
    """Number of pods: `requested`, and higher ones that still hold mail."""
    mail: Volume
    quota_warning: int = 90
    """Percentage of a quota from which on its user is warned."""
    placed: int = -1
    """Number of the highest store with a mailbox in force; -1 when there is none."""


@dataclass(frozen=True, slots=True)
class Dkim:
    """The DKIM key of a domain (RFC 6376)."""

    selector: str
    key: bytes
    """RSA private key, PEM."""
    record: str
    """Text of the TXT record."""
    secret: str
    """Name of the Secret with the key."""


@dataclass(frozen=True, slots=True)
class Relay:
    """The server that mail of a domain is relayed to."""

    host: str
    """Host name in lower case, or an IP address."""
    port: int
    """TCP port."""
    tls: str
    """`None`, `Opportunistic`, `Required` or `Verified`."""
    authority: bytes = b""
    """CA certificates for `Verified`, PEM; b"" for the public ones."""
    waits: bool = False
    """Whether the CA certificates are missing, so that no certificate is valid and mail waits."""
    rank: int = 0
    """Number of the CA file among those of the same host and port, from 0; see `relays.MOST_AUTHORITIES`."""


@dataclass(frozen=True, slots=True)
class RelayHost:
    """The next hop for mail of some senders, or for all other mail."""

    resource: str
    host: str
    """Host name in lower case, or an IP address."""
    port: int
    """TCP port."""
    tls: str
    """`None`, `Opportunistic`, `Required` or `Verified`."""
    implicit_tls: bool
    """Whether TLS begins with the connection, without STARTTLS (RFC 8314)."""
    senders: tuple[str, ...]
    """Sender addresses and `@domain`, in every spelling, sorted."""
    default: bool
    """Whether it is the next hop for all other mail."""
    login: bool = False
    """Whether SMTP AUTH is required, so that nothing is sent without it."""
    username: str = ""
    """For SMTP AUTH; "" while the Secret is missing or broken."""
    password: str = field(default="", repr=False)
    authority: bytes = b""
    """CA certificates for `Verified`, PEM; b"" for the public ones."""
    waits: str = ""
    """Why its mail waits in the queue; "" while it does not."""

    @property
    def transport(self) -> str:
        """Return the name of the Postfix service that delivers there; at most 63 characters, since a socket has it."""
        return f"{PREFIX}{names.bounded(self.resource, 60)}"

    @property
    def endpoint(self) -> str:
        """Return host and port as in a URL; an IPv6 address is in brackets (RFC 3986, 3.2.2)."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


@dataclass(frozen=True, slots=True)
class Domain:
    """A domain of the platform."""

    resource: str
    name: str
    """In A-labels."""
    spellings: tuple[str, ...]
    """All forms that a client may use, see `names.spellings`."""
    dkim: Dkim | None
    """The key that signs; None when mail is not signed."""
    relay: Relay | None = None
    """The server that delivers its mail; None for a local domain."""
    catch_all_mailbox: str = ""
    """Name of the Mailbox for mail to unknown recipients, as the MailDomain has it; "" for none."""
    copy_to: tuple[str, ...] = ()
    """Addresses that get a copy of all mail, as the MailDomain has them."""
    catch_all: tuple[str, ...] = ()
    """Who gets mail to unknown recipients in the end, as in `Route.targets`.

    Empty until `decide_domain` has completed it.
    """
    copies: tuple[str, ...] = ()
    """Who gets a copy of all mail in the end, as in `Route.targets`. Empty until `decide_domain` has completed it."""


@dataclass(frozen=True, slots=True)
class Junk:
    """What happens to spam."""

    move: bool = True
    """Whether it is delivered to the folder Junk instead of the inbox."""
    retention: int = 15 * 86_400
    """Seconds after which mail in Junk is deleted, from 1."""


UNPLACED: Final = -1
"""Number of the store of a mailbox that waits for one: a store may hold mail of that name.

Its mail waits in the queue.
"""


@dataclass(frozen=True, slots=True)
class Account:
    """The mailbox of a user."""

    resource: str
    user: str
    password: str
    """Password hash, `{SCHEME}...`; "" when nobody can log in."""
    access: tuple[Protocol, ...]
    """Protocols that the user may use."""
    store: int
    """Number of the store, from 0; UNPLACED while it is not known."""
    quota: int
    """Bytes; 0 means no quota."""
    junk: Junk = field(default_factory=Junk)
    groups: tuple[str, ...] = ()
    """User names of all groups that the user is in, directly or through other groups, sorted."""
    creator: bool = False
    """Whether the user may create public mailboxes over IMAP."""
    uid: str = ""
    """Uid of the Mailbox object: another uid under the same name is another person."""


@dataclass(frozen=True, slots=True)
class Group:
    """A group; it has no mail of its own."""

    resource: str
    user: str
    members: tuple[str, ...] = ()
    """User names of all users in it, those of inner groups too, sorted."""


@dataclass(frozen=True, slots=True)
class Owner:
    """A user or group with rights in a public mailbox."""

    user: str
    """User name of the user or group."""
    group: bool
    """Whether it is a group."""
    rights: str
    """`Read`, `ReadWrite` or `Full`."""


PUBLIC_STORE: Final = 0
"""Number of the store of all public mailboxes: stores share nothing, and users of other stores reach it over IMAP."""


@dataclass(frozen=True, slots=True)
class PublicMailbox:
    """A mailbox that several users read, and that nobody logs in to."""

    resource: str
    user: str
    store: int
    """Number of its store: PUBLIC_STORE."""
    quota: int = 0
    """Bytes; 0 means no quota."""
    junk: Junk = field(default_factory=Junk)
    owners: tuple[Owner, ...] = ()
    """Sorted by user name."""


Mailbox = Account | Group | PublicMailbox


@dataclass(frozen=True, slots=True)
class Limit:
    """The mailbox whose quota decides whether an address accepts a message."""

    user: str
    """User name."""
    store: int
    """Number of its store, from 0."""


@dataclass(frozen=True, slots=True)
class Route:
    """An address with the final list of its recipients."""

    local: str
    """Local part, normalised."""
    domain: str
    """A domain in A-labels; "" for all local domains in which the local part has no route of its own."""
    targets: tuple[str, ...]
    """Final recipients, sorted: `names.canonical` of mailboxes, and addresses elsewhere.

    Without any, mail is refused.
    """
    internal: bool
    """Whether only users of the platform may send to it."""
    limit: Limit | None = None
    """The mailbox that must have room; None when no quota decides.

    It is set only when the mailbox of that name gets a copy, or one mailbox is the only recipient: a full mailbox must
    not block others.
    """
    owner: str = ""
    """The user whose own address it is, so that his Sieve scripts may answer from it.

    Empty for an address of nobody or of several.
    """
    waits: bool = False
    """Whether it is claimed in a domain that is no local domain yet; it has no targets then."""


@dataclass(frozen=True, slots=True)
class Place:
    """What Postfix needs to know of a mailbox with mail."""

    user: str
    store: int
    """Number of its store, from 0; UNPLACED while it is not known."""
    sends: bool = False
    """Whether its user may submit mail."""


@dataclass(frozen=True, slots=True)
class Shard:
    """The content of one directory shard, each field sorted by user name; an unchanged shard stays the same object.

    Mailboxes are in the shard of their user name; routes and places are in that of their local part, so that an address
    passes from one mailbox to another in one write.
    """

    accounts: tuple[Account, ...] = ()
    groups: tuple[Group, ...] = ()
    publics: tuple[PublicMailbox, ...] = ()
    routes: tuple[Route, ...] = ()
    places: tuple[Place, ...] = ()
    withheld: tuple[str, ...] = ()
    """Users bound to a domain whose address cannot be used to log in: groups, and Mailboxes that are not in force."""


@dataclass(frozen=True, slots=True)
class Environment:
    """Properties of the cluster, the same for all platforms.

    The version of the operator is not among them, so that a new version restarts no pod by itself.
    """

    operator_namespace: str
    cluster_domain: str
    """Such as `cluster.local`."""
    images: Mapping[str, str]
    """Image references by name: `postfix`, `dovecot`, `rspamd`, `valkey`."""
    image_pull_secrets: tuple[str, ...] = ()
    """Names of Secrets."""
    cluster_networks: tuple[str, ...] = ()
    """Networks of the cluster in CIDR notation; mail is never delivered to addresses in them as to the internet."""


@dataclass(frozen=True, slots=True)
class Platform:
    """All settings and data of one mail platform, from which files and objects are made."""

    name: str
    """Name of the MailServer."""
    namespace: str
    uid: str
    environment: Environment
    hostname: str
    """Public host name, in lower case."""
    certificate: Certificate
    internal: InternalSecrets
    client_service: ClientService
    smtp: Smtp
    imap: Imap
    stores: Stores
    filter_replicas: int
    valkey: Volume
    scheduling: Mapping[str, Scheduling]
    """Pod settings by component."""
    domains: tuple[Domain, ...]
    """Sorted by name."""
    directory: tuple[Shard, ...]
    """The 64 directory shards, by number."""
    relay_hosts: tuple[RelayHost, ...] = ()

    def fqdn(self, service: str) -> str:
        """Return the full DNS name of a Service of the platform; daemons look up names without search domains.

        Args:
            service: Suffix of its name, such as `store`.
        """
        return f"{self.name}-{service}.{self.namespace}.svc.{self.environment.cluster_domain}"

    def account(self, user: str) -> Account | None:
        """Return the account of a user name, or None; None also for groups and public mailboxes.

        Args:
            user: With its domain if it is bound to one.
        """
        found = self.mailbox(user)
        return found if isinstance(found, Account) else None

    def mailbox(self, user: str) -> Mailbox | None:
        """Return the mailbox of a user name, of any type, or None.

        Args:
            user: With its domain if it is bound to one.
        """
        shard = self.directory[names.shard(user)]
        kinds: tuple[Sequence[Mailbox], ...] = (shard.accounts, shard.groups, shard.publics)
        for mailboxes in kinds:
            place = bisect_left(mailboxes, user, key=lambda mailbox: mailbox.user)
            if place < len(mailboxes) and mailboxes[place].user == user:
                return mailboxes[place]
        return None

    def domain(self, name: str) -> Domain | None:
        """Return a domain by its name in A-labels, or None."""
        place = bisect_left(self.domains, name, key=lambda domain: domain.name)
        found = self.domains[place] if place < len(self.domains) else None
        return found if found is not None and found.name == name else None

    @property
    def local_domains(self) -> tuple[Domain, ...]:
        """Return the domains whose mail is delivered by the platform itself."""
        return tuple(domain for domain in self.domains if domain.relay is None)

    @property
    def next_hops(self) -> frozenset[tuple[str, int]]:
        """Return host and port of all servers that mail is handed to by configuration, not by MX records."""
        relays = ((domain.relay.host, domain.relay.port) for domain in self.domains if domain.relay is not None)
        return frozenset((*relays, *((host.host, host.port) for host in self.relay_hosts)))

    def store_host(self, store: int) -> str:
        """Return the DNS name of the pod of a store.

        Args:
            store: Number of the store, from 0.
        """
        return f"{self.name}-store-{store}.{self.fqdn('store')}"
