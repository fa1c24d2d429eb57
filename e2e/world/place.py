"""A place outside the cluster: a network namespace with an address of its own, joined to the node.

Programs and sockets started there reach Services by their addresses, and pods see the true address of the client.
"""

from __future__ import annotations

import ctypes
import ipaddress
import os
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from e2e.cluster.layout import Layout
from e2e.cluster.steps import run

CLONE_NEWNET = 0x40000000
_LIBC = ctypes.CDLL(None, use_errno=True)

# A resolver of its own, without touching the machine's: the mount lives and ends with the command.
WITH_RESOLVER = 'mount --bind "$0" /etc/resolv.conf && exec "$@"'


@dataclass(frozen=True, slots=True)
class Place:
    """Where clients and servers outside the cluster stand."""

    layout: Layout
    namespace: str
    network: str
    interface: str

    @property
    def _addresses(self) -> ipaddress.IPv4Network:
        return ipaddress.IPv4Network(self.network)

    @property
    def gateway(self) -> str:
        """The node's address in this network: what servers here see of pods that call them."""
        return str(self._addresses[1])

    @property
    def address(self) -> str:
        """The address that programs here have, and that pods see."""
        return str(self._addresses[10])

    def create(self) -> None:
        """Make the namespace and join it to the node, unless that has been done."""
        if Path("/run/netns", self.namespace).exists():
            return
        node, here = ["ip", "-n", self.layout.name], ["ip", "-n", self.namespace]
        length = self._addresses.prefixlen
        run(["ip", "netns", "add", self.namespace])
        run([*node, "link", "add", self.interface, "type", "veth", "peer", "eth0", "netns", self.namespace])
        run([*node, "addr", "add", f"{self.gateway}/{length}", "dev", self.interface])
        run([*node, "link", "set", self.interface, "up"])
        run([*here, "link", "set", "lo", "up"])
        run([*here, "addr", "add", f"{self.address}/{length}", "dev", "eth0"])
        run([*here, "link", "set", "eth0", "up"])
        run([*here, "route", "add", "default", "via", self.gateway])

    def add_address(self, address: str) -> None:
        """Give the place one more address, for a server."""
        run(["ip", "-n", self.namespace, "addr", "replace", f"{address}/32", "dev", "eth0"])

    def command(self, command: Sequence[str]) -> list[str]:
        """Return the command line that runs a command here, resolving names by the cluster's DNS."""
        resolver = str(self.layout.state / "etc/resolv.conf")
        enter = ["nsenter", f"--net=/run/netns/{self.namespace}", "unshare", "--mount"]
        return [*enter, "sh", "-c", WITH_RESOLVER, resolver, *command]

    def run(
        self, command: Sequence[str], *, stdin: str | None = None, timeout: float = 60, check: bool = False
    ) -> subprocess.CompletedProcess[str]:
        """Run a command here, such as swaks, and return its exit status and output."""
        return subprocess.run(
            self.command(command), input=stdin, text=True, capture_output=True, timeout=timeout, check=check
        )

    def start(self, command: Sequence[str], log: Path) -> subprocess.Popen[bytes]:
        """Start a server here."""
        with log.open("ab") as output:
            return subprocess.Popen(self.command(command), stdin=subprocess.DEVNULL, stdout=output, stderr=output)

    @contextmanager
    def entered(self) -> Iterator[None]:
        """Let this thread make its sockets here; they stay here after the block: `with place.entered(): SMTP(...)`."""
        home = os.open("/proc/thread-self/ns/net", os.O_RDONLY)
        away = os.open(f"/run/netns/{self.namespace}", os.O_RDONLY)
        try:
            _enter(away)
            try:
                yield
            finally:
                _enter(home)
        finally:
            os.close(away)
            os.close(home)


def _enter(namespace: int) -> None:
    if _LIBC.setns(namespace, CLONE_NEWNET):
        raise OSError(ctypes.get_errno(), "setns")
