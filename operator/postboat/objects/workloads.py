"""The StatefulSets of a platform and their pods.

All pods run without API credentials and with a read-only root file system; all but Postfix run without capabilities and
not as root.
"""

from collections.abc import Mapping
from hashlib import sha256
from json import dumps
from typing import Final

from postboat.model import names
from postboat.model.platform import Platform, Scheduling, Volume
from postboat.objects.components import Claim, Component, Container, replicas
from postboat.objects.config import shard_suffix
from postboat.objects.meta import RESTART_DIGEST, TEMPLATE_DIGEST, Body, lasting_selector, metadata, selector
from postboat.render.files import Effect, Files

_READABLE: Final = 0o444
_READABLE_BY_ROOT: Final = 0o400
_STOP_SLACK: Final = 5


def stateful_set(platform: Platform, component: Component, files: Files, volume: Volume | None) -> Body:
    """Return the StatefulSet of a component.

    Args:
        files: The rendered files, for the digest that restarts pods when a file with the effect `restart` changes.
        volume: The volume of each pod; None for a component without one.
    """
    labels = _selector(platform, component, volume)
    claims = [_claim_template(platform, component, component.claim, volume)] if component.claim and volume else []
    return {
        "apiVersion": "apps/v1",
        "kind": "StatefulSet",
        "metadata": metadata(platform, component.name, component.name),
        "spec": {
            "replicas": replicas(platform, component),
            "serviceName": f"{platform.name}-{component.governing}",
            "selector": {"matchLabels": labels},
            "podManagementPolicy": "Parallel",
            "updateStrategy": {"type": "RollingUpdate"},
            "revisionHistoryLimit": 3,
            "persistentVolumeClaimRetentionPolicy": {"whenDeleted": "Retain", "whenScaled": "Retain"},
            "template": _template(platform, component, files, labels),
        }
        | ({"volumeClaimTemplates": claims} if claims else {}),
    }


def _selector(platform: Platform, component: Component, volume: Volume | None) -> dict[str, str]:
    if volume is not None and volume.selector is not None:
        return dict(volume.selector)
    return (selector if component.claim is None else lasting_selector)(platform, component.name)


def _template(platform: Platform, component: Component, files: Files, selected_by: Mapping[str, str]) -> Body:
    given = platform.scheduling.get(component.name, Scheduling())
    own = selector(platform, component.name) | {"app.kubernetes.io/managed-by": "postboat"}
    labels = {**(given.labels or {}), **own, **selected_by}
    annotations = {**(given.annotations or {}), RESTART_DIGEST: _restart_digest(component, files)}
    spec = _pod(platform, component)
    digest = sha256(dumps([labels, annotations, spec], sort_keys=True).encode()).hexdigest()
    return {"metadata": {"labels": labels, "annotations": annotations | {TEMPLATE_DIGEST: digest}}, "spec": spec}


def service_account(platform: Platform) -> Body:
    """Return the ServiceAccount of all pods: it has no rights, and its token is not mounted."""
    return {
        "apiVersion": "v1",
        "kind": "ServiceAccount",
        "metadata": metadata(platform, "mail", "mail"),
        "automountServiceAccountToken": False,
    }


def _pod(platform: Platform, component: Component) -> Body:
    scheduling = platform.scheduling.get(component.name, Scheduling())
    made = [(item.sidecar, _container(platform, component, item, scheduling)) for item in component.containers]
    sidecars = [{**body, "restartPolicy": "Always"} for sidecar, body in made if sidecar]
    pull = [{"name": name} for name in (*platform.environment.image_pull_secrets, *scheduling.image_pull_secrets)]
    return {
        "serviceAccountName": f"{platform.name}-mail",
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "terminationGracePeriodSeconds": component.grace,
        "dnsConfig": {"options": [{"name": "ndots", "value": "1"}]},
        "securityContext": _pod_security(component),
        **({"imagePullSecrets": pull} if pull else {}),
        **({"initContainers": sidecars} if sidecars else {}),
        "containers": [body for sidecar, body in made if not sidecar],
        "volumes": [volume for container in component.containers for volume in _volumes(platform, container)]
        + [{"name": name, "emptyDir": {"sizeLimit": "64Mi"}} for name in component.shared],
    } | _placement(platform, component, scheduling)


def _pod_security(component: Component) -> Body:
    common: Body = {"seccompProfile": {"type": "RuntimeDefault"}}
    if component.group is None:
        return common
    return common | {
        "runAsNonRoot": True,
        "runAsUser": component.group,
        "runAsGroup": component.group,
        "fsGroup": component.group,
        "fsGroupChangePolicy": "OnRootMismatch",
    }


def _placement(platform: Platform, component: Component, scheduling: Scheduling) -> Body:
    spread = [
        {**constraint, "labelSelector": {"matchLabels": selector(platform, component.name)}}
        for constraint in scheduling.spread
        or ({"maxSkew": 1, "topologyKey": "kubernetes.io/hostname", "whenUnsatisfiable": "ScheduleAnyway"},)
    ]
    given = {
        "nodeSelector": scheduling.node_selector,
        "tolerations": list(scheduling.tolerations),
        "affinity": scheduling.affinity,
        "priorityClassName": scheduling.priority_class,
    }
    return {"topologySpreadConstraints": spread} | {name: value for name, value in given.items() if value}


