"""Where the pods of a mail platform run and what they may use, as Kubernetes itself spells it.

Only what concerns placement and resources is here; everything else about the pods is the operator's.
"""

from collections.abc import Mapping
from enum import StrEnum
from typing import Annotated, Any

from pydantic import Field, Strict, StringConstraints

from postboat.api.base import Model
from postboat.api.listing import keyed_by
from postboat.api.values import TEXT, Amount, ObjectName

LabelKey = Annotated[
    str,
    StringConstraints(
        pattern=r"^([a-z0-9]([a-z0-9.-]*[a-z0-9])?/)?[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?$", max_length=317
    ),
]
LabelValue = Annotated[str, StringConstraints(pattern=r"^([A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?)?$", max_length=63)]
ResourceName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9]([A-Za-z0-9./_-]*[A-Za-z0-9])?$", max_length=317)]
Labels = Annotated[Mapping[LabelKey, LabelValue], Field(max_length=64)]
AnnotationValue = Annotated[str, StringConstraints(pattern=TEXT, max_length=4096)]
Annotations = Annotated[Mapping[LabelKey, AnnotationValue], Field(max_length=64)]
Amounts = Annotated[Mapping[ResourceName, Amount], Field(max_length=16)]
Seconds = Annotated[int, Strict(), Field(ge=0, le=2**31 - 1)]
TermWeight = Annotated[int, Strict(), Field(ge=1, le=100)]


class Resources(Model):
    """What each pod asks for and may use at most."""

    requests: Amounts | None = None
    """Reserved for the pod, like cpu: 100m and memory: 256Mi."""
    limits: Amounts | None = None
    """The most that the pod may use."""


class TolerationOperator(StrEnum):
    """How a toleration is compared with a taint."""

    EXISTS = "Exists"
    EQUAL = "Equal"


class TaintEffect(StrEnum):
    """What a taint does to pods."""

    NO_SCHEDULE = "NoSchedule"
    PREFER_NO_SCHEDULE = "PreferNoSchedule"
    NO_EXECUTE = "NoExecute"


class Toleration(Model):
    """A taint of nodes that the pods put up with."""

    key: LabelKey | None = None
    """Key of the taint; every taint when absent, with operator Exists."""
    operator: TolerationOperator | None = None
    """Exists or Equal; Equal when absent."""
    value: LabelValue | None = None
    """Value of the taint, with Equal."""
    effect: TaintEffect | None = None
    """Effect of the taint; every effect when absent."""
    toleration_seconds: Seconds | None = None
    """How long the pod stays after a taint with NoExecute."""

    atomic = True


class SelectorOperator(StrEnum):
    """How a label is compared."""

    IN = "In"
    NOT_IN = "NotIn"
    EXISTS = "Exists"
    DOES_NOT_EXIST = "DoesNotExist"


class NodeOperator(StrEnum):
    """How a label of a node is compared."""

    IN = "In"
    NOT_IN = "NotIn"
    EXISTS = "Exists"
    DOES_NOT_EXIST = "DoesNotExist"
    GT = "Gt"
    LT = "Lt"


def atomic_list() -> dict[str, str]:
    """Mark a list that is replaced as a whole, as Kubernetes does for these fields of pods."""
    return {"x-kubernetes-list-type": "atomic"}


LabelValues = Annotated[tuple[LabelValue, ...], Field(max_length=64, json_schema_extra=atomic_list())]


class NodeRequirement(Model):
    """A comparison with a label or field of a node."""

    key: LabelKey
    """Key of the label."""
    operator: NodeOperator
    """In, NotIn, Exists, DoesNotExist, Gt or Lt."""
    values: LabelValues = ()
    """Values to compare with."""


NodeRequirements = Annotated[tuple[NodeRequirement, ...], Field(max_length=16, json_schema_extra=atomic_list())]


class NodeTerm(Model):
    """Comparisons that must all hold for a node."""

    match_expressions: NodeRequirements = ()
    """Comparisons with labels."""
    match_fields: NodeRequirements = ()
    """Comparisons with fields."""


class NodeTerms(Model):
    """Terms of which one must hold."""

    node_selector_terms: Annotated[
        tuple[NodeTerm, ...], Field(min_length=1, max_length=16, json_schema_extra=atomic_list())
    ]
    """Terms of which one must hold."""


class WeightedNodeTerm(Model):
    """A term that should hold, with a weight."""

    weight: TermWeight
    """1 to 100."""
    preference: NodeTerm
    """The term."""


class NodeAffinity(Model):
    """Which nodes the pods go to."""

    required_during_scheduling_ignored_during_execution: NodeTerms | None = None
    """What must hold for a node."""
    preferred_during_scheduling_ignored_during_execution: Annotated[
        tuple[WeightedNodeTerm, ...], Field(max_length=16, json_schema_extra=atomic_list())
    ] = ()
    """What should hold for a node."""


