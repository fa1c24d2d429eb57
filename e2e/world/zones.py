"""Zones of the outside world, served by the cluster's DNS from files.

A zone is written whole; a call returns when the servers' answer is the new one.
"""

from __future__ import annotations

import ipaddress
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import dns.exception
import dns.message
import dns.query
import dns.rdatatype
import dns.resolver

TTL = 1
Records = Mapping[str, Sequence[str]]


@dataclass(slots=True)
class Zones:
    """The zones below one folder and the server that serves them."""

    folder: Path
    server: str
    serial: int = field(default_factory=lambda: int(time.time()))
    reverse: dict[str, dict[str, list[str]]] = field(default_factory=dict)

    def publish(self, origin: str, records: Records, *, seconds: float = 15) -> None:
        """Serve a zone: names below the origin (`@` is the origin) to records such as `MX 10 mx.example.net.`."""
        origin = origin.rstrip(".").lower()
        self.serial += 1
        lines = [f"@ {TTL} IN SOA ns hostmaster {self.serial} 60 60 60 {TTL}", f"@ {TTL} IN NS ns"]
        if "ns" not in records:
            lines.append(f"ns {TTL} IN A {self.server}")
        lines += [f"{name} {TTL} IN {record}" for name, values in sorted(records.items()) for record in values]
        fresh = self.folder / f"new-{origin}"
        fresh.write_text("\n".join([f"$ORIGIN {origin}.", *lines]) + "\n")
        fresh.replace(self.folder / f"db.{origin}")
        self._wait(origin, self.serial, seconds)

    def name_address(self, address: str, name: str) -> None:
        """Serve the PTR record of an IPv4 address."""
        *network, host = str(ipaddress.IPv4Address(address)).split(".")
        origin = ".".join(reversed(network)) + ".in-addr.arpa"
        self.reverse.setdefault(origin, {})[host] = [f"PTR {name.rstrip('.')}."]
        self.publish(origin, self.reverse[origin])

    def withdraw(self, origin: str, *, seconds: float = 15) -> None:
        """Stop to serve a zone: its names do not exist any more."""
        origin = origin.rstrip(".").lower()
        (self.folder / f"db.{origin}").unlink(missing_ok=True)
        self._wait(origin, None, seconds)

    def resolve(self, name: str, kind: str) -> list[str]:
        """Ask the server; no answer is an empty list."""
        answer = self._ask(name, kind)
        return sorted(str(item) for records in answer.answer for item in records if records.rdtype == _kind(kind))

    def _ask(self, name: str, kind: str) -> dns.message.Message:
        query = dns.message.make_query(name, kind)
        answer, _ = dns.query.udp_with_fallback(query, self.server, timeout=3)
        return answer

    def _served_serial(self, origin: str) -> int | None:
        try:
            answer = self._ask(origin, "SOA").answer
        except dns.exception.Timeout:
            return -1
        return next((int(item.serial) for records in answer for item in records if hasattr(item, "serial")), None)

    def _wait(self, origin: str, serial: int | None, seconds: float) -> None:
        deadline = time.monotonic() + seconds
        while self._served_serial(origin) != serial:
            if time.monotonic() > deadline:
                raise TimeoutError(f"zone {origin} with serial {serial} is not served: see the log of coredns")
            time.sleep(0.1)


def _kind(name: str) -> dns.rdatatype.RdataType:
    return dns.rdatatype.from_text(name)
