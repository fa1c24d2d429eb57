"""Which statuses are due: a bulk import costs one write an object, a delay is told once."""

from __future__ import annotations

from postboat.controller.statuses.ready_tracker import Due, ReadyTracker
from postboat.model.verdict import ACCEPTED, Reason, Verdict

ALICE = ("Mailbox", "alice")
BOB = ("Mailbox", "bob")
REFUSED = Verdict(Reason.CONFLICT, "taken", "metadata.name")


def test_an_accepted_object_is_told_when_it_is_in_force() -> None:
    board = ReadyTracker(patience=15)
    assert board.changed(ALICE, "uid", 1, ACCEPTED, 5, 0.0) is None
    assert board.advance(4, 1.0) == []
    assert board.advance(5, 2.0) == [Due(ALICE, "uid", 1, ACCEPTED, in_force=True)]
    assert board.advance(6, 3.0) == []


def test_a_refusal_is_told_at_once() -> None:
    board = ReadyTracker()
    assert board.changed(ALICE, "uid", 1, REFUSED, 5, 0.0) == Due(ALICE, "uid", 1, REFUSED, in_force=False)
    assert board.advance(5, 1.0) == []


def test_a_refusal_takes_back_what_waited() -> None:
    board = ReadyTracker()
    board.changed(ALICE, "uid", 1, ACCEPTED, 5, 0.0)
    assert board.changed(ALICE, "uid", 2, REFUSED, 6, 0.0) == Due(ALICE, "uid", 2, REFUSED, in_force=False)
    assert board.advance(9, 1.0) == []


def test_a_change_that_is_in_force_already_is_told_at_once() -> None:
    board = ReadyTracker()
    board.advance(5, 0.0)
    assert board.changed(ALICE, "uid", 3, ACCEPTED, 5, 1.0) == Due(ALICE, "uid", 3, ACCEPTED, in_force=True)


def test_a_long_delay_is_told_once_and_only_without_progress() -> None:
    board = ReadyTracker(patience=15)
    board.changed(ALICE, "uid", 1, ACCEPTED, 5, 0.0)
    board.changed(BOB, "uid", 1, ACCEPTED, 9, 0.0)
    assert board.advance(3, 10.0) == []
    assert board.advance(5, 20.0) == [Due(ALICE, "uid", 1, ACCEPTED, in_force=True)]
    assert board.advance(5, 30.0) == [], "there was progress ten seconds ago"
    assert board.advance(5, 36.0) == [Due(BOB, "uid", 1, ACCEPTED, in_force=False)]
    assert board.advance(5, 99.0) == []
    assert board.advance(9, 100.0) == [Due(BOB, "uid", 1, ACCEPTED, in_force=True)]


def test_an_object_that_is_gone_is_forgotten() -> None:
    board = ReadyTracker()
    board.changed(ALICE, "uid", 1, ACCEPTED, 5, 0.0)
    board.gone([ALICE, BOB])
    assert board.advance(5, 1.0) == []
    assert len(board) == 0


def test_an_object_of_another_uid_waits_anew() -> None:
    board = ReadyTracker(patience=15)
    board.changed(ALICE, "first", 1, ACCEPTED, 5, 0.0)
    board.changed(ALICE, "second", 1, ACCEPTED, 6, 1.0)
    assert board.advance(5, 2.0) == []
    assert board.advance(6, 3.0) == [Due(ALICE, "second", 1, ACCEPTED, in_force=True)]


def test_what_these_pods_never_served_is_told_at_once_and_trusted_no_more() -> None:
    board = ReadyTracker(patience=15)
    assert board.changed(ALICE, "uid", 1, ACCEPTED, 5, 0.0, anew=True) == Due(
        ALICE, "uid", 1, ACCEPTED, in_force=False, anew=True
    )
    again = board.changed(ALICE, "uid", 1, ACCEPTED, 6, 1.0)
    assert again is not None
    assert again.anew


def test_many_are_told_in_slices() -> None:
    board = ReadyTracker(patience=15)
    board.changed(ALICE, "uid", 1, ACCEPTED, 5, 0.0)
    board.changed(BOB, "uid", 1, ACCEPTED, 5, 0.0)
    assert board.advance(5, 1.0, most=0) == []
    assert board.advance(5, 99.0, most=1) == [Due(ALICE, "uid", 1, ACCEPTED, in_force=True)]
    assert board.advance(5, 100.0, most=1) == [Due(BOB, "uid", 1, ACCEPTED, in_force=True)]
