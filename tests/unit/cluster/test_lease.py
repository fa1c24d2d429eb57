"""The arithmetic of the Lease: only our own clock counts, and only from when a state was first seen."""

from __future__ import annotations

from typing import Any

from postboat.cluster.lease import Observation


def lease(holder: str, renewed: str, duration: int = 15) -> dict[str, Any]:
    return {"spec": {"holderIdentity": holder, "renewTime": renewed, "leaseDurationSeconds": duration}}


def test_a_foreign_lease_is_free_after_its_duration_without_renewal() -> None:
    seen = Observation()
    seen.learn(lease("other", "t1"), 100.0)
    assert not seen.free("me", 114.9)
    assert seen.free("me", 115.0)


def test_a_renewal_starts_the_time_anew_whatever_its_clock_says() -> None:
    seen = Observation()
    seen.learn(lease("other", "2030"), 100.0)
    seen.learn(lease("other", "1970"), 114.0)
    assert not seen.free("me", 120.0)
    seen.learn(lease("other", "1970"), 121.0)
    assert seen.free("me", 129.0)


def test_our_own_and_a_released_lease_are_free() -> None:
    seen = Observation()
    seen.learn(lease("me", "t1"), 100.0)
    assert seen.free("me", 100.0)
    seen.learn(lease("", "t2", 1), 101.0)
    assert seen.free("me", 101.0)


def test_a_lease_without_a_spec_is_free() -> None:
    seen = Observation()
    seen.learn({}, 100.0)
    assert seen.free("me", 100.0)
