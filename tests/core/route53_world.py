"""A tiny language for Route 53 tests: records in, exact answers with probabilities out."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable
from random import Random
from typing import Any

from lab.core.endpoint_name import EndpointName, EndpointNames
from lab.core.route53.answer import Decision
from lab.core.route53.catalog import Catalog
from lab.core.route53.name import to_wire
from lab.core.route53.origin import Origins
from lab.core.route53.resolver import Resolver
from lab.core.topology import RoundTrip, Topology, regional_addresses
from lab.core.zone import AliasTarget, CidrCollection, HostedZone, RecordSet, Zones
from lab.data import geography, places

TOPOLOGY = Topology("127.43", regional_addresses("127.43", ("us-east-1", "us-west-2")), places(), "/none", "/none")


def record(name: str, value: str | Iterable[str] | None = None, type: str = "A", **fields: Any) -> RecordSet:
    """A record of the zone lab.test; `value` defaults to none (give `alias`)."""
    values = () if value is None else (value,) if isinstance(value, str) else tuple(value)
    full = f"{name}.lab.test." if name else "lab.test."
    ttl = None if "alias" in fields else fields.pop("ttl", 60)
    return RecordSet(full, type, ttl, values, **fields)


def to(name: str, zone_id: str = "Z1", health: bool = True) -> AliasTarget:
    """An alias to another name of the zone, evaluating its health unless told otherwise."""
    return AliasTarget(zone_id, name if name.endswith(".") else f"{name}.lab.test.", health)


class World:
    """A zone lab.test (and perhaps more) with some health checks down."""

    def __init__(
        self,
        *records: RecordSet,
        down: Iterable[str] = (),
        zones: Iterable[HostedZone] = (),
        collections: Iterable[CidrCollection] = (),
        endpoints: Iterable[EndpointName] = (),
        round_trips: tuple[RoundTrip, ...] = (),
    ) -> None:
        topology = Topology(**{**vars(TOPOLOGY), "round_trips": round_trips})
        self.down = set(down)
        zone = HostedZone("Z1", "lab.test.", records)
        catalog = Catalog(Zones((zone, *zones), tuple(collections)), EndpointNames(tuple(endpoints)))
        self.origins = Origins(topology, geography())
        self.checks: set[str] | None = None
        self.resolver = Resolver(
            catalog,
            self.origins,
            lambda check: check not in self.down,
            Random(1),
            exists=lambda check: self.checks is None or check in self.checks,
        )

    def decide(self, name: str, type: str = "A", client: str = "dublin", *, explain: bool = False) -> Decision:
        """The decision for a client in a place, or at ADDRESS/BITS."""
        subnet = client if client[0].isdigit() or ":" in client else TOPOLOGY.place(client).subnet
        full = name if name.endswith(".") else f"{name}.lab.test" if name else "lab.test"
        origin = self.origins.locate(ipaddress.ip_network(subnet))
        decide = self.resolver.explain if explain else self.resolver.decide
        return decide(to_wire(full), type, origin)

    def answers(self, name: str, type: str = "A", client: str = "dublin") -> dict[str, float]:
        """The last values that can be answered, each with its probability (several values joined by a space)."""
        found: dict[str, float] = {}
        for outcome in self.decide(name, type, client).outcomes:
            key = " ".join(outcome.answer[-1].values) if outcome.answer else outcome.rcode
            found[key] = round(found.get(key, 0.0) + outcome.probability, 6)
        return found
