"""Applies a plan: writes objects, prunes old ones, sets the digests that the pods have to load, reports what changed.

While `spec.paused` is set it writes nothing and reports what would change.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from postboat import telemetry
from postboat.cluster.apply import Family, Outcome
from postboat.cluster.types import ApiError, FencedError, Key
from postboat.controller.reconcile.blocked import BlockedObjects
from postboat.controller.reconcile.lookups import addresses, named_shards
from postboat.controller.reconcile.worker import NamespaceEndsError, NotLeadingError
from postboat.controller.rollout.progress import Target
from postboat.model.defaults import paused
from postboat.model.kinds import secret_names
from postboat.model.references import internal_secret, self_signed_secret
from postboat.objects.config import contents_of, note_of
from postboat.objects.meta import TEMPLATE_DIGEST
from postboat.objects.plan import demanded, emptied, lacking
from postboat.render.units import SHARD_KEYS

if TYPE_CHECKING:
    from collections.abc import Mapping

    from postboat.api import Resource
    from postboat.cluster.apply import Applier
    from postboat.cluster.client import Client
    from postboat.controller.planner import Decided
    from postboat.controller.rollout.observer import Observer
    from postboat.controller.statuses.reporter import Reporter
    from postboat.model.verdict import Key as ObjectKey
    from postboat.objects.plan import KubeObject, Plan
    from postboat.render.files import ShardKey

log = logging.getLogger(__name__)
FEW = 5
LONGEST = 300
"""Letters of what the server says about one object."""


class PlanApplier:
    """The hands of one MailServer."""

    def __init__(self, key: Key, client: Client, applier: Applier, observer: Observer, reporter: Reporter) -> None:
        self._key = key
        self._client, self._applier = client, applier
        self._observer, self._reporter = observer, reporter
        self._blocked: BlockedObjects[Resource | None] = BlockedObjects()
        self._untried: dict[ObjectKey, Resource | None] = {}
        self._emptied: Mapping[int, Mapping[str, str]] = {}
        self.endpoints_due = True

    def apply(
        self, decided: Decided, server: Resource, touched: Mapping[ObjectKey, Resource | None], lacking: str = ""
    ) -> str:
        """Make the cluster as planned; the result says what was refused, or nothing.

        `lacking` says which keys could not be made, which holds up nothing else. Files that could not be applied never
        come into force, so the agents' word counts for everything that was; of a shard, they are expected to have what
        it was before, and what changed with it waits.
        """
        plan = decided.plan
        if paused(server):
            self._hold(decided, server, touched)
            return ""
        if plan.platform is None:
            self._untried |= touched
            self._reporter.judged(decided, touched, self._observer.sequence + 1, sync_error=lacking)
            return lacking
        plan, outcome, fault = self._apply(plan, server)
        fault = "; ".join(filter(None, (fault, lacking)))
        self._untried |= touched
        if outcome.stopped:
            sequence = self._observer.follow(plan.digests, _targets(plan))
            self._reporter.judged(decided, touched, sequence, sync_error=fault)
        else:
            self._judge(decided, plan, outcome, fault)
        self._look_up_endpoints()
        return fault

    def _judge(self, decided: Decided, plan: Plan, outcome: Outcome, fault: str) -> None:
        """Follow what was written into the pods, and tell apart what must wait for a shard that was not."""
        shards = {item.shard: item for item in plan.objects if item.shard is not None and item.ref in outcome.unwritten}
        held = {number: contents_of(outcome.unwritten[item.ref].note) for number, item in shards.items()}
        sequence = self._observer.follow(demanded(plan, {**held, **self._emptied}), _targets(plan))
        parted = self._blocked.part(self._untried, {number: item.digest for number, item in shards.items()})
        self._untried = {}
        self._reporter.unwritten(decided, parted.waiting)
        self._reporter.judged(decided, parted.free, sequence, sync_error=fault)

    def _hold(self, decided: Decided, server: Resource, touched: Mapping[ObjectKey, Resource | None]) -> None:
        plan = decided.plan
        self._untried |= touched
        self._observer.hold()
        held = [f"Secret/{wanted.name}" for wanted in plan.wanted]
        if plan.complete:
            family = family_of(server)
            held.extend((*self._applier.differing(family, plan.objects), *self._applier.unowned(family)))
        if plan.complete and not held:
            sequence = self._observer.follow(plan.digests, _targets(plan), hands_off=True)
        else:
            known = self._observer.sequence or self._observer.follow({}, _targets(plan), hands_off=True)
            sequence = known + 1
        self._reporter.judged(decided, touched, sequence, held=tuple(held))

    def _apply(self, plan: Plan, server: Resource) -> tuple[Plan, Outcome, str]:
        """Apply and prune; the result is the plan as far as it could be made to hold, and what was refused, or nothing.

        While anything is unwritten, only shards are pruned: whom a plan leaves out must not log in any longer, but what
        else it leaves out may be needed by what could not be written.
        """
        outcome = self._applier.apply([item for item in plan.objects if item.shard is not None])
        if not outcome.stopped:
            plan = lacking(plan, self._never_written(plan, outcome))
            outcome = self._applier.apply([item for item in plan.objects if item.shard is None], outcome)
        for applied in outcome.applied:
            telemetry.APPLIES.labels(applied.partition("/")[0]).inc()
        if outcome.applied:
            extra = {"namespace": self._key.namespace, "mailserver": self._key.name, "names": _few(outcome.applied)}
            log.info("applied %d objects", len(outcome.applied), extra=extra)
        fault = _fault(outcome)
        if outcome.stopped:
            return plan, outcome, fault
        adopted = self._applier.adopt(family_of(server))
        pruned = self._prune(plan, server, outcome, only_shards=bool(fault))
        return plan, outcome, "; ".join(filter(None, (fault, _fault(adopted), _fault(pruned))))

    def _prune(self, plan: Plan, server: Resource, outcome: Outcome, *, only_shards: bool) -> Outcome:
        """Delete what is surplus, but empty a shard that a manifest still names: where it is missing its rows stay."""
        family = family_of(server)
        kept: tuple[KubeObject, ...] = ()
        if plan.platform is not None and any(("ConfigMap", name) in outcome.unwritten for name in _readers(plan)):
            kept = tuple(
                emptied(plan.platform, int(name[-2:]), contents_of(note))
                for name, note in self._applier.surplus_shards(family, plan.objects).items()
            )
        failed = self._applier.apply(kept) if kept else Outcome()
        self._emptied = {item.shard: contents_of(note_of(item.body)) for item in kept if item.shard is not None}
        pruned = self._applier.prune(family, (*plan.objects, *kept), only_shards=only_shards)
        for name in pruned.pruned:
            telemetry.PRUNES.labels(name.partition("/")[0]).inc()
            log.info("pruned %s", name, extra={"namespace": self._key.namespace, "mailserver": self._key.name})
        pruned.failures |= failed.failures
        return pruned

    def _never_written(self, plan: Plan, outcome: Outcome) -> frozenset[ShardKey]:
        """Tell which shards could not be written and are not there, unless the pods have been told to expect them."""
        if plan.files is None:
            return frozenset()
        numbers = {item.shard: item.ref for item in plan.objects if item.shard is not None}
        there = {
            number: contents_of(outcome.unwritten[ref].note)
            for number, ref in numbers.items()
            if ref in outcome.unwritten
        }
        absent = frozenset((number, key) for number, key in plan.files.shards if key not in there.get(number, (key,)))
        return absent - named_shards(self._client, self._key) if absent else absent

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


def _readers(plan: Plan) -> frozenset[str]:
    """Name the ConfigMaps whose manifests name shards."""
    return (
        frozenset(f"{plan.platform.name}-{unit}" for unit in SHARD_KEYS) if plan.platform is not None else frozenset()
    )


def family_of(server: Resource) -> Family:
    """Tell which children belong to a MailServer, and which Secrets hold keys of its own."""
    keys = frozenset({internal_secret(server.name), self_signed_secret(server.name)})
    return Family(server.namespace, server.name, server.uid, secret_names(server), keys)


def _targets(plan: Plan) -> dict[str, Target]:
    found = {}
    for item in plan.objects:
        if item.kind == "StatefulSet":
            spec = item.body["spec"]
            template = spec["template"]["metadata"]["annotations"][TEMPLATE_DIGEST]
            found[item.name] = Target(int(spec.get("replicas", 1)), template)
    return found


def _fault(outcome: Outcome) -> str:
    """Name what was refused, and why, and what waits for it; the same words as long as nothing changes."""
    failures = outcome.failures
    if not failures:
        return ""
    if any(isinstance(failure, FencedError) for failure in failures.values()):
        raise NotLeadingError
    if any(isinstance(failure, ApiError) and failure.ending for failure in failures.values()):
        raise NamespaceEndsError
    several = f"{len(failures)} objects" if len(failures) > 1 else "1 object"
    told = [f"{kind}/{name} ({str(failure)[:LONGEST]})" for (kind, name), failure in failures.items()]
    fault = f"{several} could not be written: {_few(told)}"
    if outcome.waiting:
        fault += f"; {_few([f'{kind}/{name}' for kind, name in outcome.waiting])} must wait"
    return fault + ("; the rest was not tried" if outcome.stopped else "")


def _few(names: list[str]) -> str:
    return ", ".join(names[:FEW]) + (f" and {len(names) - FEW} more" if len(names) > FEW else "")
