"""The one connection to the API server: address, trust, and a credential that may rotate.

It works from a pod's service account or from a kubeconfig, and reads the credential again when the server refuses it.
"""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import urllib3
from typing_extensions import override

if TYPE_CHECKING:
    from collections.abc import Mapping

    from kubernetes.client import Configuration

POOL_SIZE = 64
SERVICE_ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")
FRESH = 60.0
"""Seconds after which the token of the pod is read again: kubelets replace it long before it ends."""


@dataclass(frozen=True, slots=True)
class Credentials:
    """What another HTTP stack (kopf's) needs to reach the same API server."""

    server: str
    ca_path: str | None
    insecure: bool
    token: str | None
    certificate_path: str | None
    private_key_path: str | None


class Access(Protocol):
    """Where the API server is, whom it is known by, and what it takes for a credential."""

    def credentials(self) -> Credentials:
        """Give all of it as it is now."""

    def reread(self) -> None:
        """Read the credential again."""

    def pool(self) -> Any:  # noqa: ANN401 - kubernetes has no types
        """Make a pool of connections."""


class PodAccess(Access):
    """By the service account of the pod. It needs no client library, whose import alone costs 67 MiB."""

    def __init__(self, server: str, folder: Path = SERVICE_ACCOUNT) -> None:
        self._server, self._folder = server, folder
        self._lock = threading.Lock()
        self._token, self._read = "", 0.0

    @override
    def credentials(self) -> Credentials:
        with self._lock:
            if not self._token or time.monotonic() - self._read > FRESH:
                self._token = (self._folder / "token").read_text().strip()
                self._read = time.monotonic()
            return Credentials(self._server, str(self._folder / "ca.crt"), False, self._token, None, None)  # noqa: FBT003

    @override
    def reread(self) -> None:
        with self._lock:
            self._token = ""

    @override
    def pool(self) -> urllib3.PoolManager:
        ca = str(self._folder / "ca.crt")
        return urllib3.PoolManager(num_pools=4, maxsize=POOL_SIZE, cert_reqs="CERT_REQUIRED", ca_certs=ca)


class ConfiguredAccess(Access):
    """By a kubeconfig, or by a configuration of the client library."""

    def __init__(self, kubeconfig: str, configuration: Configuration | None = None) -> None:
        from kubernetes.client import Configuration  # noqa: PLC0415 - no pod needs it, and it is large

        self._kubeconfig = kubeconfig
        self._fixed = configuration is not None
        self._configuration: Any = configuration or Configuration()
        self._lock = threading.Lock()
        self.reread()
        self._configuration.connection_pool_maxsize = POOL_SIZE
        self._configuration.retries = urllib3.Retry(0, redirect=0, raise_on_status=False)

    @override
    def reread(self) -> None:
        from kubernetes import config  # noqa: PLC0415 - as above

        if self._fixed:
            return
        with self._lock:
            config.load_kube_config(config_file=self._kubeconfig, client_configuration=self._configuration)

    @override
    def pool(self) -> Any:
        from kubernetes.client import ApiClient  # noqa: PLC0415 - as above

        return ApiClient(self._configuration).rest_client.pool_manager

    @override
    def credentials(self) -> Credentials:
        with self._lock:
            header: str | None = self._configuration.get_api_key_with_prefix("BearerToken", alias="authorization")
        token = header.split(" ", 1)[1] if header and " " in header else header
        return Credentials(
            server=self._configuration.host,
            ca_path=self._configuration.ssl_ca_cert,
            insecure=not self._configuration.verify_ssl,
            token=token,
            certificate_path=self._configuration.cert_file,
            private_key_path=self._configuration.key_file,
        )


class Connection:
    """One pool of connections, shared by all threads; without a kubeconfig by the service account of the pod."""

    def __init__(self, kubeconfig: str = "", server: str = "", *, configuration: Configuration | None = None) -> None:
        configured = bool(kubeconfig) or configuration is not None
        self.access: Access = ConfiguredAccess(kubeconfig, configuration) if configured else PodAccess(server)
        self._pool: Any = self.access.pool()

    def reread(self) -> None:
        """Read the credential again: the server has refused the one at hand."""
        self.access.reread()

    def open(
        self,
        method: str,
        path: str,
        *,
        body: bytes | None,
        headers: Mapping[str, str],
        timeout: tuple[float, float],
    ) -> urllib3.BaseHTTPResponse:
        """Send one request and return the response unread."""
        known = self.access.credentials()
        sent = dict(headers)
        if known.token:
            sent["Authorization"] = f"Bearer {known.token}"
        response: urllib3.BaseHTTPResponse = self._pool.request(
            method,
            known.server + path,
            body=body,
            headers=sent,
            preload_content=False,
            retries=False,
            timeout=urllib3.Timeout(connect=timeout[0], read=timeout[1]),
        )
        return response

    def credentials(self) -> Credentials:
        """Tell what another HTTP stack needs to connect alike."""
        return self.access.credentials()
