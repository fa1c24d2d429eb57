"""The certificate authority of one cluster and the client certificates of its parts.

Keys are P-256 and made by openssl; they live as long as the cluster does and never leave its state folder.
"""

from __future__ import annotations

import base64
import json
from dataclasses import dataclass
from pathlib import Path

from e2e.cluster.layout import Layout
from e2e.cluster.steps import run

DAYS = "3650"
CLUSTER_NAME = "postboat"


@dataclass(frozen=True, slots=True)
class Identity:
    """One certificate: who it names and, for servers, under which names it is reached."""

    file: str
    user: str
    group: str = ""
    names: tuple[str, ...] = ()

    @property
    def subject(self) -> str:
        return (f"/O={self.group}" if self.group else "") + f"/CN={self.user}"


def identities(layout: Layout) -> tuple[Identity, ...]:
    service = "kubernetes.default.svc"
    api_names = ("DNS:kubernetes", "DNS:kubernetes.default", f"DNS:{service}", f"DNS:{service}.cluster.local",
                 "DNS:localhost", "IP:127.0.0.1", f"IP:{layout.node}", f"IP:{layout.api_service}")  # fmt: skip
    node_names = (f"DNS:{layout.name}", f"IP:{layout.node}")
    return (
        Identity("apiserver", "kube-apiserver", names=api_names),
        Identity("kubelet-server", f"system:node:{layout.name}", "system:nodes", node_names),
        Identity("kubelet", f"system:node:{layout.name}", "system:nodes"),
        Identity("apiserver-kubelet-client", "kube-apiserver-kubelet-client", "system:masters"),
        Identity("admin", "kubernetes-admin", "system:masters"),
        Identity("controller-manager", "system:kube-controller-manager"),
        Identity("scheduler", "system:kube-scheduler"),
        Identity("proxy", "system:kube-proxy"),
    )


def _new_key(path: Path) -> None:
    run(["openssl", "ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out", path])
    path.chmod(0o600)


def _make_authority(folder: Path) -> None:
    _new_key(folder / "ca.key")
    usage = "keyUsage=critical,keyCertSign,cRLSign,digitalSignature"
    command = ["openssl", "req", "-x509", "-new", "-key", folder / "ca.key", "-out", folder / "ca.crt", "-days", DAYS]
    run([*command, "-subj", f"/CN={CLUSTER_NAME}-ca", "-addext", usage])


def _issue(folder: Path, identity: Identity) -> None:
    key, request = folder / f"{identity.file}.key", folder / f"{identity.file}.csr"
    extensions = folder / f"{identity.file}.ext"
    _new_key(key)
    lines = ["basicConstraints=critical,CA:FALSE", "keyUsage=critical,digitalSignature"]
    lines.append("extendedKeyUsage=" + ("serverAuth" if identity.names else "clientAuth"))
    if identity.names:
        lines.append("subjectAltName=" + ",".join(identity.names))
    extensions.write_text("\n".join(lines) + "\n")
    run(["openssl", "req", "-new", "-key", key, "-out", request, "-subj", identity.subject])
    sign = ["openssl", "x509", "-req", "-CA", folder / "ca.crt", "-CAkey", folder / "ca.key", "-CAcreateserial"]
    target = folder / f"{identity.file}.crt"
    run([*sign, "-in", request, "-days", DAYS, "-extfile", extensions, "-out", target])
    request.unlink()
    extensions.unlink()


def _encoded(path: Path) -> str:
    return base64.b64encode(path.read_bytes()).decode()


def kubeconfig(layout: Layout, folder: Path, identity: str) -> str:
    """Write out a kubeconfig (JSON is YAML) that holds its certificates and depends on no other file."""
    cluster = {
        "server": f"https://{layout.node}:6443",
        "certificate-authority-data": _encoded(folder / "ca.crt"),
    }
    user = {
        "client-certificate-data": _encoded(folder / f"{identity}.crt"),
        "client-key-data": _encoded(folder / f"{identity}.key"),
    }
    content = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": CLUSTER_NAME, "cluster": cluster}],
        "users": [{"name": identity, "user": user}],
        "contexts": [{"name": layout.name, "context": {"cluster": CLUSTER_NAME, "user": identity}}],
        "current-context": layout.name,
    }
    return json.dumps(content, indent=1) + "\n"


def write(layout: Layout) -> None:
    """Make the authority, every certificate, every kubeconfig, and the key that signs ServiceAccount tokens."""
    folder = layout.state / "pki"
    folder.mkdir(mode=0o700)
    _make_authority(folder)
    for identity in identities(layout):
        _issue(folder, identity)
        if not identity.names:
            target = folder / f"{identity.file}.kubeconfig"
            target.write_text(kubeconfig(layout, folder, identity.file))
            target.chmod(0o600)
    _new_key(folder / "service-accounts.key")
    signer = folder / "service-accounts.key"
    run(["openssl", "ec", "-in", signer, "-pubout", "-out", signer.with_suffix(".pub")])
    layout.kubeconfig.write_text(kubeconfig(layout, folder, "admin"))
    layout.kubeconfig.chmod(0o600)
