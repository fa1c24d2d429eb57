"""Why a pod is not there or does not serve, in words with the field and the cure."""

from __future__ import annotations

from typing import Any

import pytest

from postboat.cluster.observe import pod_of
from postboat.cluster.trouble import Inquiry, of_pod, of_warning
from postboat.cluster.types import Json, Key, api_error
from postboat.controller.rollout.progress import Progress
from postboat.controller.rollout.trouble import PAUSE, Inquirer


def pod(**status: Any) -> Json:  # noqa: ANN401 -- any part of a status
    labels = {"app.kubernetes.io/component": "smtp", "app.kubernetes.io/instance": "mail"}
    meta = {"name": "mail-smtp-0", "namespace": "mail", "uid": "u", "labels": labels}
    volumes = [{"name": "queue", "persistentVolumeClaim": {"claimName": "queue-mail-smtp-0"}}, {"name": "x"}]
    spec = {"containers": [{"name": "postfix"}], "initContainers": [], "volumes": volumes}
    return {"metadata": meta, "spec": spec, "status": {"phase": "Pending", **status}}


def container(name: str, *, last: Json | None = None, **state: Any) -> Json:  # noqa: ANN401
    return {"name": name, "image": "reg.test/x:1", "ready": False, "state": state, "lastState": last or {}}


