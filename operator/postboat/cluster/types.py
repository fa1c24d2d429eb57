"""Resource types, paths and errors of the API server, as plain values without HTTP."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple
from urllib.parse import quote, urlencode

Json = dict[str, Any]


class Key(NamedTuple):
    """Namespace and name of an object whose type is known; the namespace is "" for a cluster-scoped type."""

    namespace: str
    name: str


@dataclass(frozen=True, slots=True, order=True)
class ResourceType:
    """A resource type as the API server addresses it."""

    group: str
    """API group; "" for the core group."""
    version: str
    plural: str
    """The name in URL paths, such as `configmaps`."""
    kind: str
    namespaced: bool = True

    @property
    def api_version(self) -> str:
        """Return `apiVersion` of objects of this type: `v1` or `GROUP/VERSION`."""
        return f"{self.group}/{self.version}" if self.group else self.version

    def path(self, namespace: str = "", name: str = "", subresource: str = "", **query: str) -> str:
        """Return the URL path of a collection, of an object, or of a subresource.

        Args:
            namespace: "" for all namespaces, or a cluster-scoped type.
            name: "" for the collection.
            subresource: `status` and the like; "" for the object itself.
            query: Parameters of the request; those that are "" are left out.
        """
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
    """Fields to write into `.status` of the object with this uid."""

    uid: str
    fields: Mapping[str, Any]
    """Top-level fields of the status with their values; None removes a field."""
    blank: bool = False
    """Whether the object is believed to have no `.status` yet, so that it has to be added whole."""
    written: Callable[[], None] = field(default=lambda: None, compare=False)
    """Called after the write has succeeded, on the thread that wrote."""

    def operations(self) -> list[Json]:
        """Return the JSON patch (RFC 6902); its first operation tests the uid, so the patch fails on another object."""
        test: Json = {"op": "test", "path": "/metadata/uid", "value": self.uid}
        fields = {name: lean(value) for name, value in self.fields.items()}
        if self.blank:
            nothing: Json = {"op": "test", "path": "/status", "value": None}
            return [test, nothing, {"op": "add", "path": "/status", "value": lean(fields)}]
        return [test, *({"op": "add", "path": f"/status/{name}", "value": value} for name, value in fields.items())]


def lean(value: Any) -> Any:  # noqa: ANN401 - JSON of any form
    """Return a JSON value without the fields that are None, at any depth of objects; lists are left as they are."""
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
"""The types of objects that a platform is made of; each is watched for drift and pruned."""

BY_KIND: dict[tuple[str, str], ResourceType] = {(kind.api_version, kind.kind): kind for kind in CHILD_TYPES}


class ApiError(Exception):
    """The API server refused a request.

    Attributes:
        status: HTTP status code.
        reason: `reason` of the Status object, such as `AlreadyExists`; else the HTTP reason phrase.
        message: What the server says, up to 500 characters; "" for a Secret, unless it cannot quote its content.
        retry_after: Seconds from the header `Retry-After`; None when there is none, or it is a date.
    """

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
    """401: the token is not valid, or has expired."""


class NotFoundError(ApiError):
    """404: there is no such object, or no such resource type."""


class ConflictError(ApiError):
    """409: the object exists already, has another uid, or has changed since it was read."""


class ExpiredError(ApiError):
    """410: the resource version of a watch or the token of a list is too old; list again."""


class InvalidError(ApiError):
    """422: the schema, an admission rule or a `test` of a JSON patch refuses the request."""


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
    """Return the error for an HTTP status, as the class that fits.

    Args:
        status: HTTP status code.
        reason: `reason` of the Status object.
        request: Method and path, without a query.
        message: `message` of the Status object; "" when there is none.
        retry_after: Seconds to wait; None when the server does not say.
        ending: Whether the namespace is being terminated.
    """
    made = _BY_STATUS.get(status, ApiError)
    return made(status, reason, request, message, retry_after, ending=ending)


class ConnectionFailedError(Exception):
    """The API server did not answer, or its answer is incomplete or no JSON."""


class FencedError(Exception):
    """The process does not hold the Lease, so it must not write."""


class ForeignObjectError(Exception):
    """An object of that name exists and does not belong to this platform."""
