"""The outside world as one object: two places, the zones, and the peers that were started.

Everything is made anew for each `World`, and its processes end with it; the places stay until the cluster goes.
"""

from __future__ import annotations

import ipaddress
import json
import shutil
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from e2e.cluster.layout import CHECKOUT, RESOLVERS, Layout, find
from e2e.cluster.steps import StepError, run
from e2e.world.peer import Peer
from e2e.world.place import Place
from e2e.world.signed import SignedZone
from e2e.world.zones import Zones

# TEST-NET-2 and TEST-NET-3 (RFC 5737): no route of the real internet leads there.
OUTSIDE_NETWORK = "198.51.100.0/24"
TRUSTED_NETWORK = "203.0.113.0/24"
FIRST_PEER = 20
PEERS = 50  # at most, of one world; four of them fit into the network


class World:
    """The outside world of the running cluster of this checkout; worlds side by side have numbers, 0 to 3.

    They share the places, and the zones: each publishes domains of its own.
    """

    def __init__(self, layout: Layout | None = None, number: int = 0) -> None:
        found = layout or find(CHECKOUT)
        if found is None or not Path("/run/netns", found.name).exists():
            raise StepError("no cluster runs for this checkout; start it by: python3 -m e2e.cluster up")
        self.layout = found
        self.outside = Place(found, found.outside, OUTSIDE_NETWORK, "outside0")
        self.trusted = Place(found, found.trusted, TRUSTED_NETWORK, "trusted0")
        self.zones = Zones(found.zones, found.dns)
        self.folder = found.state / f"world-{number}"
        signed = f"signed-{number}.test"
        self.signed = SignedZone(signed, RESOLVERS[signed], self.outside, self.folder / "resolver", found.dns)
        self.first_address = FIRST_PEER + number * PEERS
        self.peers: list[Peer] = []

    def __enter__(self) -> Self:
        self.outside.create()
        self.trusted.create()
        shutil.rmtree(self.folder, ignore_errors=True)
        self.folder.mkdir()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for peer in self.peers:
            peer.stop()
        self.signed.stop()

    def address_at(self, place: int) -> str:
        """One of the addresses of this world, 0 to PEERS - 1; peers have the first ones."""
        return str(ipaddress.IPv4Network(OUTSIDE_NETWORK)[self.first_address + place])

    def start_peer(  # noqa: PLR0913 -- each says one thing about the peer
        self,
        name: str,
        *,
        ports: Sequence[int] = (25,),
        tls: bool = False,
        by_name: bool = False,
        require_tls: bool = False,
        passwords: Mapping[str, str] | None = None,
        extensions: bool = True,
    ) -> Peer:
        """Start a mail server elsewhere; its name resolves once a zone says so (`receives_for` writes a plain one).

        With `by_name` it shows its certificate to whoever asks for its name, and another one to others. Without
        `extensions` it speaks neither 8BITMIME nor SMTPUTF8.
        """
        folder, address = self.folder / f"{len(self.peers):02}-{name}", self.address_at(len(self.peers))
        folder.mkdir()
        self.outside.add_address(address)
        if passwords:
            (folder / "passwords.json").write_text(json.dumps(dict(passwords)))
        if tls:
            _certificate(folder, name)
        if by_name:
            _certificate(folder, f"other.{name}", "other")
        options = ["--folder", str(folder), "--name", name, "--address", address, "--ports", ",".join(map(str, ports))]
        options += ["--tls"] * tls + ["--by-name"] * by_name + ["--require-tls"] * require_tls
        options += ["--seven-bits"] * (not extensions)
        command = ["env", "-C", str(CHECKOUT), sys.executable, "-m", "e2e.world.mta", *options]
        peer = Peer(name, address, folder, self.outside.start(command, folder / "log"))
        self.peers.append(peer)
        _wait_until_ready(peer)
        return peer

    def receives_for(self, domain: str, peer: Peer) -> None:
        """Publish a zone whose MX is the peer."""
        peer.domain = domain
        self.zones.publish(domain, {"@": ["MX 10 mx"], "mx": [f"A {peer.address}"]})


def _certificate(folder: Path, name: str, file: str = "tls") -> None:
    run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "365",
         "-subj", f"/CN={name}", "-addext", f"subjectAltName=DNS:{name}",
         "-keyout", folder / f"{file}.key", "-out", folder / f"{file}.crt"])  # fmt: skip


def _wait_until_ready(peer: Peer, seconds: float = 20) -> None:
    deadline = time.monotonic() + seconds
    while not (peer.folder / "ready").exists():
        if peer.process.poll() is not None or time.monotonic() > deadline:
            raise StepError(f"the peer {peer.name} did not start: {(peer.folder / 'log').read_text()[-2000:]}")
        time.sleep(0.05)
