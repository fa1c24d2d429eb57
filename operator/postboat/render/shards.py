"""The directory as shard files: sorted rows, compressed, never larger than a Secret can hold.

What edges and stores know of a mailbox lives in the shard of its user, what is known of addresses in that of the local
part (`model.names.shard`), and a domain in that of the empty local part, with the list of local domains that agents
write general rows by.
"""

from collections.abc import Iterator
from struct import pack
from typing import Final
from zlib import MAX_WBITS, compressobj, crc32

from postboat.agent.general import AWAY, CATCH_ALL, LIST
from postboat.model import names
from postboat.model.platform import Domain, Platform
from postboat.render import escape
from postboat.render.files import ShardFile, ShardKey
from postboat.render.relayhosts import senders
from postboat.render.tables import KEYS, TABLES, Directory, Row, leads_all_away

_LEVEL: Final = 6
_FIRST: Final = names.shard("")
"""The shard that holds what belongs to no local part."""
_WITH_GENERAL_ROWS: Final = frozenset({"smtp", "store"})
"""The kinds of containers that have general rows."""
_GZIP_HEADER: Final = b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\xff"
"""RFC 1952: deflate, no flags, no time, unknown system. Versions of Python differ here, and bytes must not."""


def shard_files(platform: Platform, number: int) -> dict[ShardKey, ShardFile]:
    """Render one shard for each kind of container; a shard without a row does not exist."""
    shard = platform.directory[number]
    apart: dict[str, set[str]] = {}
    for route in shard.routes:
        if route.domain:
            apart.setdefault(route.local, set()).add(route.domain)
    directory = Directory(
        platform=platform,
        shard=shard,
        domains=_domains(platform, number),
        first=number == _FIRST,
        relayed=_relayed(platform),
        apart=apart,
        senders=senders(platform.relay_hosts)[number],
        owners={route.local for route in shard.routes if not route.domain and route.owner == route.local},
    )
    files: dict[ShardKey, ShardFile] = {}
    for key in KEYS:
        lines = sorted(line(table.name, row) for table in TABLES if table.key == key for row in table.rows(directory))
        if directory.first and key in _WITH_GENERAL_ROWS:
            lines = [*sorted(_listed(platform)), *lines]
        if lines:
            files[number, key] = ShardFile.of(_gzip("".join(lines).encode()))
    return files


def empty() -> ShardFile:
    """Give a shard without a row: unlike one that is missing, it says that there is none any more."""
    return ShardFile.of(_gzip(b""))


def origins(platform: Platform) -> tuple[object, ...]:
    """Give, for each shard, all that it is rendered from; while these are the same, so is the shard."""
    frame = _relayed(platform), platform.store_host(0)
    leaving = senders(platform.relay_hosts)
    return tuple(
        (shard, frame, _of_the_first(platform, number), leaving[number])
        for number, shard in enumerate(platform.directory)
    )


def line(table: str, row: Row) -> str:
    """Write one row with its table."""
    return f"{table}\t{escape.columns(row)}\n"


def _domains(platform: Platform, number: int) -> tuple[Domain, ...]:
    return platform.domains if number == _FIRST else ()


def _of_the_first(platform: Platform, number: int) -> tuple[object, ...]:
    return (platform.hostname, platform.domains, platform.relay_hosts) if number == _FIRST else ()


def _relayed(platform: Platform) -> frozenset[str]:
    return frozenset(domain.name for domain in platform.domains if domain.relay is not None)


def _listed(platform: Platform) -> Iterator[str]:
    """List the local domains and, without a name, the host; see `agent.general`."""
    relayed = _relayed(platform)
    yield line(LIST, ("", platform.hostname, ""))
    for domain in platform.local_domains:
        classes = (CATCH_ALL if domain.catch_all else "", AWAY if leads_all_away(domain, relayed) else "")
        yield line(LIST, (domain.name, ",".join(domain.spellings), ",".join(filter(None, classes))))


def _gzip(content: bytes) -> bytes:
    """Compress to the same bytes wherever it is done."""
    deflate = compressobj(_LEVEL, wbits=-MAX_WBITS)
    body = deflate.compress(content) + deflate.flush()
    return _GZIP_HEADER + body + pack("<II", crc32(content), len(content) & 0xFFFFFFFF)
