"""The status of every kind but the MailServer, from its verdict and the platform.

A status that is equal to the written one is None, so that nothing is written and no watch is woken.
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
    """Return the merge patch for the status of an object; None when the status is as it should be.

    Args:
        platform: The platform that the object belongs to; None when it belongs to none.
        in_force: Whether every replica has loaded a plan with this generation.
        paused: Whether the MailServer has `spec.paused`.
        workloads: The workloads of the platform, for the message of Ready.
        seen: What the pods have reported of it since the operator started, in a type of its kind; None when nothing.
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
    """Yield the condition that the pods have reported; while they have reported nothing, the one that is written."""
    if observed.condition:
        yield conditions.Condition(observed.condition, observed.holds, observed.reason, observed.message)
        return
    before = resource.status.get("conditions") or ()
    for kind in RULES[resource.kind].observed_conditions:
        there = conditions.kept(before, kind)
        if there is not None:
            yield there


def statement(resource: Resource, written: tuple[conditions.Condition, ...], moment: Moment) -> dict[str, Any]:
    """Return `observedGeneration` and `conditions` of a status.

    Args:
        written: All conditions; those that are not among them are dropped.
    """
    before = resource.status.get("conditions") or ()
    return {
        "observedGeneration": resource.generation,
        "conditions": conditions.merge(before, written, resource.generation, moment.now),
    }


def unless_equal(resource: Resource, status: dict[str, Any]) -> dict[str, Any] | None:
    """Return the JSON merge patch (RFC 7386) that leads to a status; None when there is no difference.

    A merge patch removes a field only by None, so fields that are no longer in the status are None in it. Fields of the
    status that others write are left alone.

    Args:
        resource: The object with its status as read.
        status: The whole status that the kind writes.
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
