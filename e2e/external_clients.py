"""Clients outside the platform: one with an address outside of all of the cluster's networks.

One in a pod of another namespace. Both run the same programs of this machine; only the network they stand in differs.
"""

from __future__ import annotations

import subprocess
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

PROGRAMS = {
    "nmap": ("nmap",),
    "swaks": ("swaks", "libnet-ssleay-perl", "libauthen-sasl-perl"),
}
"""What strangers try their luck with, and the Debian packages it comes from."""


@dataclass(frozen=True)
class ExternalClients:
    """Where the strangers stand: the names of network namespaces of this machine."""

    outside: str
    pod: str

    def _namespace(self, where: str) -> str:
        return {"outside": self.outside, "pod": self.pod}[where]

    def run(self, where: str, command: Sequence[str], timeout: float = 180) -> str:
        """Standard output and error of a program that runs there."""
        done = subprocess.run(
            ["nsenter", f"--net={self._namespace(where)}", *command],
            check=False,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=timeout,
        )
        return done.stdout

    def connects(self, where: str, address: str, port: int) -> bool:
        """Whether a TCP connection from there is taken within three seconds."""
        script = f"exec 3<>/dev/tcp/{address}/{port}"
        command = ["nsenter", f"--net={self._namespace(where)}", "timeout", "3", "bash", "-c", script]
        return subprocess.run(command, check=False, capture_output=True).returncode == 0

    def reached(self, where: str, targets: Iterable[tuple[str, int]]) -> set[tuple[str, int]]:
        """The addresses and ports that take a connection from there, all tried side by side."""
        tried = list(targets)
        with ThreadPoolExecutor(8) as pool:
            taken = pool.map(lambda target: self.connects(where, *target), tried)
        return {target for target, open_ in zip(tried, taken, strict=True) if open_}
