"""Dovecot in two roles: edges, which check passwords and proxy sessions, and stores, which keep the mail.

An edge in the smtp pods answers Postfix over unix sockets; an edge in the imap pods answers mail clients.
"""

import string
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from postboat.agent import ports
from postboat.agent.ports import Port
from postboat.model import names
from postboat.model.platform import READING, Imap, Platform, Protocol
from postboat.model.routes import POSTMASTER
from postboat.render import escape, public
from postboat.render.files import Effect, File
from postboat.render.postfix import LMTP_CONCURRENCY
from postboat.render.template import ACTIVE, fill, script
from postboat.render.tls import CIPHERS

FOLDERS: Final = ("Archive", "Drafts", "Junk", "Sent", "Trash")
SCRIPTS: Final = ("arrived", "copied", "deleted", "inbox", "junk", "replies")
_STORE_LOGINS: Final = {port.name: port for port in ports.LOGINS}
_LOGIN: Final = {"imap": "imap-login", "pop3": "pop3-login", "sieve": "managesieve-login"}
# A session within TLS or through a proxy stays in the login process for its whole life: one for each would mean that
# the hundred-and-first session is dropped.
_LOGIN_SETTINGS: Final = (
    "chroot =",
    "client_limit = 1000",
    "process_min_avail = 2",
    "restart_request_count = unlimited",
)
_IDLE_DELIVERERS: Final = 2
_WITH_TLS: Final = frozenset({"imaps", "lmtp", "lmtp-one-domain", "pop3s"})
_ALL_LISTENERS: Final = {"imap": ("imap", "imaps"), "pop3": ("pop3", "pop3s"), "sieve": ("sieve",)}

# Dovecot quotes what it puts in for a variable, so these texts are finished queries; a percent sign is doubled.
# An address is first of all the login of who is in that one domain, whatever he may do; then of who is in all of them.
_LOGIN_NAME: Final = (
    "FROM users WHERE user = CASE '%{user | domain}' WHEN '' THEN '%{user | username}' ELSE"
    " (SELECT coalesce((SELECT user FROM users WHERE user = '%{user | username}@' || name), '%{user | username}')"
    " FROM domain WHERE domain = '%{user | domain}') END"
)
_ALLOWED: Final = "{who} AND access LIKE '%%,{protocol},%%'"
_MASTER: Final = f"master = {names.EDGE_LOGIN}"
_OWN: Final = "password != ''"
# Dovecot names the master user only after it has checked his password, and asks for no other one then.
_OWN_OR_MASTER: Final = f"({_OWN} OR '%{{master_user}}' = '{names.MASTER_USER}')"

# Dovecot looks at single bytes: these letters have all that UTF-8 writes domains with. Without a list, 2.4.1 would let
# quotes come as far as the query, and escape them wrongly (CVE-2026-24031).
_NAME_LETTERS: Final = "".join(
    map(
        chr,
        (*range(0x400, 0x440), *range(0xAA, 0x800, 0x40), 0x905, *range(0x1305, 0xE000, 0x1000)),
    )
)
_NAME_CHARACTERS: Final = string.ascii_letters + string.digits + ".-_@" + _NAME_LETTERS

_USAGE: Final = (("storage", "bytes"), ("messages", "messages"))
"""What Dovecot calls it, and the column of the agent's ledger."""


