"""An API server with nothing around it: no nodes, no controllers, nobody who collects garbage or answers for pods.

`python3 -m e2e.cluster.api_only COMMAND...` runs a command with KUBECONFIG naming such a server.
"""

from __future__ import annotations

import argparse
import os
import secrets
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from e2e.cluster import build
from e2e.cluster.steps import StepError, run, step, wait_for

KUBECONFIG = """apiVersion: v1
kind: Config
current-context: api-only
clusters: [{{name: api-only, cluster: {{server: "https://127.0.0.1:{port}", certificate-authority: "{ca}"}}}}]
users: [{{name: admin, user: {{token: "{token}"}}}}]
contexts: [{{name: api-only, context: {{cluster: api-only, user: admin}}}}]
"""
READY_SECONDS = 60


def _free_ports(count: int) -> list[int]:
    with ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in sockets]


@contextmanager
def _process(program: str, log: Path, **flags: object) -> Iterator[subprocess.Popen[bytes]]:
    command = [str(build.binary_folder() / program), *(f"--{k.replace('_', '-')}={v}" for k, v in flags.items())]
    with log.open("wb") as output, subprocess.Popen(command, stdout=output, stderr=output) as process:
        try:
            yield process
        finally:
            process.kill()


def _answers(kubeconfig: Path) -> bool:
    kubectl = build.binary_folder() / "kubectl"
    command = [str(kubectl), f"--kubeconfig={kubeconfig}", "get", "--raw", "/readyz"]
    return subprocess.run(command, check=False, capture_output=True).returncode == 0


@contextmanager
def api_server() -> Iterator[Path]:
    """Run etcd and a kube-apiserver on loopback; give the kubeconfig of their administrator."""
    with tempfile.TemporaryDirectory(prefix="api-only-") as name, ExitStack() as stack:
        folder, (client, peer, port) = Path(name), _free_ports(3)
        token, kubeconfig, key = secrets.token_hex(16), folder / "kubeconfig", folder / "service-accounts.key"
        (folder / "tokens.csv").write_text(f"{token},admin,admin,system:masters\n")
        kubeconfig.write_text(KUBECONFIG.format(port=port, ca=folder / "apiserver.crt", token=token))
        run(["openssl", "genrsa", "-out", key, "2048"])
        at, beside = f"http://127.0.0.1:{client}", f"http://127.0.0.1:{peer}"
        etcd = _process(
            "etcd", folder / "etcd.log", data_dir=folder / "etcd", listen_client_urls=at, advertise_client_urls=at,
            listen_peer_urls=beside, initial_advertise_peer_urls=beside, initial_cluster=f"default={beside}",
            unsafe_no_fsync="true",
        )  # fmt: skip
        api = _process(
            "kube-apiserver", folder / "api.log", etcd_servers=at, secure_port=port, bind_address="127.0.0.1",
            advertise_address="127.0.0.1", cert_dir=folder, authorization_mode="RBAC",
            token_auth_file=folder / "tokens.csv", service_cluster_ip_range="10.0.0.0/24",
            service_account_issuer="https://kubernetes.default.svc", service_account_key_file=key,
            service_account_signing_key_file=key, disable_admission_plugins="ServiceAccount",
        )  # fmt: skip
        stack.enter_context(etcd)
        process = stack.enter_context(api)
        wait_for("the API server", lambda: process.poll() is not None or _answers(kubeconfig), READY_SECONDS)
        if process.poll() is not None:
            raise StepError(f"the API server ended:\n{(folder / 'api.log').read_text()[-2000:]}")
        yield kubeconfig


def main() -> int:
    """Run the command of the command line with an API server of its own."""
    parser = argparse.ArgumentParser(prog="python3 -m e2e.cluster.api_only", description=__doc__)
    parser.add_argument("command", nargs=argparse.REMAINDER, help="the command, and its arguments")
    options = parser.parse_args()
    try:
        build.ensure()
        with ExitStack() as stack:
            with step("starting an API server without nodes"):
                kubeconfig = stack.enter_context(api_server())
            environment = {**os.environ, "KUBECONFIG": str(kubeconfig), "PATH": build.search_path()}
            return subprocess.run(options.command, check=False, env=environment).returncode
    except StepError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())
