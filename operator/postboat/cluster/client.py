"""A client of the API server for objects as plain dictionaries.

It retries transient failures, bounds the writes in flight, and asks a fence before each write but those of the Lease,
so that a process that has lost leadership cannot write. Every call blocks.
"""

from __future__ import annotations

import contextlib
import json
import random
import re
import secrets
import threading
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Protocol, cast

import urllib3

from postboat.cluster.retry import ONCE, RetryPolicy
from postboat.cluster.types import (
    ApiError,
    ConflictError,
    ConnectionFailedError,
    FencedError,
    InvalidError,
    Json,
    NotFoundError,
    ResourceType,
    StatusPatch,
    UnauthorizedError,
    api_error,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from postboat.cluster.connection import Connection

MANAGER = "postboat"
STATUS_MANAGER = "postboat-status"
PAGE = 500
"""Objects in one page of a list."""
WRITES_IN_FLIGHT = 24
"""Writes that may be on their way to the API server at the same time."""
CONNECT_TIMEOUT = 5.0
"""Seconds to connect, and for each read of a short list."""
READ_TIMEOUT = 30.0
"""Seconds for one attempt of a read."""
WRITE_TIMEOUT = 10.0
"""Seconds for one attempt of a write; less when the Lease ends earlier."""

APPLY = "application/apply-patch+yaml"
MERGE = "application/merge-patch+json"
PATCH = "application/json-patch+json"
JSON = "application/json"
METADATA = "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1"
METADATA_LIST = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1"


_ESCAPED = re.compile("[\x7f-\uffff]")


def encoded(body: Json | list[Json]) -> bytes:
    r"""Return the UTF-8 bytes of an object that parse to the same value as JSON and as YAML.

    The body of a server-side apply is parsed as YAML, which has no surrogate pairs (`\ud83d\ude00`) and refuses some
    characters unless they are escaped: U+007F to U+FFFF are escaped, characters above are not.
    """
    text = json.dumps(body, ensure_ascii=False, separators=(",", ":"), sort_keys=True)
    return _ESCAPED.sub(lambda found: f"\\u{ord(found[0]):04x}", text).encode()


_HARMLESS = re.compile(
    r"exceeded quota: [\w.-]+(, (requested|used|limited): [\w./=:-]+(,[\w./=:-]+)*)+"
    r"|field is immutable when `immutable` is set"
)


class Fence(Protocol):
    """Says for how long this process may still write."""

    def remaining(self) -> float:
        """Return the seconds left; 0 or less means: do not write."""


class Client:
    """The calls of the operator to the API server; safe to use from many threads.

    Raises, in each call:

    - `ApiError` or a class of it when the server refuses. A transient answer (`retry.TRANSIENT`) and a lost connection
      are retried first: 5 attempts in all, up to 0.8 s apart, or up to 10 s when the server asks for it (Retry-After).
    - `ConnectionFailedError` when there is no answer, or only a part of one.
    - `FencedError`, from writes, when this process does not hold the Lease.
    """

    def __init__(self, connection: Connection, *, retry: RetryPolicy | None = None) -> None:
        self.connection = connection
        self.fence: Fence | None = None
        self._retry = retry or RetryPolicy()
        self._writes = threading.BoundedSemaphore(WRITES_IN_FLIGHT)
        self._stopping = threading.Event()

    def stop(self) -> None:
        """End all waiting between attempts; the failure of the last attempt is raised."""
        self._stopping.set()

    def get(self, kind: ResourceType, namespace: str, name: str) -> Json | None:
        """Return one object, or None when there is none (404).

        Args:
            kind: The type of the object.
            namespace: Its namespace; "" for a cluster-scoped type.
            name: Its `metadata.name`.
        """
        try:
            return self._json("GET", kind.path(namespace, name), timeout=READ_TIMEOUT)
        except NotFoundError:
            return None

    def page(  # noqa: PLR0913 - the parameters of a list call
        self,
        kind: ResourceType,
        namespace: str,
        *,
        selector: str = "",
        token: str = "",
        metadata_only: bool = False,
        limit: int = PAGE,
    ) -> Json:
        """Return one page of a list; the caller goes on with the token in `metadata.continue`. One attempt, 30 s.

        Args:
            namespace: The namespace; "" for all namespaces.
            selector: A label selector as in `kubectl -l`; "" selects everything.
            token: `metadata.continue` of the page before; "" for the first page.
            metadata_only: Return a PartialObjectMetadataList: no spec, status or data.
            limit: Objects in a page at most.

        Raises:
            ExpiredError: The token is too old (410); the list has to start again.
        """
        query = {"limit": str(limit), "labelSelector": selector, "continue": token}
        accept = METADATA_LIST if metadata_only else JSON
        return self._json("GET", kind.path(namespace, **query), accept=accept, retry=ONCE, timeout=READ_TIMEOUT)

    def pages(self, kind: ResourceType, namespace: str = "", *, selector: str = "") -> Iterator[Json]:
        """Yield the objects of a whole list, reading it page by page.

        Args:
            namespace: The namespace; "" for all namespaces.
            selector: A label selector; "" selects everything.
        """
        token = ""
        while True:
            page = self.page(kind, namespace, selector=selector, token=token)
            yield from page.get("items") or ()
            token = page["metadata"].get("continue", "")
            if not token:
                return

    def listing(self, kind: ResourceType, namespace: str, **query: str) -> list[Json]:
        """Return the objects of a list that is known to be short, in one request: one attempt, 5 s.

        Args:
            namespace: The namespace; "" for all namespaces.
            query: Parameters of the request, such as `fieldSelector` and `limit`; those that are "" are not sent.
        """
        answer = self._json("GET", kind.path(namespace, **query), retry=ONCE, timeout=CONNECT_TIMEOUT)
        return list(answer.get("items") or ())

    def watch(self, path: str, *, accept: str, silence: float) -> urllib3.BaseHTTPResponse:
        """Open a watch and return the response unread; the caller reads its lines and closes it.

        Args:
            path: URL path with the query of the watch.
            accept: The media type of the events.
            silence: Read timeout in seconds: the longest wait for the next byte.
        """
        return self._open("GET", path, None, {"Accept": accept}, (CONNECT_TIMEOUT, silence))

    def apply(self, body: Json, kind: ResourceType) -> Json:
        """Write an object by server-side apply with `force=true`, and return the metadata of the result.

        Args:
            body: A whole object; the field manager `postboat` owns exactly the fields in it.
        """
        meta = body["metadata"]
        path = kind.path(meta.get("namespace", ""), meta["name"], fieldManager=MANAGER, force="true")
        return self._write("PATCH", path, body, content=APPLY, accept=METADATA)

    def trial(self, body: Json, kind: ResourceType) -> Json:
        """Return the object that `apply` would lead to, by a dry run; it needs the Lease like a write."""
        meta = body["metadata"]
        query = {"fieldManager": MANAGER, "force": "true", "dryRun": "All"}
        path = kind.path(meta.get("namespace", ""), meta["name"], **query)
        return self._write("PATCH", path, body, content=APPLY, accept=JSON)

    def fresh(self, body: Json, kind: ResourceType) -> Json:
        """Return the object as a create would make it, by a dry run under another name: without the fields of others.

        The API server adds its defaults, and mutating webhooks what they add. It needs the Lease like a write.
        """
        meta = {**body["metadata"], "name": f"{body['metadata']['name']}-{secrets.token_hex(3)}"}
        path = kind.path(meta.get("namespace", ""), fieldManager=MANAGER, dryRun="All")
        return self._write("POST", path, {**body, "metadata": meta}, content=JSON, accept=JSON)

    def correct(self, kind: ResourceType, namespace: str, name: str, operations: list[Json]) -> Json:
        """Apply a JSON patch and return the metadata of the result.

        Args:
            operations: The patch (RFC 6902), one mapping with `op`, `path`, `value` each.

        Raises:
            ConflictError: The patch sets `metadata.resourceVersion` and the object has changed since.
        """
        path = kind.path(namespace, name, fieldManager=MANAGER)
        return self._write("PATCH", path, operations, content=PATCH, accept=METADATA)

    def merge(self, kind: ResourceType, namespace: str, name: str, body: Json, *, subresource: str = "") -> Json:
        """Apply a JSON merge patch (RFC 7386) and return the metadata of the result.

        Args:
            body: The fields to set; None removes a field. With `metadata.uid` the patch is only for the object with
                that uid.
            subresource: `status` or another one; "" for the object itself.

        Raises:
            ConflictError: The object has another uid.
            InvalidError: The object has another uid, or a value is refused.
        """
        path = kind.path(namespace, name, subresource, fieldManager=MANAGER)
        return self._write("PATCH", path, body, content=MERGE, accept=METADATA)

    def write_status(self, kind: ResourceType, namespace: str, name: str, patch: StatusPatch) -> Json:
        """Write fields of `.status` of the object with the uid of the patch, and return the metadata of the result.

        The API server ignores `metadata.uid` in a merge patch of the status of a custom resource, so the uid is a
        `test` operation of a JSON patch (RFC 6902).

        Args:
            patch: Uid and fields; `blank` is corrected when the object has a status already.

        Raises:
            InvalidError: The object has another uid by now (422), or the schema refuses a value.
        """
        path = kind.path(namespace, name, "status", fieldManager=STATUS_MANAGER)
        try:
            return self._write("PATCH", path, patch.operations(), content=PATCH, accept=METADATA)
        except InvalidError:  # a test has failed
            if not patch.blank:
                raise
        beside = replace(patch, blank=False)  # what somebody emptied is still there
        return self._write("PATCH", path, beside.operations(), content=PATCH, accept=METADATA)

    def create(self, kind: ResourceType, body: Json) -> bool:
        """Create an object.

        Args:
            body: A whole object.

        Returns:
            False when an object of that name exists already (409); it is left as it is.
        """
        path = kind.path(body["metadata"].get("namespace", ""), fieldManager=MANAGER)
        try:
            self._write("POST", path, body, content=JSON, accept=METADATA)
        except ConflictError:
            return False
        return True

    def delete(self, kind: ResourceType, namespace: str, name: str, *, uid: str = "") -> None:
        """Delete an object in the background; one that does not exist, or has another uid, is no error.

        Args:
            uid: Delete only the object with this uid; "" deletes whatever has the name.
        """
        body: Json = {"apiVersion": "v1", "kind": "DeleteOptions", "propagationPolicy": "Background"}
        if uid:
            body["preconditions"] = {"uid": uid}
        with contextlib.suppress(NotFoundError, ConflictError):
            self._write("DELETE", kind.path(namespace, name), body, content=JSON, accept=JSON)

    def lease_write(self, method: str, path: str, body: Json, *, timeout: float) -> Json:
        """Write the Lease: without the fence, and in one attempt.

        Args:
            method: `POST` to create, `PUT` to replace.
            path: URL path of the collection or of the Lease.
            timeout: Seconds.

        Raises:
            ConflictError: Another process has written it since it was read.
        """
        return self._json(method, path, body=body, retry=ONCE, timeout=timeout)

    def lease_read(self, path: str, *, timeout: float) -> Json:
        """Return the Lease, read in one attempt.

        Args:
            timeout: Seconds.

        Raises:
            NotFoundError: There is none yet.
        """
        return self._json("GET", path, retry=ONCE, timeout=timeout)

    def _write(self, method: str, path: str, body: Json | list[Json], *, content: str, accept: str) -> Json:
        return self._json(method, path, body=body, content=content, accept=accept, timeout=WRITE_TIMEOUT, fenced=True)

    def _json(  # noqa: PLR0913 - the parameters of an HTTP call
        self,
        method: str,
        path: str,
        *,
        body: Json | list[Json] | None = None,
        content: str = JSON,
        accept: str = JSON,
        retry: RetryPolicy | None = None,
        timeout: float,
        fenced: bool = False,
    ) -> Json:
        headers = {"Accept": accept}
        payload = None
        if body is not None:
            headers["Content-Type"] = content
            payload = encoded(body)
        policy = retry or self._retry
        attempt = 0
        while True:
            attempt += 1
            try:
                if not fenced:
                    return self._exchange(method, path, payload, headers, timeout)
                with self._writes:  # not held while waiting for the next attempt
                    return self._exchange(method, path, payload, headers, self._allowed(timeout))
            except (ApiError, ConnectionFailedError) as failure:
                pause = policy.pause(failure, attempt, random.random())  # noqa: S311 - jitter, not a secret
                if pause is None or self._stopping.wait(pause):
                    raise

    def _allowed(self, timeout: float) -> float:
        """Return the timeout of a write, cut to the time that the Lease leaves.

        Raises:
            FencedError: No time is left.
        """
        left = timeout if self.fence is None else min(timeout, self.fence.remaining())
        if left <= 0:
            raise FencedError("this process does not hold the Lease")
        return left

    def _exchange(self, method: str, path: str, body: bytes | None, headers: dict[str, str], timeout: float) -> Json:
        response = self._open(method, path, body, headers, (min(CONNECT_TIMEOUT, timeout), timeout))
        try:
            content = response.read()
            answer = json.loads(content)
        except (urllib3.exceptions.HTTPError, OSError, ValueError) as failure:
            response.close()
            raise ConnectionFailedError(f"{method} {_bare(path)}: {type(failure).__name__}") from failure
        finally:
            response.release_conn()
        return cast("Json", answer)

    def _open(
        self, method: str, path: str, body: bytes | None, headers: dict[str, str], timeout: tuple[float, float]
    ) -> urllib3.BaseHTTPResponse:
        try:
            response = self.connection.open(method, path, body=body, headers=headers, timeout=timeout)
        except (urllib3.exceptions.HTTPError, OSError) as failure:
            raise ConnectionFailedError(f"{method} {_bare(path)}: {type(failure).__name__}") from failure
        if 200 <= response.status < 300:  # noqa: PLR2004 - the range of success
            return response
        error = _error(f"{method} {_bare(path)}", response)
        if isinstance(error, UnauthorizedError):  # the token may have been rotated
            with contextlib.suppress(Exception):
                self.connection.reread()
        raise error


def _error(request: str, response: urllib3.BaseHTTPResponse) -> ApiError:
    """Return the error for a response, without text that may quote a Secret."""
    answer: Any = {}
    try:
        answer = json.loads(response.read())
    except (urllib3.exceptions.HTTPError, OSError, ValueError):
        response.close()
    finally:
        response.release_conn()
    answer = answer if isinstance(answer, dict) else {}
    asked = response.headers.get("Retry-After", "")
    return api_error(
        response.status,
        str(answer.get("reason") or response.reason or ""),
        request,
        _told(request, str(answer.get("message", ""))),
        float(asked) if asked.isdigit() else None,
        ending=_ending(answer),
    )


def _told(request: str, message: str) -> str:
    """Return the message of the server; about a Secret only parts that cannot quote its content."""
    if "/secrets" not in request:
        return message[:500]
    found = _HARMLESS.search(message)
    return found[0][:500] if found is not None else ""


def _ending(answer: Json) -> bool:
    details = answer.get("details")
    causes = details.get("causes") if isinstance(details, dict) else None
    return any(cause.get("reason") == "NamespaceTerminating" for cause in causes or () if isinstance(cause, dict))


def _bare(path: str) -> str:
    return path.split("?", 1)[0]
