"""What all objects of a platform have in common: names, labels, owner.

Of the MailServer only name and uid are copied, no labels or annotations, so that a tool that manages the MailServer
does not take the children for its own.
"""

from typing import Any, Final

from postboat.api.kinds import GROUP, VERSION
from postboat.model.platform import Platform

Body = dict[str, Any]
COMPONENT: Final = "app.kubernetes.io/component"
SERVER: Final = f"{GROUP}/server"
"""Label with the name of the MailServer, for objects without an owner.

With the label INSTANCE Argo CD would take them for parts of an application of that name, and prune them.
"""
INSTANCE: Final = "app.kubernetes.io/instance"
NAME: Final = "app.kubernetes.io/name"
RESTART_DIGEST: Final = f"{GROUP}/restart-digest"
TEMPLATE_DIGEST: Final = f"{GROUP}/template-digest"
"""Annotation of pods: sha256 in hex of the pod template, by which the operator sees when a rollout has ended."""
SHARD_NOTE: Final = f"{GROUP}/shard"
"""Annotation of the Secret of a directory shard, by which a reader need not fetch the data.

It has the layout of the tables and the digests of the files, see `config.shard_object`.
"""


def selector(platform: Platform, component: str) -> dict[str, str]:
    """Return the labels that select the pods of a component, in Services, policies and StatefulSets without claims.

    They never change.

    Args:
        component: `smtp`, `imap`, `store`, `filter` or `valkey`.
    """
    return {NAME: "postboat", INSTANCE: platform.name, COMPONENT: component}


def lasting_selector(platform: Platform, component: str) -> dict[str, str]:
    """Return the labels that select the pods of a StatefulSet with claims; Kubernetes copies them to the claims.

    Args:
        component: As in `selector`.
    """
    return {NAME: "postboat", SERVER: platform.name, COMPONENT: component}


def metadata(platform: Platform, suffix: str, component: str) -> Body:
    """Return the metadata of the child `NAME-suffix`.

    Args:
        suffix: What follows the name of the MailServer and a hyphen.
        component: Value of the label `app.kubernetes.io/component`.
    """
    return {
        "name": f"{platform.name}-{suffix}",
        "namespace": platform.namespace,
        "labels": selector(platform, component) | {"app.kubernetes.io/managed-by": "postboat"},
        "ownerReferences": [owner(platform.name, platform.uid)],
    }


def owner(name: str, uid: str) -> Body:
    """Return the owner reference to a MailServer.

    It has `blockOwnerDeletion`, so that `kubectl delete --cascade=foreground` returns when the pods are gone.

    Args:
        name: Name of the MailServer.
        uid: Uid of the MailServer.
    """
    return {
        "apiVersion": f"{GROUP}/{VERSION}",
        "kind": "MailServer",
        "name": name,
        "uid": uid,
        "controller": True,
        "blockOwnerDeletion": True,
    }
