"""The status of every kind but the MailServer, from its verdict and from what the platform made of it.

A report equal to the status that is there is None: nothing is written, and nobody's watch wakes up.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from postboat.api.resource import Resource
from postboat.model.kinds import RULES
from postboat.model.kinds.rules import COMMON, Observed
from postboat.model.platform import Platform
from postboat.model.verdict import Verdict
from postboat.status import agents, conditions
from postboat.status.observation import Moment, Workload


def report(  # noqa: PLR0913 - what is known of an object
    resource: Resource,
    verdict: Verdict,
    platform: Platform | None,
    moment: Moment,
    *,
    in_force: bool,
    paused: bool = False,
    workloads: tuple[Workload, ...] = (),
    seen: Any | None = None,  # noqa: ANN401 -- each kind is told its own
) -> dict[str, Any] | None:
    """Write the status of an object that belongs to a platform, or to none; None when it is there already.

    `seen` is what the pods have told of it since the operator began.
    """
    pending = agents.waiting(workloads, resource.generation)
    ready = conditions.ready(verdict, in_force=in_force and verdict.effective, paused=paused, pending=pending)
    written = [conditions.accepted(verdict), ready]
    facts = dict(_facts(resource, verdict, platform))
    if verdict.effective:
        observed = RULES[resource.kind].observed(resource, seen, moment.now)
        facts |= observed.fields
        written += _observed(resource, observed)
    return unless_equal(resource, statement(resource, tuple(written), moment) | facts)


def _observed(resource: Resource, observed: Observed) -> Iterator[conditions.Condition]:
    """Give the condition that the pods have told of, or the one that is there while they have told nothing."""
    if observed.condition:
        yield conditions.Condition(observed.condition, observed.holds, observed.reason, observed.message)
        return
    before = resource.status.get("conditions") or ()
    for kind in RULES[resource.kind].observed_conditions:
        there = conditions.kept(before, kind)
        if there is not None:
            yield there


def statement(resource: Resource, written: tuple[conditions.Condition, ...], moment: Moment) -> dict[str, Any]:
    """Write what all statuses have in common."""
    before = resource.status.get("conditions") or ()
    return {
        "observedGeneration": resource.generation,
        "conditions": conditions.merge(before, written, resource.generation, moment.now),
    }


def unless_equal(resource: Resource, status: dict[str, Any]) -> dict[str, Any] | None:
    """Give the status, unless the object has it already; fields that others write do not count.

    It is written as a merge patch, which takes nothing away by itself: what holds no more is None in it.
    """
    there = _own(resource)
    return None if there == status else _patch(there, status)


def _own(resource: Resource) -> dict[str, Any]:
    fields = RULES[resource.kind].status_fields
    return {field: resource.status[field] for field in fields if field in resource.status}


def _patch(there: Mapping[str, Any], status: Mapping[str, Any]) -> dict[str, Any]:
    patch: dict[str, Any] = {field: None for field in there if field not in status}
    for field, value in status.items():
        old = there.get(field)
        patch[field] = _patch(old, value) if isinstance(old, Mapping) and isinstance(value, Mapping) else value
    return patch


def _facts(resource: Resource, verdict: Verdict, platform: Platform | None) -> Mapping[str, Any]:
    rules = RULES[resource.kind]
    if not verdict.effective:
        return rules.kept(resource)
    if platform is None:
        return {field: value for field, value in _own(resource).items() if field not in COMMON}
    return rules.facts(resource, verdict, platform)
