"""The network of the node: a namespace joined to the host by one pair of interfaces, and the addresses in it.

The host reaches pods and Services by a route into the node; the node has no default route: nothing leaves the machine.
"""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

from e2e.cluster.layout import Layout
from e2e.cluster.steps import attempt, run

NODE_INTERFACE = "eth0"

# Pods that speak to addresses outside the cluster do so by the address of the node, as on most clusters.
MASQUERADE = """
table ip postboat-masquerade {{
  chain postrouting {{
    type nat hook postrouting priority srcnat; policy accept;
    ip saddr {pods} ip daddr != {network} masquerade
  }}
}}
"""


def in_node(layout: Layout, *command: str) -> list[str]:
    """Return a command that runs in the network namespace of the node."""
    return ["nsenter", f"--net=/run/netns/{layout.name}", "--", *command]


def create(layout: Layout) -> None:
    node = ["ip", "-n", layout.name]
    run(["ip", "netns", "add", layout.name])
    run(["ip", "link", "add", layout.host_interface, "type", "veth", "peer", NODE_INTERFACE, "netns", layout.name])
    run(["ip", "addr", "add", f"{layout.host}/30", "dev", layout.host_interface])
    run(["ip", "link", "set", layout.host_interface, "up"])
    run([*node, "link", "set", "lo", "up"])
    run([*node, "addr", "add", f"{layout.node}/30", "dev", NODE_INTERFACE])
    run([*node, "link", "set", NODE_INTERFACE, "up"])
    run([*node, "addr", "add", f"{layout.dns}/32", "dev", "lo"])
    run(["ip", "route", "add", layout.network, "via", layout.node])
    # Addresses of Services and load balancers exist in rules only: the node needs some route for them, not a real one.
    for network in (layout.services, layout.load_balancers):
        run([*node, "route", "add", network, "dev", NODE_INTERFACE, "src", layout.node])
    run(in_node(layout, "nft", "-f", "-"), stdin=MASQUERADE.format(pods=layout.pods, network=layout.network))


def processes(layout: Layout) -> list[int]:
    """Return the processes in the namespaces of the node and around it, by their pids on the host."""
    found: list[int] = []
    for name in layout.namespaces:
        listing = subprocess.run(["ip", "netns", "pids", name], capture_output=True, text=True, check=False)
        found += [int(pid) for pid in listing.stdout.split()]
    return found


def remove(layout: Layout) -> None:
    for name in layout.namespaces:
        if Path("/run/netns", name).exists():
            attempt(["ip", "netns", "del", name])
    attempt(["ip", "link", "del", layout.host_interface])


def leftovers(layout: Layout) -> list[str]:
    """Return what of the cluster's network is still on this machine."""
    links = json.loads(run(["ip", "-j", "link", "show"]))
    names = [link["ifname"] for link in links if link["ifname"].startswith(f"{layout.name}-")]
    return names + [name for name in layout.namespaces if Path("/run/netns", name).exists()]
