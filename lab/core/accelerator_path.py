"""How far a client is from a region: over the internet, and through an accelerator's edge location.

The order of endpoint groups, and the delays that the accelerator adds when the lab is told to, come from here. The
edge location of a client is taken to be in the AWS region's city nearest to it; AWS has more of them. The internet is
no slower than AWS's network in the lab unless `round_trips` of the topology say so.
"""

from __future__ import annotations

from dataclasses import dataclass

from lab.core.geography import ACCESS_DELAY_MS, Geography, geometric_round_trip_ms
from lab.core.topology import Place, Topology


@dataclass(frozen=True)
class AcceleratedPath:
    """Round trips in milliseconds: from the client to its edge location, and from there to a region."""

    edge: str
    to_edge_ms: float
    to_region_ms: float

    @property
    def one_way_ms(self) -> float:
        """How long bytes of an open connection take from client to endpoint, and back."""
        return (self.to_edge_ms + self.to_region_ms) / 2

    @property
    def first_bytes_ms(self) -> float:
        """From the client's first packet until its first bytes are at the endpoint.

        The client's handshake ends at the edge, which connects to the endpoint as soon as it hears of the client; the
        bytes wait at the edge for both.
        """
        at_edge_ms = max(1.5 * self.to_edge_ms, 0.5 * self.to_edge_ms + self.to_region_ms)
        return at_edge_ms + self.to_region_ms / 2

    @property
    def first_answer_ms(self) -> float:
        """What distance adds until a request on a new connection is answered; directly it is two round trips."""
        return self.first_bytes_ms + self.one_way_ms


def round_trip_ms(topology: Topology, geography: Geography, place: Place, region: str) -> float:
    """The round trip from a place to a region over the internet, what the lab's user set first."""
    override = _set_by_hand(topology, place.name, region)
    return geography.from_point_ms(place.coordinates, region) if override is None else override


def accelerated_path(topology: Topology, geography: Geography, place: Place, region: str) -> AcceleratedPath:
    """The way through the accelerator."""
    edge = geography.nearest_region(place.coordinates)
    to_edge_ms = ACCESS_DELAY_MS + geometric_round_trip_ms(place.coordinates, geography.regions[edge])
    override = _set_by_hand(topology, edge, region)
    to_region_ms = geography.between_regions_ms(edge, region) if override is None else override
    return AcceleratedPath(edge, to_edge_ms, to_region_ms)


def _set_by_hand(topology: Topology, source: str, target: str) -> float | None:
    for override in topology.round_trips:
        if override.source == source and override.target == target:
            return override.round_trip_ms
    return None
