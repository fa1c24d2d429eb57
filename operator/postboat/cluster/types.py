"""Names for what the API server serves: resource types, paths and errors.

They are plain values, so every other module of this layer can speak about the API without touching HTTP.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple
from urllib.parse import quote, urlencode

Json = dict[str, Any]


class Key(NamedTuple):
    """The name of one object of a known type."""

    namespace: str
    name: str


@dataclass(frozen=True, slots=True, order=True)
class ResourceType:
    """One type of object as the API server addresses it."""

    group: str
    version: str
    plural: str
    kind: str
    namespaced: bool = True

    @property
    def api_version(self) -> str:
        """The `apiVersion` of the objects of this type."""
        return f"{self.group}/{self.version}" if self.group else self.version

    def path(self, namespace: str = "", name: str = "", subresource: str = "", **query: str) -> str:
        """Give the URL path of the collection, of one object, or of a subresource of it."""
        root = f"/apis/{self.group}/{self.version}" if self.group else f"/api/{self.version}"
        parts = [root]
        if namespace and self.namespaced:
            parts.append(f"namespaces/{quote(namespace, safe='')}")
        parts.append(self.plural)
        if name:
            parts.append(quote(name, safe=""))
        if subresource:
            parts.append(subresource)
        asked = urlencode({key: value for key, value in query.items() if value})
        return "/".join(parts) + (f"?{asked}" if asked else "")


@dataclass(frozen=True, slots=True)
class StatusPatch:
    """Fields to write into the status of the object with this uid; a field that is None is taken away."""

    uid: str
    fields: Mapping[str, Any]
    blank: bool = False
    """The object has no status yet."""
    written: Callable[[], None] = field(default=lambda: None, compare=False)
    """What to do once it is written."""

    def operations(self) -> list[Json]:
        """Give the JSON patch, which fails as a whole on another object of the same name."""
        test: Json = {"op": "test", "path": "/metadata/uid", "value": self.uid}
        fields = {name: lean(value) for name, value in self.fields.items()}
        if self.blank:
            nothing: Json = {"op": "test", "path": "/status", "value": None}
            return [test, nothing, {"op": "add", "path": "/status", "value": lean(fields)}]
        return [test, *({"op": "add", "path": f"/status/{name}", "value": value} for name, value in fields.items())]


def lean(value: Any) -> Any:  # noqa: ANN401 - JSON of any form
    """Leave out of objects what is None, at any depth."""
    if not isinstance(value, Mapping):
        return value
    return {name: lean(one) for name, one in value.items() if one is not None}


CONFIG_MAP = ResourceType("", "v1", "configmaps", "ConfigMap")
SECRET = ResourceType("", "v1", "secrets", "Secret")
SERVICE = ResourceType("", "v1", "services", "Service")
SERVICE_ACCOUNT = ResourceType("", "v1", "serviceaccounts", "ServiceAccount")
POD = ResourceType("", "v1", "pods", "Pod")
CLAIM = ResourceType("", "v1", "persistentvolumeclaims", "PersistentVolumeClaim")
STATEFUL_SET = ResourceType("apps", "v1", "statefulsets", "StatefulSet")
NETWORK_POLICY = ResourceType("networking.k8s.io", "v1", "networkpolicies", "NetworkPolicy")
DISRUPTION_BUDGET = ResourceType("policy", "v1", "poddisruptionbudgets", "PodDisruptionBudget")
LEASE = ResourceType("coordination.k8s.io", "v1", "leases", "Lease")
EVENT = ResourceType("events.k8s.io", "v1", "events", "Event")

CHILD_TYPES: tuple[ResourceType, ...] = (
    CONFIG_MAP,
    SECRET,
    SERVICE,
    SERVICE_ACCOUNT,
    STATEFUL_SET,
    NETWORK_POLICY,
    DISRUPTION_BUDGET,
)
"""The types of objects a platform is made of; each is watched for drift and pruned."""

BY_KIND: dict[tuple[str, str], ResourceType] = {(kind.api_version, kind.kind): kind for kind in CHILD_TYPES}


class ApiError(Exception):
    """The API server answered, and the answer is no."""

    def __init__(  # noqa: PLR0913 - what an answer says
        self,
        status: int,
        reason: str,
        request: str,
        message: str = "",
        retry_after: float | None = None,
        *,
        ending: bool = False,
    ) -> None:
        self.ending = ending
        """The namespace is being terminated, so nothing new can be created in it."""
        self.status = status
        self.reason = reason
        self.message = message
        self.retry_after = retry_after
        super().__init__(f"{request}: {status} {reason}" + (f": {message}" if message else ""))


class UnauthorizedError(ApiError):
    """401: the token is not valid, or not any more."""


class NotFoundError(ApiError):
    """404: there is no such object, or no such kind."""


class ConflictError(ApiError):
    """409: the object exists already, is another one by now (uid), or has changed since it was read."""


class ExpiredError(ApiError):
    """410: the history that a watch or a page asked for is gone; list again."""


class InvalidError(ApiError):
    """422: the schema, a rule or a test of a JSON patch refuses what was sent."""


_BY_STATUS: Final = {
    401: UnauthorizedError,
    404: NotFoundError,
    409: ConflictError,
    410: ExpiredError,
    422: InvalidError,
}


def api_error(  # noqa: PLR0913 - what an answer says
    status: int, reason: str, request: str, message: str = "", retry_after: float | None = None, *, ending: bool = False
) -> ApiError:
    """Make the error that stands for an HTTP status of the API server; `retry_after` is in seconds."""
    made = _BY_STATUS.get(status, ApiError)
    return made(status, reason, request, message, retry_after, ending=ending)


class ConnectionFailedError(Exception):
    """The API server did not answer, or its answer broke off."""


class FencedError(Exception):
    """The process does not hold the Lease, so it must not write."""


class ForeignObjectError(Exception):
    """An object of that name is there already, and it is somebody else's."""
