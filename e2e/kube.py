"""What the cases ask of Kubernetes: apply, read, wait, delete, exec and logs, as plain dictionaries.

Every wait polls for the thing itself and fails with the last state it saw, so no case sleeps for a fixed time.
"""

from __future__ import annotations

import base64
import time
from collections.abc import Callable, Iterable, Mapping
from typing import Any, cast

from kubernetes import client, config, dynamic
from kubernetes.client import ApiException
from kubernetes.stream import stream

Object = dict[str, Any]

GROUP = "postboat.dev/v1alpha1"


class TimedOutError(AssertionError):
    """What was waited for did not come; the message holds the last state seen."""


def eventually(look: Callable[[], object], what: str, timeout: float = 90, every: float = 0.1) -> Any:  # noqa: ANN401
    """Call `look` until it returns something true, and return that.

    An AssertionError of `look` counts as not yet, and so does an API server or a kubelet that cannot answer right now.
    """
    deadline = time.monotonic() + timeout
    last: object = None
    while True:
        try:
            found = look()
            if found:
                return found
            last = found
        except AssertionError as error:
            last = error
        except ApiException as error:
            if error.status and error.status != 429 and error.status < 500:
                raise
            last = error
        if time.monotonic() > deadline:
            raise TimedOutError(f"{what}: not within {timeout:.0f} s; last seen: {last!r}")
        time.sleep(every)


class Kube:
    """One cluster, seen as its administrator."""

    def __init__(self, kubeconfig: str) -> None:
        self.kubeconfig = kubeconfig
        self.api = config.new_client_from_config(kubeconfig)
        self.core = client.CoreV1Api(self.api)
        self.dynamic = dynamic.DynamicClient(self.api)

    def _resource(self, api_version: str, kind: str) -> Any:  # noqa: ANN401
        return self.dynamic.resources.get(api_version=api_version, kind=kind)

    def apply(self, *objects: Mapping[str, Any]) -> list[Object]:
        """Apply as one field manager; server-side apply refuses an unknown field."""
        applied = []
        for one in objects:
            meta = one["metadata"]
            result = self.dynamic.server_side_apply(
                self._resource(one["apiVersion"], one["kind"]),
                body=dict(one),
                name=meta["name"],
                namespace=meta.get("namespace"),
                field_manager="e2e",
                force_conflicts=True,
            )
            applied.append(cast("Object", result.to_dict()))
        return applied

    def create(self, one: Mapping[str, Any]) -> Object:
        """Create a custom resource, strictly; server-side apply would answer a wrong name or type with 500."""
        group, version = one["apiVersion"].split("/")
        plural = self._resource(one["apiVersion"], one["kind"]).name
        created = client.CustomObjectsApi(self.api).create_namespaced_custom_object(
            group, version, one["metadata"]["namespace"], plural, dict(one), field_validation="Strict"
        )
        return cast("Object", created)

    def get(self, api_version: str, kind: str, namespace: str | None, name: str) -> Object | None:
        """The object, or None where there is none."""
        try:
            found = self._resource(api_version, kind).get(name=name, namespace=namespace)
        except ApiException as error:
            if error.status == 404:
                return None
            raise
        return cast("Object", found.to_dict())

    def objects(self, api_version: str, kind: str, namespace: str | None, selector: str = "") -> list[Object]:
        found = self._resource(api_version, kind).get(namespace=namespace, label_selector=selector)
        return cast("list[Object]", found.to_dict()["items"])

    def delete(self, api_version: str, kind: str, namespace: str | None, name: str) -> None:
        """Delete, and do not mind if it is gone already."""
        try:
            self._resource(api_version, kind).delete(name=name, namespace=namespace)
        except ApiException as error:
            if error.status != 404:
                raise

    def patch(  # noqa: PLR0913, PLR0917
        self, api_version: str, kind: str, namespace: str, name: str, body: Mapping[str, Any], how: str = "merge"
    ) -> Object:
        """Change a part of an object; `how` is merge, or strategic-merge where lists are merged by their keys."""
        found = self._resource(api_version, kind).patch(
            name=name, namespace=namespace, body=dict(body), content_type=f"application/{how}-patch+json"
        )
        return cast("Object", found.to_dict())

    def patch_status(self, kind: str, namespace: str, name: str, status: object) -> None:
        """Write into the status of a postboat object, as only somebody would who should not."""
        self._resource(GROUP, kind).status.patch(
            name=name, namespace=namespace, body={"status": status}, content_type="application/merge-patch+json"
        )

    def pods(self, namespace: str, component: str = "", instance: str = "") -> list[Object]:
        wanted = {"app.kubernetes.io/component": component, "app.kubernetes.io/instance": instance}
        selector = ",".join(f"{key}={value}" for key, value in wanted.items() if value)
        return self.objects("v1", "Pod", namespace, selector)

    def secret(self, namespace: str, name: str) -> dict[str, bytes]:
        found = self.get("v1", "Secret", namespace, name)
        assert found is not None, f"no Secret {namespace}/{name}"
        return {key: base64.b64decode(value) for key, value in (found.get("data") or {}).items()}

    def exec(self, namespace: str, pod: str, container: str, command: Iterable[str]) -> str:
        """Standard output and error of a command run in a container."""
        return cast(
            "str",
            stream(
                self.core.connect_get_namespaced_pod_exec,
                pod,
                namespace,
                container=container,
                command=list(command),
                stderr=True,
                stdin=False,
                stdout=True,
                tty=False,
            ),
        )

    def logs(self, namespace: str, pod: str, container: str, since_seconds: int | None = None) -> str:
        """The lines as they are; the client by itself gives the notation of the bytes, in which quotes are escaped."""
        answer = self.core.read_namespaced_pod_log(
            pod, namespace, container=container, since_seconds=since_seconds, _preload_content=False
        )
        return bytes(answer.data).decode(errors="replace")

    def columns(self, kind: str, namespace: str, name: str) -> Object:
        """What `kubectl get -o wide` shows of a postboat object: column -> cell."""
        plural = self._resource(GROUP, kind).name
        table = self.api.call_api(
            f"/apis/{GROUP}/namespaces/{namespace}/{plural}/{name}", "GET", auth_settings=["BearerToken"],
            response_types_map={200: "object"},
            header_params={"Accept": "application/json;as=Table;g=meta.k8s.io;v=v1"},
        )[0]  # fmt: skip
        names = (column["name"] for column in table["columnDefinitions"])
        return dict(zip(names, table["rows"][0]["cells"], strict=True))

    def condition(self, kind: str, namespace: str, name: str, type_: str) -> Object | None:
        """The condition of a postboat object, with the object's generation beside it, or None."""
        found = self.get(GROUP, kind, namespace, name)
        if found is None:
            return None
        status = found.get("status") or {}
        for condition in status.get("conditions") or []:
            if condition["type"] == type_:
                generations = {"generation": found["metadata"]["generation"]}
                return {**condition, **generations, "statusGeneration": status.get("observedGeneration")}
        return None

    def wait_condition(  # noqa: PLR0913, PLR0917
        self, kind: str, namespace: str, name: str, type_: str, status: str = "True", timeout: float = 90
    ) -> Object:
        """Wait until a condition has that status for the object's present generation."""

        def look() -> Object | None:
            found = self.condition(kind, namespace, name, type_)
            assert found is not None, f"{kind} {name} has no condition {type_}"
            current = found["observedGeneration"] == found["generation"] == found["statusGeneration"]
            assert current, found
            assert found["status"] == status, found
            return found

        return cast("Object", eventually(look, f"{kind} {name} {type_}={status}", timeout))
