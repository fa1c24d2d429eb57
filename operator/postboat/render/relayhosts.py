"""Relay hosts: a transport of Postfix for each, and the tables by which mail finds it.

Password and TLS policy are looked up by the name of the relay host and the next hop together, so that none ever gets
what is meant for another one, also when two share a host, and while one of them is changed.
"""

from collections.abc import Iterable, Iterator
from functools import lru_cache
from ipaddress import ip_address
from typing import Final

from postboat.model import names
from postboat.model.platform import Platform, RelayHost
from postboat.render import escape
from postboat.render.files import File
from postboat.render.template import ACTIVE, TABLES
from postboat.render.tls import DANE, UNKNOWN_HOST, VERIFIED, authority_file, policy

WAITS: Final = "waits"
"""The service of Postfix that puts mail off: it calls a socket that does not exist, and gives a reason of its own.

error(8) does that under the name `retry` only, and smtpd refuses recipients whose mail would go there."""
_WRONG: Final = "missing:missing"
"""A login for who finds none any more: without one a message might be refused for good, or taken from a stranger."""
_NOT_IN_PLACE: Final = "4.3.5 The relay host of this sender is not in place yet"


@lru_cache(maxsize=8)
def senders(hosts: tuple[RelayHost, ...]) -> tuple[tuple[tuple[str, str], ...], ...]:
    """Give, for each directory shard, the senders with their transport and next hop, sorted."""
    rows: list[list[tuple[str, str]]] = [[] for _ in range(names.SHARDS)]
    for host in hosts:
        for sender in host.senders:
            rows[names.shard(sender.partition("@")[0] or sender)].append((sender, _way(host)))
    return tuple(tuple(sorted(found)) for found in rows)


def default(platform: Platform) -> str:
    """Give transport and next hop of all mail whose sender has no relay host, the empty sender among them.

    It stands in main.cf, since no table has a key for everybody that comes after the domain of the sender.
    """
    return next((_way(host) for host in platform.relay_hosts if host.default), "smtp")


def policies(hosts: Iterable[RelayHost]) -> Iterator[tuple[str, str]]:
    """Give the TLS policy of each relay host."""
    return ((_key(host), policy(host.tls, host.authority)) for host in hosts if not host.waits)


def credentials(hosts: Iterable[RelayHost]) -> Iterator[tuple[str, str]]:
    """Give the login at each relay host that has one."""
    return ((_key(host), f"{host.username}:{host.password}") for host in hosts if host.login and not host.waits)


def services(platform: Platform) -> tuple[tuple[str, str, tuple[str, ...]], ...]:
    """Give the transports with their programs and options, for master.cf.

    Where a row is gone while mail is on its way, no certificate is right: nobody outside has one of the platform.
    """
    waits = (f"lmtp_delivery_status_filter = regexp:{{ {{ /./ {_NOT_IN_PLACE} }} }}",)
    hosts = ((host.transport, "smtp", tuple(_options(host))) for host in platform.relay_hosts)
    return ((WAITS, "lmtp", waits), *hosts)


def _options(host: RelayHost) -> Iterator[str]:
    yield f"syslog_name = postfix/{host.transport}"
    yield f"smtp_tls_policy_maps = {_by_name(host, 'relaypolicies')}, static:{{{VERIFIED} tafile={ACTIVE}/ca.pem}}"
    if host.tls == DANE:
        yield "smtp_dns_support_level = dnssec"
    if _named(host.host):
        yield "smtp_tls_servername = nexthop"
    if host.implicit_tls:
        yield "smtp_tls_wrappermode = yes"
    # A server that wants a login or TLS first says 530 (RFC 4954, RFC 3207): that is to be mended here, and mail waits.
    yield f"smtp_delivery_status_filter = regexp:{{ {{ /^5(.* said: 530[ -].*)/ 4$$1 }}, {UNKNOWN_HOST} }}"
    if host.login:
        yield "smtp_sasl_auth_enable = yes"
        yield f"smtp_sasl_password_maps = {_by_name(host, 'credentials')}, regexp:{{ {{ /^\\[/ {_WRONG} }} }}"


def _named(host: str) -> bool:
    """Tell whether a host is a name, of which an address may have several: only a name is told to it (RFC 6066)."""
    try:
        ip_address(host)
    except ValueError:
        return True
    return False


def _by_name(host: RelayHost, table: str) -> str:
    name = escape.postfix_word(host.transport)
    return f"pipemap:{{ regexp:{{ {{ /^(.+)$$/ {name}/$$1 }} }}, lmdb:{TABLES}/{table} }}"


def _key(host: RelayHost) -> str:
    return f"{host.transport}/{_next_hop(host)}"  # an LMDB key has 511 bytes at most


def _next_hop(host: RelayHost) -> str:
    return f"[{host.host}]:{host.port}"


def _way(host: RelayHost) -> str:
    if host.waits:
        return f"{WAITS}:unix:no-relay-host"
    return f"{host.transport}:{_next_hop(host)}"


def authorities(platform: Platform) -> Iterator[File]:
    """Write each authority that servers elsewhere are trusted by once."""
    relays = (domain.relay.authority for domain in platform.domains if domain.relay is not None)
    for authority in sorted({*relays, *(host.authority for host in platform.relay_hosts)} - {b""}):
        name = authority_file(authority)
        yield File(name, name, authority, secret=True)
