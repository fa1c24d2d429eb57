"""What all objects of a platform have in common: name, labels, owner.

No tool that manages a MailServer takes the children for its own, since nothing but name and uid is copied to them.
"""

from typing import Any, Final

from postboat.api.kinds import GROUP, VERSION
from postboat.model.platform import Platform

Body = dict[str, Any]
COMPONENT: Final = "app.kubernetes.io/component"
SERVER: Final = f"{GROUP}/server"
"""The MailServer of what has no owner: there the label INSTANCE would make Argo CD take it for a part of an application
of that name, and prune it."""
INSTANCE: Final = "app.kubernetes.io/instance"
NAME: Final = "app.kubernetes.io/name"
RESTART_DIGEST: Final = f"{GROUP}/restart-digest"
TEMPLATE_DIGEST: Final = f"{GROUP}/template-digest"
"""On pods: tells the template that a pod was made from, so that a rollout can be seen to its end."""
SHARD_NOTE: Final = f"{GROUP}/shard"
"""On the Secret of a shard: which tables it has, and the digests of its files, which nobody needs to read it for."""


def selector(platform: Platform, component: str) -> dict[str, str]:
    """Give the labels that select the pods of a component; they never change."""
    return {NAME: "postboat", INSTANCE: platform.name, COMPONENT: component}


def lasting_selector(platform: Platform, component: str) -> dict[str, str]:
    """Give the labels that select the pods of a StatefulSet with claims: Kubernetes copies them to the claims."""
    return {NAME: "postboat", SERVER: platform.name, COMPONENT: component}


def metadata(platform: Platform, suffix: str, component: str) -> Body:
    """Give the metadata of the child `NAME-suffix`."""
    return {
        "name": f"{platform.name}-{suffix}",
        "namespace": platform.namespace,
        "labels": selector(platform, component) | {"app.kubernetes.io/managed-by": "postboat"},
        "ownerReferences": [owner(platform.name, platform.uid)],
    }


def owner(name: str, uid: str) -> Body:
    """Give the reference by which a MailServer owns its children.

    It blocks the deletion of its owner, so that `kubectl delete --cascade=foreground` returns when the pods are gone.
    """
    return {
        "apiVersion": f"{GROUP}/{VERSION}",
        "kind": "MailServer",
        "name": name,
        "uid": uid,
        "controller": True,
        "blockOwnerDeletion": True,
    }
