"""Brings a plan about: applied objects, pruned leftovers, demands on the pods, judgements of what the plan touched.

While spec.paused is set it only looks, and tells what would change.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from postboat import telemetry
from postboat.api.mailserver import MailServerSpec
from postboat.cluster.apply import Family
from postboat.cluster.types import ApiError, FencedError, Key
from postboat.controller.lookups import addresses
from postboat.controller.queue import NamespaceEndsError, NotLeadingError
from postboat.controller.rollout import Target
from postboat.model.references import secret_names
from postboat.objects.meta import TEMPLATE_DIGEST

if TYPE_CHECKING:
    from collections.abc import Mapping

    from postboat.api import Resource
    from postboat.cluster.apply import Applier, Outcome
    from postboat.cluster.client import Client
    from postboat.controller.observer import Observer
    from postboat.controller.reconcile import Decided
    from postboat.controller.reporter import Reporter
    from postboat.model.verdict import Key as ObjectKey
    from postboat.objects.plan import Plan

log = logging.getLogger(__name__)
FEW = 5


class Execution:
    """The hands of one MailServer."""

    def __init__(self, key: Key, client: Client, applier: Applier, observer: Observer, reporter: Reporter) -> None:
        self._key = key
        self._client, self._applier = client, applier
        self._observer, self._reporter = observer, reporter
        self.endpoints_due = True

    def bring_about(
        self, decided: Decided, server: Resource, touched: Mapping[ObjectKey, Resource | None], lacking: str = ""
    ) -> str:
        """Make the cluster as planned; the result says what was refused, or nothing.

        `lacking` says which keys could not be made, which holds up nothing else. What could not be applied never comes
        into force, so the agents' word counts for everything that was.
        """
        plan = decided.plan
        if paused(server):
            self._hold(decided, server, touched)
            return ""
        if plan.platform is None:
            self._reporter.judged(decided, touched, self._observer.sequence + 1, sync_error=lacking)
            return lacking
        fault = self._apply(plan, server) or lacking
        sequence = self._observer.follow(plan.digests, _targets(plan))
        self._reporter.judged(decided, touched, sequence, sync_error=fault)
        self._look_up_endpoints()
        return fault

    def _hold(self, decided: Decided, server: Resource, touched: Mapping[ObjectKey, Resource | None]) -> None:
        plan = decided.plan
        self._observer.hold()
        held = [f"Secret/{wanted.name}" for wanted in plan.wanted]
        if plan.complete:
            held.extend(self._applier.differing(_family(server), plan.objects))
        if plan.complete and not held:
            sequence = self._observer.follow(plan.digests, _targets(plan), hands_off=True)
        else:
            known = self._observer.sequence or self._observer.follow({}, _targets(plan), hands_off=True)
            sequence = known + 1
        self._reporter.judged(decided, touched, sequence, held=tuple(held))

    def _apply(self, plan: Plan, server: Resource) -> str:
        """Apply and prune; the result says what was refused, or nothing."""
        outcome = self._applier.apply(plan.objects)
        for applied in outcome.applied:
            telemetry.APPLIES.labels(applied.partition("/")[0]).inc()
        if outcome.applied:
            extra = {"mailserver": self._key.name, "names": _few(outcome.applied)}
            log.info("applied %d objects", len(outcome.applied), extra=extra)
        if fault := _fault(outcome):
            return fault
        pruned = self._applier.prune(_family(server), plan.objects)
        for name in pruned.pruned:
            telemetry.PRUNES.labels(name.partition("/")[0]).inc()
            log.info("pruned %s", name, extra={"mailserver": self._key.name})
        return _fault(pruned)

    def _look_up_endpoints(self) -> None:
        if not self.endpoints_due:
            return
        self.endpoints_due = False
        try:
            found = addresses(self._client, self._key)
        except Exception:
            self.endpoints_due = True
            raise
        self._reporter.endpoints(found)


def paused(server: Resource) -> bool:
    """Tell whether a MailServer asks to be left as it is."""
    return isinstance(server.spec, MailServerSpec) and bool(server.spec.paused)


def _family(server: Resource) -> Family:
    return Family(server.namespace, server.name, server.uid, secret_names(server))


def _targets(plan: Plan) -> dict[str, Target]:
    found = {}
    for item in plan.objects:
        if item.kind == "StatefulSet":
            spec = item.body["spec"]
            template = spec["template"]["metadata"]["annotations"][TEMPLATE_DIGEST]
            found[item.name] = Target(int(spec.get("replicas", 1)), template)
    return found


def _fault(outcome: Outcome) -> str:
    if not outcome.failures:
        return ""
    if any(isinstance(failure, FencedError) for failure in outcome.failures):
        raise NotLeadingError
    if any(isinstance(failure, ApiError) and failure.ending for failure in outcome.failures):
        raise NamespaceEndsError
    return f"{len(outcome.failures)} objects could not be written: {outcome.failures[0]}"


def _few(names: list[str]) -> str:
    return ", ".join(names[:FEW]) + (" ..." if len(names) > FEW else "")
