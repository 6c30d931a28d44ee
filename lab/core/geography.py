"""Distances and round trips on the earth: great circles, the measured matrix between regions, places in between.

It knows nothing of the lab's addresses; the numbers come from `lab.data`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

EARTH_RADIUS_KM = 6371.0
ACCESS_DELAY_MS = 4.0
"""What the last mile adds to a round trip from a place, in milliseconds."""


@dataclass(frozen=True)
class Coordinates:
    """Degrees; north and east are positive."""

    latitude: float
    longitude: float


def great_circle_km(a: Coordinates, b: Coordinates) -> float:
    """The distance in kilometres along the surface (haversine)."""
    phi_a, phi_b = math.radians(a.latitude), math.radians(b.latitude)
    half_phi, half_lambda = (phi_b - phi_a) / 2, math.radians(b.longitude - a.longitude) / 2
    h = math.sin(half_phi) ** 2 + math.cos(phi_a) * math.cos(phi_b) * math.sin(half_lambda) ** 2
    return 2 * EARTH_RADIUS_KM * math.asin(min(1.0, math.sqrt(h)))


def geometric_round_trip_ms(a: Coordinates, b: Coordinates) -> float:
    """A round trip through fibre that is 1.7 times as long as the great circle, at 200 km/ms."""
    return 1.7 * 2 * great_circle_km(a, b) / 200.0


@dataclass(frozen=True)
class Geography:
    """Where AWS's regions are, and the measured median round trips between them, in milliseconds.

    `round_trips` is keyed by (source, target) region codes. It comes from CloudPing's measurements, which are one
    DNS look-up and one round trip; the same-region value (2 to 5 ms) is the measurement's own share.
    """

    regions: dict[str, Coordinates]
    round_trips: dict[tuple[str, str], float]

    def between_regions_ms(self, source: str, target: str) -> float:
        """The round trip between two regions; 0 from a region to itself."""
        if source == target:
            return 0.0
        measured = self.round_trips.get((source, target))
        if measured is not None:
            return measured
        return geometric_round_trip_ms(self.regions[source], self.regions[target])

    def nearest_region(self, point: Coordinates) -> str:
        """The AWS region (of all, not only the lab's) nearest to a point on earth."""
        return min(sorted(self.regions), key=lambda code: great_circle_km(point, self.regions[code]))

    def from_point_ms(self, point: Coordinates, target: str) -> float:
        """The round trip from a point to a region: last mile, way to the nearest region, then the matrix."""
        nearest = self.nearest_region(point)
        way = geometric_round_trip_ms(point, self.regions[nearest])
        return ACCESS_DELAY_MS + way + self.between_regions_ms(nearest, target)
