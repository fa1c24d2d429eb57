"""The outside world of the end-to-end cases: clients, other mail servers and DNS zones, all on this machine.

`with World() as world:` attaches it to the running cluster of the checkout.
"""

from e2e.world.peer import Peer, Received
from e2e.world.place import Place
from e2e.world.scene import World
from e2e.world.zones import Zones

__all__ = ["Peer", "Place", "Received", "World", "Zones"]
