"""The connection pool to the API server: address, CA, and a credential that may be rotated.

It works with the service account of a pod or with a kubeconfig, and reads the credential again after a 401.
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
"""Connections that are kept open."""
SERVICE_ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")
FRESH = 60.0
"""Seconds after which the token of the pod is read again: kubelets replace it long before it expires."""


@dataclass(frozen=True, slots=True)
class Credentials:
    """What another HTTP stack (kopf's) needs to reach the same API server; None stands for what is not used."""

    server: str
    """URL without a path."""
    ca_path: str | None
    insecure: bool
    """Whether the certificate of the server is not verified."""
    token: str | None
    certificate_path: str | None
    private_key_path: str | None


class Access(Protocol):
    """Address, CA and credential of the API server, from one source."""

    def credentials(self) -> Credentials:
        """Return them as they are now."""

    def reread(self) -> None:
        """Read the credential again."""

    def pool(self) -> Any:  # noqa: ANN401 - kubernetes has no types
        """Return a new urllib3 connection pool."""


class PodAccess(Access):
    """Access by the service account of the pod. It needs no client library, whose import alone costs 67 MiB.

    Args:
        server: URL of the API server, without a path.
        folder: Where the kubelet mounts `token` and `ca.crt`.
    """

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
    """Access by a kubeconfig, or by a configuration of the client library.

    Args:
        kubeconfig: Path of a file; "" for the default of the library.
        configuration: Used instead of a kubeconfig, and never read again; None reads the kubeconfig.
    """

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
    """One connection pool for all threads: by kubeconfig or configuration, else by the service account of the pod."""

    def __init__(self, kubeconfig: str = "", server: str = "", *, configuration: Configuration | None = None) -> None:
        configured = bool(kubeconfig) or configuration is not None
        self.access: Access = ConfiguredAccess(kubeconfig, configuration) if configured else PodAccess(server)
        self._pool: Any = self.access.pool()

    def reread(self) -> None:
        """Read the credential again, since the server answered 401."""
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
        """Send one request and return the response unread. No retries.

        Args:
            path: URL path with its query.
            body: The encoded body; None for none.
            timeout: Seconds to connect, and seconds to wait for the next byte.

        Raises:
            urllib3.exceptions.HTTPError: The server could not be reached, or did not answer in time.
            OSError: The token cannot be read.
        """
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
        """Return what another HTTP stack needs to connect in the same way."""
        return self.access.credentials()
