"""When a reconcile is due: quiet, cap, rest and backoff on a clock that the test moves."""

from __future__ import annotations

import threading

import pytest

from postboat.cluster.retry import Backoff
from postboat.cluster.types import Key
from postboat.controller.reconcile.worker import Debounce, Pace, Worker

PACE = Pace(quiet=0.05, cap=0.25, longest_rest=1.0, backoff=Backoff(base=0.5, cap=60))


def test_a_single_change_is_debounced() -> None:
    debounce = Debounce(PACE)
    assert debounce.due() is None
    debounce.touch(10.0)
    assert debounce.due() == 10.05


def test_many_changes_wait_no_longer_than_the_cap() -> None:
    debounce = Debounce(PACE)
    for step in range(100):
        debounce.touch(10.0 + step * 0.01)
    assert debounce.due() == 10.25


def test_a_change_during_a_reconcile_asks_for_another() -> None:
    debounce = Debounce(PACE)
    debounce.touch(10.0)
    debounce.begin()
    assert not debounce.pending
    debounce.touch(10.1)
    debounce.succeeded(10.05, 10.2, 0.12)
    assert debounce.due() == 10.2 + 0.12


def test_the_rest_after_a_long_reconcile_is_bounded() -> None:
    debounce = Debounce(PACE)
    debounce.succeeded(10.0, 30.0, 15.0)
    debounce.touch(30.0)
    assert debounce.due() == 31.0


def test_waiting_for_the_server_is_no_work_to_rest_from() -> None:
    debounce = Debounce(PACE)
    debounce.succeeded(10.0, 20.0, 0.1)
    debounce.touch(20.0)
    assert debounce.due() == 20.1


def test_changes_in_bulk_rest_as_long_as_their_last_round_took() -> None:
    debounce = Debounce(PACE)
    for _ in range(PACE.bulk_changes + 1):
        debounce.touch(10.0)
    assert debounce.due() == 10.05, "nothing was done yet"
    debounce.begin()
    debounce.succeeded(11.0, 14.0, 2.0)
    debounce.touch(14.0)
    assert debounce.due() == 15.0, "one change waits a second at most"
    for second in range(PACE.bulk_changes):
        debounce.touch(14.0 + 3.0 * second / PACE.bulk_changes)
    assert debounce.due() == 17.0
    debounce.begin()
    debounce.succeeded(20.0, 50.0, 25.0)
    for _ in range(PACE.bulk_changes + 1):
        debounce.touch(50.0)
    assert debounce.due() == 51.0, "the bulk of changes is over"
    debounce.touch(54.9)
    assert debounce.due() == 50.0 + PACE.bulk_rest


def test_failures_wait_longer_each_time_and_a_success_forgets_them() -> None:
    debounce = Debounce(PACE)
    debounce.touch(0.0)
    debounce.begin()
    pauses = [debounce.failed(0.0, 0.0, 1.0) for _ in range(9)]
    assert pauses == [0.5, 1, 2, 4, 8, 16, 32, 60, 60]
    assert debounce.due() == 60.0
    debounce.begin()
    debounce.succeeded(60.0, 60.0, 0.0)
    assert debounce.failed(60.0, 60.0, 1.0) == 0.5


def test_a_worker_survives_failures_and_does_not_run_while_paused() -> None:
    ran = threading.Event()
    attempts: list[int] = []

    def reconcile() -> None:
        attempts.append(1)
        if len(attempts) == 1:
            raise RuntimeError("a bug")
        ran.set()

    quick = Pace(quiet=0.0, cap=0.0, backoff=Backoff(base=0.01, cap=0.01))
    worker = Worker(Key("ns", "mail"), reconcile, pace=quick)
    worker.pause(paused=True)
    worker.start()
    worker.wake()
    assert not ran.wait(0.1)
    assert attempts == []
    worker.pause(paused=False)
    assert ran.wait(5)
    worker.stop()
    worker.join(5)
    assert not worker.is_alive()
    assert len(attempts) == 2


def test_a_resync_comes_by_itself() -> None:
    ran = threading.Event()
    asked: list[int] = []
    worker = Worker(
        Key("ns", "mail"), ran.set, pace=Pace(quiet=0, cap=0, resync=0.05), on_resync=lambda: asked.append(1)
    )
    worker.start()
    assert ran.wait(5)
    worker.stop()
    worker.join(5)
    assert asked


def test_a_worker_waits_for_its_predecessor() -> None:
    ran, writing = threading.Event(), threading.Event()
    before = threading.Thread(target=writing.wait, args=(10,), daemon=True)
    before.start()
    worker = Worker(Key("ns", "mail"), ran.set, pace=Pace(quiet=0, cap=0))
    worker.after = before
    worker.wake()
    worker.start()
    assert not ran.wait(0.3)
    writing.set()
    assert ran.wait(5)
    worker.stop()


def test_many_changes_do_not_put_a_resync_off() -> None:
    resynced = threading.Event()
    worker = Worker(
        Key("ns", "mail"), lambda: None, pace=Pace(quiet=0, cap=0, longest_rest=0, resync=0.2), on_resync=resynced.set
    )
    worker.start()
    for _ in range(200):
        worker.wake()
        if resynced.wait(0.02):
            break
    assert resynced.is_set()
    worker.stop()


def test_news_need_not_wait_until_the_pause_after_a_failure_is_over() -> None:
    debounce = Debounce(PACE)
    for _ in range(9):
        debounce.failed(0.0, 0.1, 1.0)
    debounce.touch(10.0)
    assert debounce.due() == 60.1, "what a failed attempt itself brought about is no news"
    debounce.touch(10.0, news=True)
    assert debounce.due() == 0.35, "at once"


@pytest.mark.parametrize(("took", "rest"), [(0.1, 0.25), (0.5, 0.5), (30.0, 1.0)])
def test_news_during_a_failed_attempt_wait_for_the_rest_that_a_success_would_have(took: float, rest: float) -> None:
    """And for the cap at least: a failure that makes its own news must not be tried without end."""
    debounce = Debounce(PACE)
    for _ in range(9):
        debounce.failed(0.0, took, 1.0)
    debounce.touch(took, news=True)
    assert debounce.due() == took + rest
