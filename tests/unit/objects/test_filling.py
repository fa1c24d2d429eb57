"""How full the largest shard of a directory is, and that it is told before a Secret can hold no more."""

from __future__ import annotations

from postboat.model.resolve import resolve
from postboat.objects.config import MOST_BYTES, NEARLY_FULL, Filling, filling
from postboat.render.units import render
from tests.golden import world


def test_the_largest_shard_is_found() -> None:
    own = (world.internal("mail", "mail"), world.self_signed("mail", "mail"))
    mailboxes = [world.resource("Mailbox", f"user{number}", {}) for number in range(40)]
    platform = resolve(world.of(world.server(), mailboxes, {content.name: content for content in own})).platform
    assert platform is not None
    files = render(platform)
    found = filling(files)
    sizes = [
        sum(len(file.content) for (number, _), file in files.shards.items() if number == shard) for shard in range(64)
    ]
    assert found.used == max(sizes) == sizes[found.shard]
    assert found.warning == ""


def test_it_is_told_from_four_fifths_on() -> None:
    assert Filling(7, int(NEARLY_FULL * MOST_BYTES)).warning == ""
    said = Filling(7, int(NEARLY_FULL * MOST_BYTES) + 1).warning
    assert said.startswith("Directory shard 07 has 819 KiB of the 1024 KiB")