def _container(platform: Platform, component: Component, container: Container, scheduling: Scheduling) -> Body:
    main = container is component.containers[0]
    ports = {port.name: port.number for port in container.ports} | {f"{container.suffix}agent": container.agent}
    return {
        "name": container.name,
        "image": platform.environment.images[container.image],
        "imagePullPolicy": "IfNotPresent",
        "env": [
            {"name": "POSTBOAT_CONFIG", "value": "/etc/postboat"},
            {"name": "POSTBOAT_STATE", "value": "/var/lib/postboat"},
            {"name": "POSTBOAT_RUN", "value": "/run/postboat"},
            {"name": "POSTBOAT_PORT", "value": str(container.agent)},
            {"name": "POSTBOAT_GRACE", "value": str(component.grace - _STOP_SLACK)},
            *({"name": name, "value": value} for name, value in _environment(component, container).items()),
        ],
        "ports": [{"name": name, "containerPort": port, "protocol": "TCP"} for name, port in ports.items()],
        "resources": (scheduling.resources if main else scheduling.sidecar_resources)
        or {"requests": dict(container.requests), "limits": {"memory": container.memory}},
        "securityContext": _container_security(container),
        "startupProbe": _probe(container, "/livez", period=1, failures=600, timeout=10),
        "livenessProbe": _probe(container, "/livez", period=10, failures=6, timeout=10),
        "readinessProbe": _probe(container, "/readyz", period=2, failures=3, timeout=5),
        "volumeMounts": _mounts(component, container),
        "terminationMessagePolicy": "FallbackToLogsOnError",
    }


def _environment(component: Component, container: Container) -> dict[str, str]:
    claim = component.claim
    volume = {"POSTBOAT_VOLUME": claim.path} if claim is not None and claim.container == container.name else {}
    return volume | dict(container.environment)


def _container_security(container: Container) -> Body:
    capabilities: Body = {"drop": ["ALL"]}
    if container.capabilities:
        capabilities["add"] = list(container.capabilities)
    return {
        "allowPrivilegeEscalation": False,
        "capabilities": capabilities,
        "privileged": False,
        "readOnlyRootFilesystem": True,
        "runAsUser": container.uid,
        "runAsGroup": container.uid,
        "runAsNonRoot": container.uid != 0,
    }


def _probe(container: Container, path: str, *, period: int, failures: int, timeout: int) -> Body:
    return {
        "httpGet": {"path": path, "port": f"{container.suffix}agent", "scheme": "HTTP"},
        "periodSeconds": period,
        "timeoutSeconds": timeout,
        "failureThreshold": failures,
        "successThreshold": 1,
    }


def _mounts(component: Component, container: Container) -> list[Body]:
    writable = {
        f"{container.suffix}run": "/run/postboat",
        f"{container.suffix}state": "/var/lib/postboat",
        f"{container.suffix}tmp": "/tmp",  # noqa: S108 -- a volume of its own
        **{f"{container.suffix}{name}": path for name, path in container.folders.items()},
        **component.shared,
    }
    if component.claim is not None and component.claim.container == container.name:
        writable[component.claim.name] = component.claim.path
    return [
        {"name": f"{container.suffix}config", "mountPath": "/etc/postboat", "readOnly": True},
        *({"name": name, "mountPath": path} for name, path in writable.items()),
    ]


def _volumes(platform: Platform, container: Container) -> list[Body]:
    name = f"{platform.name}-{container.unit}"
    # Where daemons run as somebody else than the agent, keys are not for them.
    mode = _READABLE if container.uid else _READABLE_BY_ROOT
    sources: list[Body] = [
        {"configMap": {"name": name, "optional": True}},
        {"secret": {"name": name, "optional": True}},
    ]
    if container.shard_key:
        sources.extend(_shard_source(platform, number, container.shard_key) for number in range(names.SHARDS))
    return [
        {"name": f"{container.suffix}config", "projected": {"defaultMode": mode, "sources": sources}},
        {"name": f"{container.suffix}run", "emptyDir": {"medium": "Memory", "sizeLimit": "64Mi"}},
        {"name": f"{container.suffix}state", "emptyDir": {}},
        {"name": f"{container.suffix}tmp", "emptyDir": {}},
        *({"name": f"{container.suffix}{folder}", "emptyDir": {}} for folder in container.folders),
    ]


def _shard_source(platform: Platform, number: int, key: str) -> Body:
    return {
        "secret": {
            "name": f"{platform.name}-{shard_suffix(number)}",
            "items": [{"key": key, "path": f"tables/{number:02d}"}],
            "optional": True,
        }
    }


def _claim_template(platform: Platform, component: Component, claim: Claim, volume: Volume) -> Body:
    labels = lasting_selector(platform, component.name) if volume.labels is None else volume.labels
    spec: Body = {
        "accessModes": ["ReadWriteOnce"],
        "resources": {"requests": {"storage": volume.size}},
        "volumeMode": "Filesystem",
    }
    if volume.storage_class is not None:
        spec["storageClassName"] = volume.storage_class
    return {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": {"name": claim.name, "labels": dict(labels)},
        "spec": spec,
    }


def _restart_digest(component: Component, files: Files) -> str:
    lines = (
        f"{container.unit} {file.path} {file.digest}\n"
        for container in component.containers
        for file in files.units[container.unit]
        if file.effect is Effect.RESTART
    )
    return sha256("".join(sorted(lines)).encode()).hexdigest()