class LabelRequirement(Model):
    """A comparison with a label of a pod."""

    key: LabelKey
    """Key of the label."""
    operator: SelectorOperator
    """In, NotIn, Exists or DoesNotExist."""
    values: LabelValues = ()
    """Values to compare with."""


class LabelSelector(Model):
    """Labels that a pod has."""

    match_labels: Labels | None = None
    """Labels with exactly these values."""
    match_expressions: Annotated[
        tuple[LabelRequirement, ...], Field(max_length=16, json_schema_extra=atomic_list())
    ] = ()
    """Comparisons with labels."""


class PodTerm(Model):
    """Pods near which, or away from which, a pod goes."""

    label_selector: LabelSelector | None = None
    """Labels of those pods."""
    topology_key: LabelKey
    """Label of the nodes that tells what near means, like kubernetes.io/hostname."""
    namespaces: Annotated[tuple[ObjectName, ...], Field(max_length=16, json_schema_extra=atomic_list())] = ()
    """Namespaces of those pods; this one when absent."""


class WeightedPodTerm(Model):
    """A term that should hold, with a weight."""

    weight: TermWeight
    """1 to 100."""
    pod_affinity_term: PodTerm
    """The term."""


class PodAffinity(Model):
    """Which pods should be near, or away."""

    required_during_scheduling_ignored_during_execution: Annotated[
        tuple[PodTerm, ...], Field(max_length=16, json_schema_extra=atomic_list())
    ] = ()
    """What must hold."""
    preferred_during_scheduling_ignored_during_execution: Annotated[
        tuple[WeightedPodTerm, ...], Field(max_length=16, json_schema_extra=atomic_list())
    ] = ()
    """What should hold."""


class Affinity(Model):
    """Near or away from which nodes and pods the pods go."""

    node_affinity: NodeAffinity | None = None
    """Which nodes the pods go to."""
    pod_affinity: PodAffinity | None = None
    """Which pods should be near."""
    pod_anti_affinity: PodAffinity | None = None
    """Which pods should be away."""


class Unsatisfiable(StrEnum):
    """What happens when pods cannot be spread so."""

    DO_NOT_SCHEDULE = "DoNotSchedule"
    SCHEDULE_ANYWAY = "ScheduleAnyway"


class Spread(Model):
    """How the pods of one workload are spread; the operator adds their labels."""

    topology_key: LabelKey
    """Label of the nodes to spread over, like topology.kubernetes.io/zone."""
    max_skew: Annotated[int, Strict(), Field(ge=1, le=64)]
    """By how many pods two places may differ."""
    when_unsatisfiable: Unsatisfiable
    """DoNotSchedule or ScheduleAnyway."""


class PullSecret(Model):
    """A Secret to pull images with."""

    name: ObjectName
    """Name of the Secret, of type kubernetes.io/dockerconfigjson."""


class PodSettings(Model):
    """Resources and placement of the pods of one workload, and marks on them."""

    resources: Resources | None = None
    """What each pod asks for and may use at most."""
    sidecar_resources: Resources | None = None
    """What the sidecar edge of each smtp pod asks for and may use at most; other workloads have none."""
    labels: Labels | None = None
    """Further labels of the pods; those of postboat win."""
    annotations: Annotations | None = None
    """Further annotations of the pods; those of postboat win."""
    image_pull_secrets: Annotated[tuple[PullSecret, ...], Field(max_length=16), keyed_by("name")] = ()
    """Secrets to pull the images with, beside those that the chart names."""
    node_selector: Labels | None = None
    """Labels that a node must have."""
    tolerations: Annotated[tuple[Toleration, ...], Field(max_length=32, json_schema_extra=atomic_list())] = ()
    """Taints of nodes that the pods put up with."""
    affinity: Affinity | None = None
    """Near or away from which nodes and pods the pods go."""
    priority_class_name: ObjectName | None = None
    """Name of the PriorityClass of the pods."""
    topology_spread_constraints: Annotated[
        tuple[Spread, ...], Field(max_length=8), keyed_by("topology_key", "when_unsatisfiable")
    ] = ()
    """How the pods are spread over zones or nodes."""


class Workload(StrEnum):
    """The workloads of a platform."""

    SMTP = "smtp"
    IMAP = "imap"
    STORE = "store"
    FILTER = "filter"
    VALKEY = "valkey"
    ANTIVIRUS = "antivirus"
    FETCH = "fetch"
    RESOLVER = "resolver"


def _known_workloads() -> Any:  # noqa: ANN401 -- pydantic's own Field() is typed so
    """State the keys of the map in CEL; one schema for all workloads keeps the definition small."""
    names = ", ".join(f"'{workload}'" for workload in Workload)
    rule = {"rule": f"self.all(key, key in [{names}])", "message": f"write one of the workloads {', '.join(Workload)}"}
    return {"x-kubernetes-validations": [rule]}


Pods = Annotated[Mapping[Workload, PodSettings], Field(max_length=len(Workload), json_schema_extra=_known_workloads())]
