"""What is tried again, and after how long."""

from __future__ import annotations

import pytest

from postboat.cluster.retry import ONCE, Backoff, RetryPolicy
from postboat.cluster.types import ApiError, ConnectionFailedError, api_error

POLICY = RetryPolicy(attempts=3, backoff=Backoff(base=0.1, cap=4.0))


def error(status: int, retry_after: float | None = None) -> ApiError:
    return api_error(status, "", "GET /x", retry_after=retry_after)


@pytest.mark.parametrize("status", [401, 429, 500, 503, 504])
def test_transient_answers_are_tried_again(status: int) -> None:
    assert POLICY.pause(error(status), 1, 1.0) == pytest.approx(0.1)


@pytest.mark.parametrize("status", [400, 403, 404, 409, 410, 422])
def test_final_answers_are_not(status: int) -> None:
    assert POLICY.pause(error(status), 1, 1.0) is None


def test_a_broken_connection_is_tried_again_until_the_attempts_are_used_up() -> None:
    failure = ConnectionFailedError("x")
    assert POLICY.pause(failure, 2, 1.0) == pytest.approx(0.2)
    assert POLICY.pause(failure, 3, 1.0) is None
    assert ONCE.pause(failure, 1, 1.0) is None


def test_the_server_may_ask_for_a_longer_pause_but_not_for_ever() -> None:
    assert POLICY.pause(error(429, 2.0), 1, 1.0) == 2.0
    assert POLICY.pause(error(429, 900.0), 1, 1.0) == POLICY.longest_asked_wait


def test_delays_grow_up_to_the_cap_and_never_vanish() -> None:
    backoff = Backoff(base=0.1, cap=10)
    assert backoff.delay(1, 0.0) == pytest.approx(0.05)
    assert backoff.delay(500, 1.0) == 10