_STORE_QUERY: Final = (
    "SELECT user, quota AS quota_storage_size, spam,"
    " retention || ' secs' AS \"namespace/inbox/mailbox/Junk/autoexpunge\""
    ", email AS sieve_user_email, {postmaster} AS postmaster, {own} AS own, {shared} AS shared"
    ", {fields} FROM users WHERE user = CASE '%{{protocol}}' WHEN 'quota-status' THEN {asked} ELSE {name} END"
    " AND ({owner})"
)
# A session of a user begins with the login of an edge or of another store, and a delivery with an address. Any other
# look-up of theirs is about the owner of shared folders, and of no connection: by his one name, since each spelling of
# it would get folders and entries of its own.
_OF_OWNER: Final = (
    "('%{protocol}' = 'imap' AND '%{master_user}' = '' OR '%{protocol}' = 'lmtp' AND '%{local_port}' = '0')"
)
_OWNER: Final = f"NOT ({_OF_OWNER}) OR user = '%{{original_user}}'"
_NOBODY: Final = f"SELECT '/run/dovecot/nobody' AS home WHERE {_OF_OWNER}"
_ESCAPE: Final = "\x01"
# Who is in all domains gets mail by the part before the @, whatever the domain: this port takes nobody else's.
_STORE_NAME: Final = (
    "CASE '%{protocol}/%{local_port}'"
    f" WHEN 'lmtp/{ports.LMTP.number}' THEN '%{{user | username}}' ELSE '%{{user}}' END"
)
# Postfix asks about the address that a message is sent to, which may be of another name than the mailbox; that of
# somebody in one domain is another name than his local part.
_ADDRESSED: Final = (
    "coalesce((SELECT user FROM addresses WHERE address = lower('%{original_user}')), '%{user | username}')"
)
# A script answers from its user's own addresses only; rows of a user are those that begin with the name and a slash.
_ADDRESSES: Final = (
    "CASE '%{{protocol}}' WHEN 'lmtp' THEN (SELECT ',' || group_concat(substr(address, length(user) + 2)) || ','"
    " FROM own WHERE address > user || '/' AND address < user || '0' AND kind = '{kind}') END"
)
# Notices come from a postmaster who exists: at the user's own domain, at another one, or else from the user himself.
_OFFICE: Final = f"@{POSTMASTER}/"
_POSTMASTER: Final = (
    f"coalesce((SELECT '{POSTMASTER}' || substr(email, instr(email, '@')) FROM own"  # noqa: S608 -- the names are ours
    f" WHERE address = '{_OFFICE}{POSTMASTER}' || substr(email, instr(email, '@'))),"
    f" (SELECT substr(address, {len(_OFFICE) + 1}) FROM own"
    f" WHERE address > '{_OFFICE}' AND address < '{_OFFICE[:-1]}0'"
    " ORDER BY address LIMIT 1), email)"
)
_EMPTIED: Final = frozenset({"Junk", "Trash"})
_LARGEST_MESSAGE: Final = 2**53
_DELETION_ROOM: Final = 100 * 2**20
"""What fits into these folders beyond a full quota, so that a client that copies before it deletes can delete."""


@dataclass(frozen=True, slots=True)
class Block:
    """A named block of settings inside a service, such as a listener."""

    type: str
    """`inet_listener`."""
    name: str
    settings: tuple[str, ...]
    """Lines `name = value`."""


@dataclass(frozen=True, slots=True)
class Service:
    """One Dovecot service with its listeners."""

    name: str
    settings: tuple[str, ...]
    """Lines `name = value`."""
    listeners: tuple[Block, ...]


@dataclass(frozen=True, slots=True)
class Folder:
    """A folder that every mailbox has."""

    name: str
    room: int
    """Bytes that fit into it beyond the quota; 0 for none."""


@dataclass(frozen=True, slots=True)
class ImapScript:
    """A Sieve script that runs on changes over IMAP (RFC 6785)."""

    name: str
    type: str
    """When it runs: `before` or `copy-source-after`, as Pigeonhole calls it."""
    cause: str
    """`flag` or `copy`."""


_TRASH_SCRIPTS: Final = (
    ImapScript("deleted", "before", "flag"),
    ImapScript("arrived", "before", "copy"),
    ImapScript("copied", "copy-source-after", "copy"),
)


@dataclass(frozen=True, slots=True)
class Lookup:
    """How an edge finds a user for one protocol (passdb)."""

    protocol: str
    query: str
    """SQL with Dovecot variables."""
    fields: tuple[str, ...]
    """Extra fields of the passdb, `name = value`."""


