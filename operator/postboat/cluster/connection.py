"""The one connection to the API server: address, trust, and a credential that may rotate.

It works from a pod's service account or from a kubeconfig, and reads the credential again when the server refuses it.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import urllib3
from kubernetes import config
from kubernetes.client import ApiClient, Configuration

if TYPE_CHECKING:
    from collections.abc import Mapping

POOL_SIZE = 64


@dataclass(frozen=True, slots=True)
class Credentials:
    """What another HTTP stack (kopf's) needs to reach the same API server."""

    server: str
    ca_path: str | None
    insecure: bool
    token: str | None
    certificate_path: str | None
    private_key_path: str | None


class Connection:
    """One pooled ApiClient, shared by all threads."""

    def __init__(self, kubeconfig: str = "", *, configuration: Configuration | None = None) -> None:
        self._kubeconfig = kubeconfig
        self._fixed = configuration is not None
        self._configuration: Any = configuration or Configuration()
        self._lock = threading.Lock()
        if not self._fixed:
            self._load()
        self._configuration.connection_pool_maxsize = POOL_SIZE
        self._configuration.retries = urllib3.Retry(0, redirect=0, raise_on_status=False)
        self._client: Any = ApiClient(self._configuration)

    def _load(self) -> None:
        if self._kubeconfig:
            config.load_kube_config(config_file=self._kubeconfig, client_configuration=self._configuration)
        else:
            config.load_incluster_config(client_configuration=self._configuration)

    def reread(self) -> None:
        """Read the credential again: the server has refused the one at hand."""
        if self._fixed:
            return
        with self._lock:
            self._load()

    def _authorization(self) -> str | None:
        with self._lock:
            header: str | None = self._configuration.get_api_key_with_prefix("BearerToken", alias="authorization")
        return header

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
        sent = dict(headers)
        if authorization := self._authorization():
            sent["Authorization"] = authorization
        response: urllib3.BaseHTTPResponse = self._client.rest_client.pool_manager.request(
            method,
            self._configuration.host + path,
            body=body,
            headers=sent,
            preload_content=False,
            retries=False,
            timeout=urllib3.Timeout(connect=timeout[0], read=timeout[1]),
        )
        return response

    def credentials(self) -> Credentials:
        """Tell what another HTTP stack needs to connect alike."""
        header = self._authorization()
        token = header.split(" ", 1)[1] if header and " " in header else header
        return Credentials(
            server=self._configuration.host,
            ca_path=self._configuration.ssl_ca_cert,
            insecure=not self._configuration.verify_ssl,
            token=token,
            certificate_path=self._configuration.cert_file,
            private_key_path=self._configuration.key_file,
        )
