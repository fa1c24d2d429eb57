"""The configuration files of the servers, written into the state folder of a cluster.

JSON stands wherever YAML is read; nothing here depends on the machine beyond the layout.
"""

from __future__ import annotations

import json
from pathlib import Path

from e2e.cluster import images
from e2e.cluster.layout import RESOLVERS, Layout

CONTAINERD = """\
version = 3
root = '{state}/containerd'
state = '{run}/containerd'
disabled_plugins = ['io.containerd.nri.v1.nri']
imports = []

[grpc]
address = '{run}/containerd.sock'

[ttrpc]
address = '{run}/containerd.sock.ttrpc'

[plugins.'io.containerd.cri.v1.images']
snapshotter = 'overlayfs'

[plugins.'io.containerd.cri.v1.images'.pinned_images]
sandbox = '{pause}'

[plugins.'io.containerd.cri.v1.runtime']
restrict_oom_score_adj = true
netns_mounts_under_state_dir = true

[plugins.'io.containerd.cri.v1.runtime'.cni]
bin_dirs = ['{cni}']
conf_dir = '{state}/etc/cni'

[plugins.'io.containerd.cri.v1.runtime'.containerd.runtimes.runc]
runtime_type = 'io.containerd.runc.v2'

[plugins.'io.containerd.cri.v1.runtime'.containerd.runtimes.runc.options]
BinaryName = '{cni}/runc'
Root = '{run}/runc'
SystemdCgroup = false
"""

COREFILE = """\
. {{
    bind {dns}
    errors
    reload 2s
    kubernetes cluster.local {network} {{
        kubeconfig {state}/pki/admin.kubeconfig
        pods verified
        ttl 1
    }}
    auto {{
        directory {zones} ^db\\.(.*)$ {{1}}
        reload 1s
    }}
}}
"""

# CoreDNS validates nothing; the AD bit of an answer is that of the resolver (RFC 6840, 5.8).
FORWARDED = """\
{zone} {{
    bind {dns}
    errors
    forward . {resolver} {{
        max_fails 0
    }}
}}
"""

# The root zone: whatever no other zone knows does not exist, and says so at once.
ROOT_ZONE = """\
. 1 IN SOA ns.invalid. hostmaster.invalid. 1 60 60 60 1
. 1 IN NS ns.invalid.
"""


def kubelet(layout: Layout) -> dict[str, object]:
    pki = layout.state / "pki"
    return {
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "kind": "KubeletConfiguration",
        "address": layout.node,
        "authentication": {
            "anonymous": {"enabled": False},
            "webhook": {"enabled": True},
            "x509": {"clientCAFile": f"{pki}/ca.crt"},
        },
        "authorization": {"mode": "Webhook"},
        "cgroupDriver": "cgroupfs",
        "cgroupRoot": f"/{layout.name}",
        "clusterDNS": [layout.dns],
        "clusterDomain": "cluster.local",
        "containerRuntimeEndpoint": f"unix://{layout.containerd}",
        "enforceNodeAllocatable": [],
        "evictionHard": {"memory.available": "100Mi", "nodefs.available": "1%", "imagefs.available": "1%"},
        "failCgroupV1": False,
        "failSwapOn": False,
        "fileCheckFrequency": "20s",
        "healthzBindAddress": "127.0.0.1",
        "imageGCHighThresholdPercent": 100,
        "imageGCLowThresholdPercent": 99,
        "maxPods": 200,
        "registerWithTaints": [],
        "resolvConf": f"{layout.state}/etc/resolv.conf",
        "serializeImagePulls": False,
        "tlsCertFile": f"{pki}/kubelet-server.crt",
        "tlsPrivateKeyFile": f"{pki}/kubelet-server.key",
    }


def proxy(layout: Layout) -> dict[str, object]:
    """Configure kube-proxy so that Services keep the address of clients from outside.

    Without a cluster CIDR it takes nobody for foreign, so a direct connection to a Service address is not masqueraded.
    """
    return {
        "apiVersion": "kubeproxy.config.k8s.io/v1alpha1",
        "kind": "KubeProxyConfiguration",
        "bindAddress": layout.node,
        "clientConnection": {"kubeconfig": f"{layout.state}/pki/proxy.kubeconfig"},
        "conntrack": {"maxPerCore": 0, "min": 0, "tcpEstablishedTimeout": "0s", "tcpCloseWaitTimeout": "0s"},
        "detectLocalMode": "ClusterCIDR",
        "clusterCIDR": "",
        "healthzBindAddress": "127.0.0.1:10256",
        "hostnameOverride": layout.name,
        "metricsBindAddress": "127.0.0.1:10249",
        "mode": "nftables",
        "nftables": {"minSyncPeriod": "100ms", "syncPeriod": "30s"},
    }


def cni(layout: Layout) -> dict[str, object]:
    ranges = [[{"subnet": layout.pods}]]
    address_management = {
        "type": "host-local",
        "dataDir": f"{layout.state}/cni",
        "ranges": ranges,
        "routes": [{"dst": "0.0.0.0/0"}],
    }
    return {
        "cniVersion": "1.0.0",
        "name": layout.name,
        "plugins": [
            {"type": "ptp", "ipMasq": False, "mtu": 1500, "ipam": address_management},
            {"type": "portmap", "backend": "nftables", "capabilities": {"portMappings": True}, "snat": True},
        ],
    }


def authentication() -> dict[str, object]:
    """Let nobody in without a name, except to ask whether the server lives."""
    return {
        "apiVersion": "apiserver.config.k8s.io/v1",
        "kind": "AuthenticationConfiguration",
        "anonymous": {
            "enabled": True,
            "conditions": [{"path": path} for path in ("/livez", "/readyz", "/healthz")],
        },
    }


def write(layout: Layout, published: Path) -> None:
    """Write every configuration file of the servers."""
    folder = layout.state / "etc"
    (folder / "cni").mkdir(parents=True)
    layout.zones.mkdir()
    values = {"state": layout.state, "run": layout.run, "cni": published, "pause": images.PAUSE}
    names = {"dns": layout.dns, "network": layout.network, "state": layout.state, "zones": layout.zones}
    forwarded = [FORWARDED.format(zone=zone, dns=layout.dns, resolver=one) for zone, one in RESOLVERS.items()]
    texts = {
        "containerd.toml": CONTAINERD.format(**values),
        "Corefile": "".join([COREFILE.format(**names), *forwarded]),
        "resolv.conf": f"nameserver {layout.dns}\n",
        "hosts": f"127.0.0.1 localhost\n{layout.node} {layout.name}\n",
        "kubelet.json": json.dumps(kubelet(layout), indent=1),
        "proxy.json": json.dumps(proxy(layout), indent=1),
        "authentication.json": json.dumps(authentication(), indent=1),
        "cni/10-postboat.conflist": json.dumps(cni(layout), indent=1),
    }
    for name, text in texts.items():
        (folder / name).write_text(text)
    (layout.zones / "db..").write_text(ROOT_ZONE)
