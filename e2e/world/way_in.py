"""A way from the outside into a platform: what one platform sends to another one takes it, as any mail does."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from itertools import count
from threading import Thread

from e2e.clients import SECONDS
from e2e.world.scene import PEERS, World

SMTP = 25
ADDRESSES = 10
"""Of the last ones of a world, which no peer has; ways that are open together have different ones."""
_turns = count()


@contextmanager
def way_in(world: World, domain: str, target: str) -> Iterator[None]:
    """Publish an MX outside the cluster for a domain, and lead whoever calls it to the target's port 25."""
    address = world.address_at(PEERS - 1 - next(_turns) % ADDRESSES)
    world.outside.add_address(address)
    with world.outside.entered():
        listener = socket.create_server((address, SMTP))
    Thread(target=_serve, args=(listener, target), daemon=True).start()
    world.zones.publish(domain, {"@": ["MX 10 mx"], "mx": [f"A {address}"]})
    try:
        yield
    finally:
        world.zones.withdraw(domain)
        with suppress(OSError):
            listener.shutdown(socket.SHUT_RDWR)
        listener.close()


def _serve(listener: socket.socket, target: str) -> None:
    with suppress(OSError):
        while True:
            caller, _ = listener.accept()
            Thread(target=_lead, args=(caller, target), daemon=True).start()


def _lead(caller: socket.socket, target: str) -> None:
    with (
        caller,
        suppress(OSError),
        socket.create_connection((target, SMTP), timeout=SECONDS) as called,
        ThreadPoolExecutor(2) as pumps,
    ):
        pumps.submit(_pump, caller, called)
        pumps.submit(_pump, called, caller)


def _pump(source: socket.socket, sink: socket.socket) -> None:
    """Pass on what comes until it ends, and say that it has ended."""
    with suppress(OSError):
        while content := source.recv(65536):
            sink.sendall(content)
    with suppress(OSError):
        sink.shutdown(socket.SHUT_WR)
