"""Where one checkout's cluster keeps its files and which names and addresses it uses.

A checkout gets a slot; the slot number makes interface names and subnets unique, so clusters stand side by side.
"""

from __future__ import annotations

import fcntl
import hashlib
import ipaddress
import json
import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parents[2]
SOURCES = Path(__file__).resolve().parent
SLOTS = 32
FIRST_OCTET = 208
RESOLVERS = {f"signed-{number}.test": f"198.51.100.{11 + number}" for number in range(4)}
"""Signed zones of the outside world, one for each `World`, and the validating resolver that answers for each."""


def state_home() -> Path:
    return Path(os.environ.get("XDG_STATE_HOME") or Path.home() / ".local/state") / "postboat"


def cache_home() -> Path:
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "postboat"


@dataclass(frozen=True, slots=True)
class Layout:
    """Names, addresses and folders of the cluster of one checkout."""

    checkout: Path
    slot: int

    @property
    def name(self) -> str:
        return f"postboat-{self.slot}"

    @property
    def octet(self) -> int:
        return FIRST_OCTET + self.slot

    @property
    def network(self) -> str:
        """The whole /16 of this cluster, routed from the host into the node."""
        return f"10.{self.octet}.0.0/16"

    @property
    def pods(self) -> str:
        return f"10.{self.octet}.0.0/17"

    @property
    def services(self) -> str:
        return f"10.{self.octet}.128.0/18"

    @property
    def api_service(self) -> str:
        return f"10.{self.octet}.128.1"

    @property
    def load_balancers(self) -> str:
        return f"10.{self.octet}.253.0/24"

    @property
    def dns(self) -> str:
        return f"10.{self.octet}.255.10"

    @property
    def host(self) -> str:
        return f"10.{self.octet}.255.1"

    @property
    def node(self) -> str:
        return f"10.{self.octet}.255.2"

    @property
    def host_interface(self) -> str:
        return f"{self.name}-h"

    @property
    def outside(self) -> str:
        """The network namespace that plays the outside world."""
        return f"{self.name}-outside"

    @property
    def trusted(self) -> str:
        """The network namespace of clients outside the cluster whom a test calls trusted."""
        return f"{self.name}-trusted"

    @property
    def namespaces(self) -> tuple[str, ...]:
        return (self.outside, self.trusted, self.name)

    @property
    def state(self) -> Path:
        return state_home() / checkout_id(self.checkout)

    @property
    def run(self) -> Path:
        """Sockets: short paths, gone after a reboot."""
        return Path("/run") / self.name

    @property
    def logs(self) -> Path:
        return self.state / "log"

    @property
    def zones(self) -> Path:
        """Zone files named db.ORIGIN, served within a second of a change of the serial."""
        return self.state / "zones"

    @property
    def volumes(self) -> Path:
        return self.state / "volumes"

    @property
    def kubeconfig(self) -> Path:
        return self.state / "kubeconfig"

    @property
    def programs(self) -> Path:
        """The folder of kubectl, helm and the rest as they were built for the running cluster."""
        return self.state / "bin"

    @property
    def containerd(self) -> Path:
        return self.run / "containerd.sock"

    @property
    def pid_file(self) -> Path:
        return self.state / "node.pid"


def checkout_id(checkout: Path) -> str:
    return hashlib.sha256(str(checkout).encode()).hexdigest()[:10]


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold an exclusive lock on a file for the length of the block."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield


def _registry() -> Path:
    return state_home() / "slots.json"


def _read_slots() -> dict[str, int]:
    try:
        return {str(key): int(value) for key, value in json.loads(_registry().read_text()).items()}
    except FileNotFoundError:
        return {}


def _write_slots(slots: dict[str, int]) -> None:
    fresh = _registry().with_suffix(".new")
    fresh.write_text(json.dumps(slots, indent=1, sort_keys=True) + "\n")
    fresh.replace(_registry())


def _is_free(layout: Layout) -> bool:
    """Tell whether nothing else on this machine uses the names and addresses of a slot."""
    if Path("/run/netns", layout.name).exists():
        return False
    wanted = ipaddress.ip_network(layout.network)
    listing = subprocess.run(["ip", "-j", "-4", "route", "show", "table", "all"], check=True, capture_output=True)
    for route in json.loads(listing.stdout or b"[]"):
        if route["dst"] != "default" and ipaddress.ip_network(route["dst"], strict=False).overlaps(wanted):
            return False
    return True


def find(checkout: Path = CHECKOUT) -> Layout | None:
    """Return the layout of a checkout that has a slot already."""
    slot = _read_slots().get(str(checkout))
    return None if slot is None else Layout(checkout, slot)


def lost() -> list[Layout]:
    """Return the layouts of checkouts that were removed without `down`."""
    return [Layout(Path(path), slot) for path, slot in _read_slots().items() if not Path(path).exists()]


def alone(layout: Layout) -> bool:
    """Tell whether no other checkout of this machine has a slot."""
    return not _read_slots().keys() - {str(layout.checkout)}


def claim(checkout: Path = CHECKOUT) -> Layout:
    """Return the layout of a checkout, taking the first free slot when it has none."""
    with locked(state_home() / "slots.lock"):
        slots = _read_slots()
        if str(checkout) in slots:
            return Layout(checkout, slots[str(checkout)])
        for slot in range(SLOTS):
            layout = Layout(checkout, slot)
            if slot not in slots.values() and _is_free(layout):
                _write_slots(slots | {str(checkout): slot})
                return layout
    raise SystemExit(f"no free cluster slot: {_registry()} names {SLOTS} checkouts; run `down` in one of them")


def release(layout: Layout) -> None:
    """Give the slot back."""
    with locked(state_home() / "slots.lock"):
        slots = _read_slots()
        slots.pop(str(layout.checkout), None)
        _write_slots(slots)
