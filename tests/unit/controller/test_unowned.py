"""Objects that no MailServer claims: they are told so, and everything else is left to its MailServer."""

from __future__ import annotations

from dataclasses import replace

import pytest

from postboat.api import Resource
from postboat.controller.watch.unowned import UnownedObjects, is_unowned
from tests.golden import world

ANNA = world.resource("Mailbox", "anna", {})
NAMED = world.resource("Mailbox", "bert", {"server": "other"})
REFUSED = world.resource("Mailbox", "carl", {"nonsense": True})


@pytest.mark.parametrize(
    ("resource", "servers", "unowned"),
    [
        (ANNA, ("mail",), False),
        (ANNA, (), True),
        (NAMED, ("mail",), True),
        (NAMED, ("mail", "other"), False),
        (NAMED, (), True),
        (REFUSED, ("mail",), False),
        (REFUSED, (), True),
    ],
)
def test_what_has_no_server_is_unowned(resource: Resource, servers: tuple[str, ...], *, unowned: bool) -> None:
    assert is_unowned(resource, servers) is unowned


def test_only_living_objects_without_a_server_are_judged_and_all_of_them() -> None:
    judged: list[Resource] = []
    leaving = replace(NAMED, name="leaving", deleting=True)
    last = replace(NAMED, name="last")
    UnownedObjects(judged.append).look([world.server(name="third"), leaving, ANNA, NAMED, REFUSED, last], ("mail",))
    assert judged == [NAMED, last]
