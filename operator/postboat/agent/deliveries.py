"""The last deliveries through a relay host, as agents report them and the operator reads them."""

from __future__ import annotations

from dataclasses import dataclass

PREFIX = "rh-"
"""Prefix of the Postfix transports of relay hosts."""
LONGEST = 300
"""Characters of an answer that are kept."""
UNVALIDATED = "DNSSEC validation may be unavailable"
"""What Postfix says when its resolver sets no AD bit (dnssec_probe in postconf(5)); it ends texts of deferred mail."""
OUTCOMES = ("accepted", "deferred", "refused")


@dataclass(frozen=True, slots=True)
class Delivery:
    """One delivery through a relay host."""

    at: int
    """Unix time in seconds."""
    code: str
    """Enhanced status code (RFC 3463)."""
    text: str
    """What the server answered, or why it was not reached, up to LONGEST characters; addresses are replaced."""


@dataclass(frozen=True, slots=True)
class Deliveries:
    """The last delivery of each outcome; None when there was none since the container started."""

    accepted: Delivery | None = None
    deferred: Delivery | None = None
    refused: Delivery | None = None


def merged(told: list[Deliveries]) -> Deliveries:
    """Return the last delivery of each outcome among those that several pods report."""

    def last(outcome: str) -> Delivery | None:
        found = (delivery for one in told if (delivery := getattr(one, outcome)) is not None)
        return max(found, key=lambda delivery: delivery.at, default=None)

    return Deliveries(last("accepted"), last("deferred"), last("refused"))
