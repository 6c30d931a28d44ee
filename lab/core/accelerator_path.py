"""How far a client is from a region: by the internet, and through an accelerator's edge location.

The order of endpoint groups, and the delays that the accelerator adds when the lab is told to, come from here. The
edge location of a client is taken to be in the AWS region's city nearest to it; AWS has more of them.
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
    def first_answer_ms(self) -> float:
        """What distance adds until a request on a new connection is answered: the handshake ends at the edge."""
        return 2 * self.to_edge_ms + self.to_region_ms

    @property
    def next_answer_ms(self) -> float:
        """What distance adds to one more request on the same connection."""
        return self.to_edge_ms + self.to_region_ms


def round_trip_ms(topology: Topology, geography: Geography, place: Place, region: str) -> float:
    """The round trip from a place to a region over the internet, a setting of the lab's user first."""
    for override in topology.round_trips:
        if override.source == place.name and override.target == region:
            return override.round_trip_ms
    return geography.from_point_ms(place.coordinates, region)


def accelerated_path(topology: Topology, geography: Geography, place: Place, region: str) -> AcceleratedPath:
    """The same way through the accelerator."""
    edge = geography.nearest_region(place.coordinates)
    to_edge_ms = ACCESS_DELAY_MS + geometric_round_trip_ms(place.coordinates, geography.regions[edge])
    whole_ms = round_trip_ms(topology, geography, place, region)
    return AcceleratedPath(edge, min(to_edge_ms, whole_ms), max(0.0, whole_ms - to_edge_ms))


def regions_by_distance(topology: Topology, geography: Geography, place: Place) -> tuple[str, ...]:
    """The lab's regions, the closest to a place first; equals in the lab's own order."""
    return tuple(sorted(topology.region_codes, key=lambda code: round_trip_ms(topology, geography, place, code)))
