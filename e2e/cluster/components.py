"""The command lines of the servers, and what each of them waits for before it starts.

Addresses on 127.0.0.1 are the node's own loopback: the node is a network namespace, so ports never collide.
"""

from __future__ import annotations

from dataclasses import dataclass

from e2e.cluster.layout import Layout

ETCD_PORT = 2379
API_READY = "api-server"


@dataclass(frozen=True, slots=True)
class Component:
    """One server: its command and the probes (unix:PATH, tcp:HOST:PORT or the API server) it waits for."""

    name: str
    command: tuple[str, ...]
    waits: tuple[str, ...] = ()


def _flags(values: dict[str, object]) -> tuple[str, ...]:
    return tuple(f"--{name}={value}" for name, value in values.items())


def etcd(layout: Layout) -> Component:
    client, peer = f"http://127.0.0.1:{ETCD_PORT}", "http://127.0.0.1:2380"
    values: dict[str, object] = {
        "name": "node",
        "data-dir": layout.state / "etcd",
        "listen-client-urls": client,
        "advertise-client-urls": client,
        "listen-peer-urls": peer,
        "initial-advertise-peer-urls": peer,
        "initial-cluster": f"node={peer}",
        "unsafe-no-fsync": "true",
        "quota-backend-bytes": 4 << 30,
        "log-level": "warn",
    }
    return Component("etcd", ("etcd", *_flags(values)))


def api_server(layout: Layout) -> Component:
    pki = layout.state / "pki"
    values: dict[str, object] = {
        "advertise-address": layout.node,
        "bind-address": "0.0.0.0",  # noqa: S104 -- every address of the node's own network namespace
        "secure-port": 6443,
        "allow-privileged": "true",
        "authentication-config": layout.state / "etc/authentication.json",
        "authorization-mode": "Node,RBAC",
        "client-ca-file": pki / "ca.crt",
        "enable-admission-plugins": "NodeRestriction",
        "etcd-servers": f"http://127.0.0.1:{ETCD_PORT}",
        "kubelet-certificate-authority": pki / "ca.crt",
        "kubelet-client-certificate": pki / "apiserver-kubelet-client.crt",
        "kubelet-client-key": pki / "apiserver-kubelet-client.key",
        "kubelet-preferred-address-types": "InternalIP",
        "profiling": "false",
        "service-account-issuer": "https://kubernetes.default.svc.cluster.local",
        "service-account-key-file": pki / "service-accounts.pub",
        "service-account-signing-key-file": pki / "service-accounts.key",
        "service-cluster-ip-range": layout.services,
        "tls-cert-file": pki / "apiserver.crt",
        "tls-private-key-file": pki / "apiserver.key",
    }
    return Component("kube-apiserver", ("kube-apiserver", *_flags(values)), (f"tcp:127.0.0.1:{ETCD_PORT}",))


def controller_manager(layout: Layout) -> Component:
    pki = layout.state / "pki"
    values: dict[str, object] = {
        "kubeconfig": pki / "controller-manager.kubeconfig",
        "authentication-kubeconfig": pki / "controller-manager.kubeconfig",
        "authorization-kubeconfig": pki / "controller-manager.kubeconfig",
        "bind-address": "127.0.0.1",
        "cluster-name": layout.name,
        "cluster-signing-cert-file": pki / "ca.crt",
        "cluster-signing-key-file": pki / "ca.key",
        "leader-elect": "false",
        "root-ca-file": pki / "ca.crt",
        "service-account-private-key-file": pki / "service-accounts.key",
        "use-service-account-credentials": "true",
    }
    command = ("kube-controller-manager", *_flags(values))
    return Component("kube-controller-manager", command, (API_READY,))


def scheduler(layout: Layout) -> Component:
    config = layout.state / "pki/scheduler.kubeconfig"
    values: dict[str, object] = {
        "kubeconfig": config,
        "authentication-kubeconfig": config,
        "authorization-kubeconfig": config,
        "bind-address": "127.0.0.1",
        "leader-elect": "false",
    }
    return Component("kube-scheduler", ("kube-scheduler", *_flags(values)), (API_READY,))


def kubelet(layout: Layout) -> Component:
    values: dict[str, object] = {
        "config": layout.state / "etc/kubelet.json",
        "hostname-override": layout.name,
        "kubeconfig": layout.state / "pki/kubelet.kubeconfig",
        "node-ip": layout.node,
        "root-dir": "/var/lib/kubelet",
    }
    return Component("kubelet", ("kubelet", *_flags(values)), (f"unix:{layout.containerd}", API_READY))


def all_components(layout: Layout) -> tuple[Component, ...]:
    """Return every server of the cluster in the order of their start."""
    admin = f"--kubeconfig={layout.state}/pki/admin.kubeconfig"
    return (
        etcd(layout),
        Component("containerd", ("containerd", "--config", f"{layout.state}/etc/containerd.toml")),
        api_server(layout),
        controller_manager(layout),
        scheduler(layout),
        kubelet(layout),
        Component("kube-proxy", ("kube-proxy", f"--config={layout.state}/etc/proxy.json"), (API_READY,)),
        Component("coredns", ("coredns", "-conf", f"{layout.state}/etc/Corefile"), (API_READY,)),
        Component("local-volumes", ("local-volumes", admin, f"--folder={layout.volumes}"), (API_READY,)),
        Component("network-policy", ("network-policy", admin, f"--dns={layout.dns}"), (API_READY,)),
        Component("load-balancer", ("load-balancer", admin, f"--addresses={layout.load_balancers}"), (API_READY,)),
    )
