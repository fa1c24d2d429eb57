"""How full the largest shard of a directory is, and the condition that says so before a Secret can hold no more."""

from __future__ import annotations

from dataclasses import replace

from postboat.model.resolve import resolve
from postboat.model.verdict import Reason
from postboat.objects.config import MOST_BYTES, filling
from postboat.render.files import Files, ShardFile
from postboat.render.units import render
from postboat.status.conditions import Condition
from postboat.status.directory import NEARLY_FULL, condition
from tests.golden import world


def rendered(mailboxes: int) -> Files:
    own = (world.internal("mail", "mail"), world.self_signed("mail", "mail"))
    people = [world.resource("Mailbox", f"user{number}", {}) for number in range(mailboxes)]
    platform = resolve(world.of(world.server(), people, {content.name: content for content in own})).platform
    assert platform is not None
    return render(platform)


def test_the_largest_shard_is_found() -> None:
    files = rendered(40)
    found = filling(files)
    sizes = [
        sum(len(file.content) for (number, _), file in files.shards.items() if number == shard) for shard in range(64)
    ]
    assert found.used == max(sizes) == sizes[found.shard]
    assert condition(files).holds


def test_the_condition_is_false_above_four_fifths_of_a_secret() -> None:
    files, most = rendered(0), int(NEARLY_FULL * MOST_BYTES)

    def said(size: int) -> Condition:
        shards = {(7, "users"): ShardFile("", "0", size), (8, "users"): ShardFile("", "0", 5)}
        return condition(replace(files, shards=shards))

    assert said(most).holds
    assert (said(most + 1).holds, said(most + 1).reason) == (False, Reason.DIRECTORY_NEARLY_FULL)
    assert said(most + 1).message.startswith("Directory shard 07 has 819 KiB of the 1024 KiB")
