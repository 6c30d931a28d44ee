"""How long a client's bytes are on their way over the internet to a load balancer, where the lab is told to have it.

The PROXY preface says where the client is. A connection that comes through an accelerator, whose address its preface
names as the one that was called, has travelled already.
"""

from __future__ import annotations

from lab.core.accelerator_path import round_trip_ms
from lab.core.client_place import ClientPlaces
from lab.core.geography import Geography
from lab.core.proxy_protocol import Preface
from lab.core.topology import Topology
from lab.live.clock import Clock


class Travel:
    """The ways from all places to one region."""

    def __init__(self, topology: Topology, region: str, geography: Geography, clock: Clock) -> None:
        self._topology, self._region, self._geography, self._clock = topology, region, geography, clock
        self._places = ClientPlaces(topology, geography)

    def one_way_s(self, preface: Preface) -> float:
        """Real seconds from the client to here, and from here to the client."""
        if preface.source is None:
            return 0.0
        if preface.target is not None and self._topology.traffic_at(preface.target[0]) == "accelerator":
            return 0.0
        place = self._places.place_of(preface.source[0])
        return self._clock.wait_s(round_trip_ms(self._topology, self._geography, place, self._region) / 2)