def _port(port: Port) -> Block:
    tls = ("ssl = yes",) if port.name in _WITH_TLS else ()
    return Block("inet_listener", port.name, (f"port = {port.number}", *tls))


def _deliveries(platform: Platform) -> Service:
    """Return the LMTP service: processes stay for the next connection, and there are enough for all connections.

    Each delivery process of Postfix has one connection, and may have given up another one that still occupies a
    process.
    """
    settings = (
        f"process_limit = {2 * LMTP_CONCURRENCY * platform.smtp.replicas + 10}",
        f"process_min_avail = {_IDLE_DELIVERERS}",
        "restart_request_count = 1000",
        f"executable = /usr/bin/env OPENSSL_CONF={ACTIVE}/lmtp.cnf /usr/lib/dovecot/lmtp",
    )
    return Service("lmtp", settings, (_port(ports.LMTP), _port(ports.LMTP_ONE_DOMAIN)))


def _login_service(protocol: str, opened: Iterable[Port]) -> Service:
    open_ports = tuple(_port(port) for port in opened)
    used = {block.name for block in open_ports}
    closed = tuple(Block("inet_listener", name, ("port = 0",)) for name in _ALL_LISTENERS[protocol] if name not in used)
    return Service(_LOGIN[protocol], _LOGIN_SETTINGS, open_ports + closed)


def _query(columns: str, protocol: str, who: str = _OWN) -> str:
    return f"SELECT {columns} {_LOGIN_NAME} AND {_ALLOWED.format(who=who, protocol=protocol)}"


def _proxied(protocol: Protocol, who: str) -> Lookup:
    columns = f"user, password, host, {_STORE_LOGINS[protocol].number} AS port"
    # Dovecot 2.4.1 mixes a side channel into trusted proxy sessions; within TLS, replies then get stuck in every sixth.
    fields = ("proxy = y", "proxy_no_multiplex = y", "starttls = y", _MASTER, "!include master.conf")
    return Lookup(protocol, _query(columns, protocol, who), fields)


_LOGINS: Final = Lookup("smtp", _query("user, password", "smtp"), ())


def _edge(platform: Platform, lookups: tuple[Lookup, ...], services: tuple[Service, ...], **values: object) -> bytes:
    return fill(
        "edge.conf",
        master_user=names.MASTER_USER,
        hostname=escape.dovecot(platform.hostname),
        ciphers=CIPHERS,
        name_characters=_NAME_CHARACTERS,
        lookups=lookups,
        services=services,
        **values,
    )


def _edge_secrets(platform: Platform) -> tuple[File, ...]:
    return (
        File("ca.crt", "ca.crt", platform.internal.ca, secret=True),
        File("tls.crt", "tls.crt", platform.certificate.chain, secret=True),
        File("tls.key", "tls.key", platform.certificate.key, secret=True, mode="0600"),
    )


def smtp_edge_files(platform: Platform) -> tuple[File, ...]:
    """Return the files of the edge beside Postfix: it only checks passwords for SMTP AUTH."""
    # Dovecot delays all logins from an address with wrong passwords. Postfix waits 10 seconds only, and behind a load
    # balancer the address may be everybody's: two wrong passwords would keep all users out. A failure costs 2 s anyway.
    conf = _edge(
        platform,
        (_LOGINS,),
        (),
        protocols=(),
        ssl="no",
        allow_cleartext="yes",
        masters=(),
        auth_sockets=("/run/edge/auth",),
        closed_sockets=("anvil-auth-penalty",),
    )
    return (File("dovecot.conf", "dovecot.conf", conf),)


