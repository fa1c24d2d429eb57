"""The status of a MailServer: its verdict, objects, pods and certificate, and the numbers of what belongs to it.

Ready is True when all of these are as they should be and every replica has loaded the newest plan.
"""

from dataclasses import asdict
from datetime import datetime
from typing import Any, Final

from postboat.agent.ports import CLIENTS
from postboat.api.exposure import TrafficPolicy
from postboat.api.mailserver import MailServerSpec
from postboat.api.resource import Resource
from postboat.model import certificates
from postboat.model.platform import CertificateSource, Platform
from postboat.model.retention.inventory import listed_since
from postboat.model.verdict import Reason, Verdict
from postboat.objects.plan import Plan
from postboat.status import agents, claims, conditions, directory, storage, volumes
from postboat.status.conditions import Condition
from postboat.status.observation import Moment, Observation, Workload
from postboat.status.report import statement, unless_equal

_MOST_NAMED: Final = 5


def report_server(
    resource: Resource, verdict: Verdict, plan: Plan, seen: Observation, moment: Moment
) -> dict[str, Any] | None:
    """Return the merge patch for the status of a MailServer; None when the status is as it should be."""
    platform = plan.platform
    accepted = conditions.accepted(verdict)
    synced = _synced(plan, seen)
    workloads = _workloads(seen)
    stored = storage.condition(volume for workload in seen.workloads for volume in workload.volumes)
    before = resource.status.get("conditions") or ()
    served = claims.condition(seen.workloads) or conditions.kept(before, claims.TYPE)
    known = seen.volumes if seen.volumes is not None else volumes.read(resource.status)
    present = volumes.condition(resource, known)
    full = (stored,) if stored is not None and stored.reason is Reason.STORAGE_FULL else ()
    pending = agents.waiting(seen.workloads, resource.generation)
    ready = _ready(accepted, synced, workloads, *full, in_force=seen.in_force and verdict.effective, pending=pending)
    site = (_trusted(platform, plan.certificate, moment.now), *_addresses(platform)) if platform is not None else ()
    fits = directory.condition(plan.files) if plan.files is not None else conditions.kept(before, directory.TYPE)
    counts = asdict(plan.counts)
    status = statement(
        resource,
        (accepted, synced, workloads, ready, *site, *_known(stored), *_known(served), *_known(present), *_known(fits)),
        moment,
    )
    status |= {"counts": counts}
    if seen.workloads:
        status["workloads"] = [
            {"name": workload.name, "desired": workload.desired, "ready": workload.ready, "current": workload.current}
            for workload in sorted(seen.workloads, key=lambda workload: workload.name)
        ]
    if platform is not None:
        status |= {"hostname": platform.hostname, "tls": _tls(resource, platform)}
    if platform is not None and seen.endpoints:
        status["endpoints"] = _endpoints(platform, seen)
    status |= _orphans(resource, seen) | ({"stores": volumes.written(known)} if known else {})
    return unless_equal(resource, status)


def _known(condition: Condition | None) -> tuple[Condition, ...]:
    return (condition,) if condition is not None else ()


def _orphans(resource: Resource, seen: Observation) -> dict[str, Any]:
    """Return the fields about mail without a Mailbox; they stay until all stores have reported."""
    if seen.orphan_count is None:
        known = {field: resource.status.get(field) for field in ("orphanCount", "orphans")}
        return {field: value for field, value in known.items() if value is not None}
    since = listed_since(resource.status.get("orphans") or ())
    listed = []
    for orphan in seen.orphans:
        user, of_type, store = orphan.key
        entry = {
            "username": user,
            "type": of_type,
            "store": store,
            "bytes": orphan.bytes,
            "since": since.get(orphan.key) or conditions.timestamp(orphan.since),
        }
        listed.append({field: value for field, value in entry.items() if value is not None})
    return {"orphanCount": seen.orphan_count} | ({"orphans": listed} if listed else {})


def _synced(plan: Plan, seen: Observation) -> Condition:
    if seen.sync_error:
        return Condition("ConfigSynced", holds=False, reason=Reason.SYNC_FAILED, message=seen.sync_error)
    if seen.held is not None:
        return _paused(seen.held)
    if plan.platform is None:
        lacking = ", ".join(wanted.name for wanted in plan.wanted) or "a valid MailServer"
        return Condition("ConfigSynced", holds=False, reason=Reason.KEYS_MISSING, message=f"Waiting for {lacking}.")
    return Condition("ConfigSynced", holds=True, reason=Reason.SYNCED, message="Every object is as planned.")


def _paused(held: tuple[str, ...]) -> Condition:
    if not held:
        message = "spec.paused: nothing is changed, and every object is as planned."
        return Condition("ConfigSynced", holds=True, reason=Reason.PAUSED, message=message)
    some = ", ".join(held[:_MOST_NAMED]) + (" ..." if len(held) > _MOST_NAMED else "")
    message = f"spec.paused: nothing is changed, and changes wait for {len(held)} objects: {some}."
    return Condition("ConfigSynced", holds=False, reason=Reason.PAUSED, message=message)


