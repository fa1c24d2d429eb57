"""Who waits for a shard that cannot be written, and who does not."""

from __future__ import annotations

from postboat.controller.reconcile.blocked import BlockedObjects

ANNA, BEN, CARA = ("Mailbox", "anna"), ("Mailbox", "ben"), ("Mailbox", "cara")


def test_what_changed_with_a_refused_shard_waits_and_later_changes_do_not() -> None:
    backlog: BlockedObjects[int] = BlockedObjects()
    first = backlog.part({ANNA: 1}, {7: "a"})
    assert (first.free, first.waiting) == ({}, {ANNA: 1})
    again = backlog.part({BEN: 1}, {7: "a"})
    assert (again.free, again.waiting) == ({BEN: 1}, {})
    done = backlog.part({CARA: 1}, {})
    assert (done.free, done.waiting) == ({ANNA: 1, CARA: 1}, {})
    assert backlog.part({}, {}).free == {}


def test_a_refused_shard_that_is_to_become_something_else_is_news() -> None:
    backlog: BlockedObjects[int] = BlockedObjects()
    backlog.part({ANNA: 1}, {7: "a"})
    assert backlog.part({BEN: 1}, {7: "b"}).waiting == {BEN: 1}


def test_a_change_that_waits_is_not_let_go_by_another_change_of_the_same_object() -> None:
    backlog: BlockedObjects[int] = BlockedObjects()
    backlog.part({ANNA: 1}, {7: "a"})
    assert backlog.part({ANNA: 2}, {7: "a"}).waiting == {ANNA: 2}
    assert backlog.part({}, {}).free == {ANNA: 2}


def test_each_waits_for_its_own_shards() -> None:
    backlog: BlockedObjects[int] = BlockedObjects()
    backlog.part({ANNA: 1}, {7: "a"})
    assert backlog.part({BEN: 1}, {7: "a", 9: "x"}).waiting == {BEN: 1}
    assert backlog.part({}, {9: "x"}).free == {ANNA: 1}
    assert backlog.part({}, {}).free == {BEN: 1}


def test_a_shard_that_is_refused_again_later_is_news() -> None:
    backlog: BlockedObjects[int] = BlockedObjects()
    backlog.part({ANNA: 1}, {7: "a"})
    assert backlog.part({}, {}).free == {ANNA: 1}
    assert backlog.part({BEN: 1}, {7: "a"}).waiting == {BEN: 1}
