"""What became of the last deliveries through a relay host: plain values, which agents tell and the operator reads."""

from __future__ import annotations

from dataclasses import dataclass

PREFIX = "rh-"
"""So begins the name of the transport of a relay host."""
LONGEST = 300
"""Characters of an answer that are kept."""
OUTCOMES = ("accepted", "deferred", "refused")


@dataclass(frozen=True, slots=True)
class Delivery:
    """One delivery: when (Unix time in seconds), the enhanced status code (RFC 3463), and what was said."""

    at: int
    code: str
    text: str


@dataclass(frozen=True, slots=True)
class Deliveries:
    """The last delivery of each outcome; None where there was none since the container began."""

    accepted: Delivery | None = None
    deferred: Delivery | None = None
    refused: Delivery | None = None


def merged(told: list[Deliveries]) -> Deliveries:
    """Give the last of each outcome that several pods tell of."""

    def last(outcome: str) -> Delivery | None:
        found = (delivery for one in told if (delivery := getattr(one, outcome)) is not None)
        return max(found, key=lambda delivery: delivery.at, default=None)

    return Deliveries(last("accepted"), last("deferred"), last("refused"))