def _workloads(seen: Observation) -> Condition:
    waiting = [workload for workload in seen.workloads if workload.ready < workload.desired]
    if any(workload.trouble for workload in waiting):
        return _waiting(waiting)
    unsettled = agents.unsettled(seen.workloads)
    if unsettled is not None:
        return unsettled
    if waiting or not seen.workloads:
        return _waiting(waiting)
    return Condition("WorkloadsReady", holds=True, reason=Reason.WORKLOADS_READY, message="Every pod serves.")


def _waiting(workloads: list[Workload]) -> Condition:
    told = [
        f"{workload.name} {workload.ready}/{workload.desired}" + (f" ({workload.trouble})" if workload.trouble else "")
        for workload in sorted(workloads, key=lambda workload: not workload.trouble)
    ]
    message = f"Pods that are not ready: {', '.join(told) or 'all'}."
    return Condition("WorkloadsReady", holds=False, reason=Reason.WORKLOADS_NOT_READY, message=message)


def _ready(*causes: Condition, in_force: bool, pending: str) -> Condition:
    for cause in causes:
        if not cause.holds:
            return Condition("Ready", holds=False, reason=cause.reason, message=cause.message)
    if not in_force:
        return Condition("Ready", holds=False, reason=Reason.PENDING, message=pending)
    return Condition("Ready", holds=True, reason=Reason.IN_FORCE, message="Every replica serves it.")


def _trusted(platform: Platform, fault: Verdict | None, now: datetime) -> Condition:
    """Return the condition CertificateTrusted.

    Args:
        fault: What is wrong with the Secret in `spec.tls`; None when nothing is.
        now: In UTC.
    """
    chain, source = platform.certificate.chain, platform.certificate.source
    if fault is not None and (source is CertificateSource.SELF_SIGNED or fault.reason is not Reason.INVALID_SECRET):
        return Condition("CertificateTrusted", holds=False, reason=fault.reason, message=fault.message)
    if source is CertificateSource.SELF_SIGNED:
        message = "Clients do not trust a self-signed certificate: write spec.tls.secretName."
        return Condition("CertificateTrusted", holds=False, reason=Reason.SELF_SIGNED, message=message)
    if ended := certificates.out_of_date(chain, now):
        message = f"{ended[:1].upper()}{ended[1:]}; clients refuse it."
        return Condition("CertificateTrusted", holds=False, reason=Reason.INVALID_SECRET, message=message)
    if not certificates.covers(chain, platform.hostname):
        message = f"The certificate does not name {platform.hostname}: issue one that does."
        return Condition("CertificateTrusted", holds=False, reason=Reason.HOST_NOT_COVERED, message=message)
    if source is CertificateSource.LAST_GOOD:
        message = "The Secret cannot be used, so the certificate before stays: see Accepted."
        return Condition("CertificateTrusted", holds=True, reason=Reason.LAST_GOOD, message=message)
    return Condition("CertificateTrusted", holds=True, reason=Reason.TRUSTED, message="It names the host.")


def _addresses(platform: Platform) -> tuple[Condition, ...]:
    """Return the condition ClientAddressesKept; none for ClusterIP, where it depends on what is in front of it."""
    policy = platform.client_service.external_traffic_policy
    if policy is None:
        return ()
    if policy == TrafficPolicy.LOCAL:
        message = "The Services have externalTrafficPolicy Local, so pods see the addresses of clients."
        return (Condition("ClientAddressesKept", holds=True, reason=Reason.ADDRESSES_KEPT, message=message),)
    message = (
        "With spec.service.externalTrafficPolicy Cluster all clients of a node may have one address: limits by client"
        " address then hit all of them. Write Local."
    )
    return (Condition("ClientAddressesKept", holds=False, reason=Reason.ADDRESSES_HIDDEN, message=message),)


def _tls(resource: Resource, platform: Platform) -> dict[str, Any]:
    spec = resource.spec
    own = platform.certificate.source is CertificateSource.SELF_SIGNED
    named = spec.tls.secret_name if isinstance(spec, MailServerSpec) and spec.tls is not None else None
    ends = certificates.not_after(platform.certificate.chain)
    tls = {
        "source": "SelfSigned" if own else "Secret",
        "secretName": f"{platform.name}-selfsigned" if own else named,
        "notAfter": conditions.timestamp(ends) if ends is not None else None,
    }
    return {field: value for field, value in tls.items() if value is not None}


def _endpoints(platform: Platform, seen: Observation) -> list[dict[str, Any]]:
    offered = {"imap": platform.imap.protocols, "smtp": ("smtp",)}
    hosts = seen.endpoints or {}
    return [
        {"name": name, "host": hosts[name], "ports": sorted(port.public for one in protocols for port in CLIENTS[one])}
        for name, protocols in offered.items()
        if name in hosts
    ]