def unscheduled(message: str) -> Json:
    condition = {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": message}
    return pod(conditions=[condition])


OOM = {"terminated": {"reason": "OOMKilled", "exitCode": 137}}
EXIT = {"terminated": {"reason": "Error", "exitCode": 3}}
PODS: list[tuple[Json, tuple[str, ...]]] = [
    (unscheduled("0/3 nodes are available: 3 Insufficient memory. preemption: 0/3 nodes are available: 3 No victims."),
     ("no node takes it", "3 Insufficient memory)", "spec.pods.smtp")),
    (unscheduled("0/1 nodes are available: pod has unbound immediate PersistentVolumeClaims. not found"),
     ("claim is Pending", "kubectl describe pvc")),
    (pod(containerStatuses=[container("postfix", waiting={"reason": "ImagePullBackOff", "message": "x"})]),
     ("reg.test/x:1 cannot be pulled", "imagePullSecrets")),
    (pod(containerStatuses=[container("postfix", waiting={"reason": "ErrImagePull"})]), ("cannot be pulled",)),
    (pod(containerStatuses=[container("postfix", waiting={"reason": "CreateContainerConfigError", "message": "no x"})]),
     ("postfix cannot be started (no x)",)),
    (pod(containerStatuses=[container("postfix", last=OOM, waiting={"reason": "CrashLoopBackOff"})]),
     ("killed for memory (OOMKilled)", "spec.pods.smtp.resources.limits.memory")),
    (pod(initContainerStatuses=[container("edge", last=OOM, running={})]),
     ("edge was killed for memory", "spec.pods.smtp.sidecarResources.limits.memory")),
    (pod(containerStatuses=[container("postfix", terminated=OOM["terminated"])]), ("OOMKilled",)),
    (pod(containerStatuses=[container("postfix", last=EXIT, waiting={"reason": "CrashLoopBackOff"})]),
     ("again and again (exit code 3)", "kubectl logs mail-smtp-0 -c postfix --previous")),
    (pod(phase="Failed", reason="Evicted", message="The node was low on resource: memory."), ("Evicted", "memory")),
]  # fmt: skip


@pytest.mark.parametrize(("raw", "words"), PODS)
def test_a_pod_says_why_it_does_not_serve(raw: Json, words: tuple[str, ...]) -> None:
    found = of_pod(raw, "smtp")
    assert all(word in found for word in words), found
    assert pod_of(raw).trouble == found


def test_nothing_is_said_of_pods_that_serve_or_are_on_their_way() -> None:
    ready = {"type": "Ready", "status": "True"}
    assert of_pod(pod(conditions=[ready], containerStatuses=[container("postfix", last=OOM, running={})]), "smtp") == ""
    assert of_pod(pod(containerStatuses=[container("x", waiting={"reason": "ContainerCreating"})]), "smtp") == ""
    assert of_pod(pod(containerStatuses=[container("x", last=EXIT, running={})]), "smtp") == ""


BEGUN = "create Pod mail-smtp-0 in StatefulSet mail-smtp failed error: "
WARNINGS = [
    (BEGUN + 'pods "mail-smtp-0" is forbidden: violates PodSecurity "restricted:latest": allowPrivilegeEscalation',
     ("violates PodSecurity", "enforce=baseline")),
    (BEGUN + 'pods "mail-smtp-0" is forbidden: no PriorityClass with name typo was found',
     ("with name typo", "spec.pods.smtp.priorityClassName")),
    (BEGUN + 'pods "mail-smtp-0" is forbidden: failed quota: q: must specify limits.cpu for: edge,postfix',
     ("must specify limits.cpu for: edge", "sidecarResources")),
    (BEGUN + 'pods "x" is forbidden: exceeded quota: q, requested: pods=1, used: pods=5, limited: pods=5',
     ("exceeded quota: q, requested: pods=1:", "raise the quota")),
    ('storageclass.storage.k8s.io "typo" not found', ('"typo" not found', "create a StorageClass of that name")),
    ("no persistent volumes available for this claim and no storage class is set", ("StorageClass the default",)),
    (BEGUN + "something that nobody foresaw", ("something that nobody foresaw",)),
]  # fmt: skip


@pytest.mark.parametrize(("message", "words"), WARNINGS)
def test_a_warning_gets_its_cure(message: str, words: tuple[str, ...]) -> None:
    found = of_warning(message, "smtp")
    assert all(word in found for word in words), found
    assert not found.startswith("create Pod")


class Events:
    """The Events of a namespace, and who asked for them."""

    def __init__(self, **messages: list[tuple[str, str]]) -> None:
        self.messages, self.asked = messages, 0
        self.refuse = False

    def listing(self, _kind: object, _namespace: str, *, fieldSelector: str, limit: str) -> list[Json]:  # noqa: N803
        del limit
        self.asked += 1
        if self.refuse:
            raise api_error(403, "Forbidden", "GET events")
        found = next((told for kind, told in self.messages.items() if f"kind={kind}," in fieldSelector), [])
        return [{"lastTimestamp": at, "message": said} for at, said in found]


def progress(present: int, trouble: str = "") -> Progress:
    return Progress("mail-smtp", 1, 0, 0, -1, "", rolled=False, present=present, trouble=trouble)


def test_warnings_are_read_while_a_pod_is_missing_and_not_too_often(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0.0]
    monkeypatch.setattr("postboat.controller.rollout.trouble.time.monotonic", lambda: now[0])
    events = Events(StatefulSet=[("2026-01-01T00:00:02Z", BEGUN + "newest"), ("2026-01-01T00:00:01Z", BEGUN + "older")])
    inquirer = Inquirer(Key("mail", "mail"), Inquiry(events))  # type: ignore[arg-type]
    assert inquirer.explained([progress(0)], ())[0].trouble == ""
    assert events.asked == 0, "pods come one by one"
    now[0] = PAUSE
    assert inquirer.explained([progress(0)], ())[0].trouble == "newest"
    assert inquirer.explained([progress(0)], ())[0].trouble == "newest"
    assert events.asked == 1
    assert inquirer.explained([progress(1)], ())[0].trouble == ""
    assert inquirer.explained([progress(1, "mail-smtp-0: x")], ())[0].trouble == "mail-smtp-0: x"


def test_a_claim_knows_more_than_its_pod(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0.0]
    monkeypatch.setattr("postboat.controller.rollout.trouble.time.monotonic", lambda: now[0])
    events = Events(PersistentVolumeClaim=[("1", 'storageclass.storage.k8s.io "typo" not found')])
    inquirer = Inquirer(Key("mail", "mail"), Inquiry(events))  # type: ignore[arg-type]
    waiting = pod_of(unscheduled("0/1 nodes are available: pod has unbound immediate PersistentVolumeClaims."))
    assert waiting.claims == ("queue-mail-smtp-0",)
    part = progress(1, f"mail-smtp-0: {waiting.trouble}")
    inquirer.explained([part], [waiting])
    now[0] = PAUSE
    assert "StorageClass of that name" in inquirer.explained([part], [waiting])[0].trouble
    events.refuse, now[0] = True, 2 * PAUSE
    assert inquirer.explained([part], [waiting])[0].trouble == part.trouble, "without the right, the pod's words stay"
