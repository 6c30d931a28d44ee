"""Where a query comes from: its client subnet, or the resolver's address, matched to a place on earth.

It decides coordinates, country and the round trip to each region; what a policy makes of them is `policy`'s business.
https://docs.aws.amazon.com/Route53/latest/DeveloperGuide/routing-policy-edns0.html
"""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass

from lab.core.geography import Coordinates, Geography, great_circle_km
from lab.core.topology import Place, Topology

Network = ipaddress.IPv4Network | ipaddress.IPv6Network


@dataclass(frozen=True)
class Origin:
    """One place that queries come from. `scope_bits` is the prefix length for which an answer for it holds.

    `network` is what is known of the client's address: its subnet, or the resolver's address as a /32 or /128.
    """

    place: Place
    network: Network
    scope_bits: int
    matched: bool

    def __str__(self) -> str:
        return f"{self.network} ({self.place.name}{'' if self.matched else ', by default'})"


class Origins:
    """Finds the place of an address, and how far regions are from it."""

    def __init__(self, topology: Topology, geography: Geography) -> None:
        overrides = {(trip.source, trip.target): trip.round_trip_ms for trip in topology.round_trips}
        self._geography = Geography(geography.regions, {**geography.round_trips, **overrides})
        self._overrides = overrides
        self._latencies: dict[tuple[str, str], float] = {}
        self._by_bits: dict[tuple[int, int], dict[int, Place]] = {}
        for place in topology.places:
            network = ipaddress.ip_network(place.subnet)
            shift = network.max_prefixlen - network.prefixlen
            table = self._by_bits.setdefault((network.version, network.prefixlen), {})
            table[int(network.network_address) >> shift] = place
        self._bits = {
            version: sorted((bits for v, bits in self._by_bits if v == version), reverse=True) for version in (4, 6)
        }
        self.default_place = _default_place(topology, geography)

    def locate(self, network: Network) -> Origin:
        """The origin of a subnet (or of one address, as a /32 or /128): the longest place's subnet that holds it."""
        address, length, width = int(network.network_address), network.prefixlen, network.max_prefixlen
        widest = 0
        for bits in self._bits[network.version]:
            table = self._by_bits[network.version, bits]
            if bits <= length:
                place = table.get(address >> (width - bits))
                if place is not None:
                    return Origin(place, network, bits, True)
            elif any(known >> (bits - length) == address >> (width - length) for known in table):
                widest = max(widest, bits)
        # A subnet wider than a place's own cannot be told apart: the scope asks for that many bits (RFC 7871, 7.2.1).
        return Origin(self.default_place, network, widest or min(length, 24 if network.version == 4 else 48), False)

    def latency_ms(self, place: Place, region: str) -> float | None:
        """The round trip from a place to a region in milliseconds; None for a region that nobody measured."""
        key = (place.name, region)
        known = self._latencies.get(key)
        if known is not None:
            return known
        value = self._overrides.get(key)
        if value is None:
            if region not in self._geography.regions:
                return None
            value = self._geography.from_point_ms(place.coordinates, region)
        self._latencies[key] = value
        return value

    def region_coordinates(self, region: str) -> Coordinates | None:
        """Where a region is, if it is known."""
        return self._geography.regions.get(region)


def _default_place(topology: Topology, geography: Geography) -> Place:
    """The place nearest to the first region: where queries come from that carry no place's subnet."""
    region = topology.regions[0].code
    here = geography.regions[region]
    if not topology.places:
        return Place(region, here, "US", "NA", None, "127.0.0.0/8")
    return min(topology.places, key=lambda place: (great_circle_km(place.coordinates, here), place.name))
