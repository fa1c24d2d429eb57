"""The rows of a directory as agents write them into tables: general rows are those that they stand for."""

from __future__ import annotations

from gzip import decompress
from typing import TYPE_CHECKING

from postboat.agent.general import LIST, MARK, Expansion, listed

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from postboat.render.files import ShardFile, ShardKey

Row = tuple[str, ...]


def table_rows(shards: Mapping[ShardKey, ShardFile]) -> Iterator[tuple[ShardKey, str, Row]]:
    """Yield each row with its shard and its table."""
    for kind in sorted({key for _, key in shards}):
        found = {place: file.content for place, file in sorted(shards.items()) if place[1] == kind}
        expansion = Expansion(listed(found.values()))
        for place, content in found.items():
            yield from ((place, table, row) for table, row in rows_of(content, expansion))


def rows_of(content: bytes, expansion: Expansion) -> Iterator[tuple[str, Row]]:
    """Yield the rows of one shard with their tables."""
    for line in decompress(content).decode().splitlines():
        table, *values = line.split("\t")
        if table == LIST:
            continue
        if values[0] == MARK:
            yield from ((table, row) for row in expansion.rows(values))
        else:
            yield table, tuple(values)