def imap_files(platform: Platform) -> tuple[File, ...]:
    """Return the files of the edge for clients that read mail."""
    protocols = tuple(protocol for protocol in READING if protocol in platform.imap.protocols)
    services = tuple(_login_service(protocol, ports.CLIENTS[protocol]) for protocol in protocols)
    clear = platform.imap.allow_clear_text
    who = _OWN_OR_MASTER if platform.imap.master_password else _OWN
    line = f"{names.MASTER_USER}:{platform.imap.master_password}::::::\n".encode()
    masters = File("masters", "masters", line, secret=True, mode="0600")
    conf = _edge(
        platform,
        tuple(_proxied(protocol, who) for protocol in protocols),
        services,
        protocols=protocols,
        ssl="yes" if clear else "required",
        allow_cleartext="yes" if clear else "no",
        masters=(masters.path,) if platform.imap.master_password else (),
        auth_sockets=(),
        closed_sockets=(),
    )
    # The technical login opens every mailbox, so it is only where sessions are led on to the stores.
    master = f"pass = {platform.internal.master_password}\n".encode()
    files = (
        File("dovecot.conf", "dovecot.conf", conf),
        File("master.conf", "master.conf", master, secret=True, mode="0600"),
        *_edge_secrets(platform),
    )
    return (*files, masters) if platform.imap.master_password else files


def store_files(platform: Platform) -> tuple[File, ...]:
    """Return the files of a store; all stores have the same."""
    services = (
        *(_login_service(protocol, (_STORE_LOGINS[protocol],)) for protocol in _LOGIN),
        _deliveries(platform),
    )
    message_size = min(platform.smtp.message_size, _LARGEST_MESSAGE)
    conf = fill(
        "store.conf",
        hostname=escape.dovecot(platform.hostname),
        postmaster=escape.dovecot_argument(f"postmaster@{platform.hostname}"),
        ciphers=CIPHERS,
        name_characters=_NAME_CHARACTERS,
        query=_store_query(platform),
        folders=tuple(Folder(name, max(message_size, _DELETION_ROOM) if name in _EMPTIED else 0) for name in FOLDERS),
        plugins=_imap_plugins(platform.imap),
        imapsieve="yes" if platform.imap.deleted_to_trash else "no",
        trash_scripts=_TRASH_SCRIPTS if platform.imap.deleted_to_trash else (),
        nobody=_NOBODY,
        escape=f'"{_ESCAPE}"',
        usage=_USAGE,
        connections=platform.imap.connections,
        message_size=message_size,
        quota_warning=platform.stores.quota_warning,
        submission=f"{platform.fqdn('smtp-pods')}:{ports.INNER.number}",
        services=services,
        **public.values(platform),
    )
    internal = platform.internal
    token = f"{internal.operator_token}\n".encode()
    edges = f"{names.EDGE_LOGIN}:{{PLAIN}}{internal.master_password}\n".encode()
    return (
        File("dovecot.conf", "dovecot.conf", conf),
        File("lmtp.cnf", "lmtp.cnf", fill("lmtp.cnf")),
        File("ca.crt", "ca.crt", internal.ca, secret=True),
        File("client.crt", "client.crt", internal.client_chain, secret=True),
        File("client.key", "client.key", internal.client_key, secret=True, mode="0600"),
        File("operator.token", "operator.token", token, Effect.LIVE, secret=True, mode="0600"),
        File("edges", "edges", edges, secret=True, mode="0600"),
        File("store.crt", "store.crt", internal.store_chain, secret=True),
        File("store.key", "store.key", internal.store_key, secret=True, mode="0600"),
        *public.files(platform),
        *(File(f"{name}.sieve", f"sieve/{name}.sieve", script(f"sieve/{name}.sieve")) for name in SCRIPTS),
    )


def _store_query(platform: Platform) -> str:
    """Return the userdb query of a store, with all settings that differ between users."""
    return _STORE_QUERY.format(
        fields=public.fields(platform),
        postmaster=_POSTMASTER,
        own=_ADDRESSES.format(kind="own"),
        shared=_ADDRESSES.format(kind="shared"),
        asked=_ADDRESSED,
        name=_STORE_NAME,
        owner=_OWNER,
    )


def _imap_plugins(imap: Imap) -> tuple[str, ...]:
    trash = ("imap_sieve",) if imap.deleted_to_trash else ()
    log = ("mail_log", "notify") if imap.log_actions else ()
    return ("imap_quota", *trash, *log)
