"""The place that a client's address is in, for accelerators and load balancers, which hear of clients by address."""

from __future__ import annotations

import ipaddress

from lab.core.geography import Geography
from lab.core.route53.origin import Origins
from lab.core.topology import Place, Topology

PLACES_KEPT = 10_000


class ClientPlaces:
    """Finds places, and remembers them: a client comes again."""

    def __init__(self, topology: Topology, geography: Geography) -> None:
        self._origins = Origins(topology, geography)
        self._places: dict[str, Place] = {}

    def place_of(self, address: str) -> Place:
        """The place of an IPv4 address; addresses of no place are taken to be the place nearest to region 1."""
        place = self._places.get(address)
        if place is None:
            place = self._origins.locate(ipaddress.ip_network(address)).place
            if len(self._places) >= PLACES_KEPT:
                self._places.clear()
            self._places[address] = place
        return place
