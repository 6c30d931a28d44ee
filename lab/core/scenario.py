"""What a drill is asked to do: its region, its places, its load, its faults and its limits, in lab time.

Plain data with validation; the order of things is in `lab.core.drill_outage` and `lab.core.drill_split_brain`, the
work in `lab.drills`.
"""

from __future__ import annotations

from dataclasses import dataclass

from lab.core.geography import Geography
from lab.core.topology import Topology
from lab.errors import UserError

CLIENT_TIMEOUT_MS = 5000
CLIENT_TIMEOUT_FLOOR_MS, CONTAINERS_TIMEOUT_FLOOR_MS = 3500, 6000
"""In containers more is between a client and a handler, and LocalStack starts anew with seconds of work."""
PREFERRED_PLACES = ("dublin", "newyork", "tokyo")


@dataclass(frozen=True)
class Load:
    """Steady load of one place, in requests per real second; offered whatever the answers are (an open loop)."""

    writes_per_second: float = 8.0
    reads_per_second: float = 8.0


def load_for(topology: Topology) -> Load:
    """The load that two processors bear: LocalStack takes about 80 ms of one for each call of a function."""
    return Load(1.0, 1.0) if topology.engine == "localstack" else Load()


def client_timeout_ms(topology: Topology) -> int:
    """How long a client of a drill waits for an answer, in real milliseconds."""
    floor_ms = CONTAINERS_TIMEOUT_FLOOR_MS if topology.parts else CLIENT_TIMEOUT_FLOOR_MS
    return max(floor_ms, round(CLIENT_TIMEOUT_MS / topology.speed))


@dataclass(frozen=True)
class OutageScenario:
    """A region fails for a while under load.

    `steady_ms` of load come before the fault; the outage is kept up until every place has been served for `hold_ms`
    or `outage_limit_ms` is over; after the heal the drill waits up to `return_limit_ms` for traffic to come back.
    `lag_ms` is how long replication out of the region stands still before a fault that loses data, so that there is
    something to lose. All of these are real milliseconds: the lab's speed is in them already.
    """

    region: str
    places: tuple[str, ...]
    hang: bool = False
    lose_data: bool = False
    load: Load = Load()
    steady_ms: int = 1500
    lag_ms: int = 0
    hold_ms: int = 1000
    outage_limit_ms: int = 60_000
    return_limit_ms: int = 60_000


@dataclass(frozen=True)
class SplitBrainScenario:
    """Replication between two living regions is cut while both write `keys` keys, `rounds` times each."""

    region_a: str
    region_b: str
    keys: int = 12
    rounds: int = 2


def two_regions(topology: Topology, first: str | None, second: str | None = None) -> tuple[str, str]:
    """The region of a drill and another one. Raises UserError for an unknown region or a lab of one."""
    if len(topology.regions) < 2:
        raise UserError(
            f"a drill needs two regions, and this lab has only {topology.regions[0].code}: "
            "start it with `lab up --regions us-east-1,us-west-2`"
        )
    for code in (first, second):
        if code is not None and code not in topology.region_codes:
            raise UserError(f"unknown region {code!r}: this lab has {', '.join(topology.region_codes)}")
    chosen = first or next(code for code in topology.region_codes if code != second)
    other = second or next(code for code in topology.region_codes if code != chosen)
    if chosen == other:
        raise UserError(f"a drill needs two different regions, got {chosen} twice")
    return chosen, other


def served_by(topology: Topology, geography: Geography, place: str) -> str:
    """The lab's region with the smallest round trip from a place: where latency records send it."""
    by_hand = {(trip.source, trip.target): trip.round_trip_ms for trip in topology.round_trips}
    point = topology.place(place).coordinates

    def round_trip_ms(code: str) -> float:
        return by_hand.get((place, code), geography.from_point_ms(point, code))

    return min(topology.region_codes, key=round_trip_ms)


def choose_places(topology: Topology, geography: Geography, region: str, count: int = 3) -> tuple[str, ...]:
    """Places for a drill on `region`: one that it serves, one that it does not, and well-known ones first.

    The result has at least one place served by `region` if any place of the lab is.
    """
    known = [place.name for place in topology.places]
    ordered = [name for name in PREFERRED_PLACES if name in known]
    ordered += [name for name in known if name not in ordered]
    served = {name: served_by(topology, geography, name) for name in ordered}
    chosen = [name for name in ordered if served[name] == region][: count - 1]
    chosen += [name for name in ordered if served[name] != region][: count - len(chosen)]
    chosen += [name for name in ordered if name not in chosen][: count - len(chosen)]
    return tuple(sorted(chosen, key=ordered.index))


def known_places(topology: Topology, names: tuple[str, ...]) -> tuple[str, ...]:
    """The names, if the lab has them all. Raises UserError."""
    known = [place.name for place in topology.places]
    for name in names:
        if name not in known:
            raise UserError(f"unknown place {name!r}: this lab has {', '.join(known)}")
    return names
