"""Which records of a group come first under each routing policy, before health is looked at.

A policy makes tiers: lists of alternatives with weights, best tier first. The resolver takes the first tier that has a
healthy alternative; when none has, it treats all as healthy.
https://docs.aws.amazon.com/Route53/latest/DeveloperGuide/routing-policy.html
"""

from __future__ import annotations

import functools
import ipaddress
import math
from dataclasses import dataclass

from lab.core.geography import Coordinates, great_circle_km
from lab.core.route53.origin import Network, Origin, Origins
from lab.core.zone import CidrCollection, GeoLocation, GeoProximityLocation, RecordSet


@dataclass(frozen=True)
class Alternative:
    """One record of a tier. `note` says for a reader what ranks it ("130 ms from dublin")."""

    record: RecordSet
    weight: float
    note: str


Tier = tuple[Alternative, ...]


@dataclass(frozen=True)
class Tiers:
    """What a policy makes of a group.

    `scope_bits` is 0 if the origin did not matter, else for how long a prefix of the client's address the order holds.
    `merge` says that all healthy alternatives of the tier answer together (multivalue).
    """

    policy: str
    tiers: tuple[Tier, ...]
    scope_bits: int = 0
    merge: bool = False


def policy_name(record: RecordSet) -> str:
    """The routing policy that a record's fields stand for, in AWS's words."""
    if record.weight is not None:
        return "weighted"
    if record.region is not None:
        return "latency"
    if record.failover is not None:
        return "failover"
    if record.geo_location is not None:
        return "geolocation"
    if record.geoproximity is not None:
        return "geoproximity"
    if record.cidr is not None:
        return "IP-based"
    return "multivalue" if record.multivalue else "simple"


def tiers(
    group: tuple[RecordSet, ...], origin: Origin, origins: Origins, collections: dict[str, CidrCollection]
) -> Tiers:
    """The tiers of a group of records with one name, type and policy, for a query from `origin`."""
    policy = policy_name(group[0])
    match policy:
        case "weighted":
            return Tiers(policy, _weighted(group))
        case "latency":
            return Tiers(policy, _latency(group, origin, origins), origin.scope_bits)
        case "failover":
            return Tiers(policy, _failover(group))
        case "geolocation":
            return Tiers(policy, _geolocation(group, origin), origin.scope_bits)
        case "geoproximity":
            return Tiers(policy, _geoproximity(group, origin, origins), origin.scope_bits)
        case "IP-based":
            return _ip_based(group, origin, collections)
        case "multivalue":
            tier = tuple(Alternative(record, 1.0, "multivalue") for record in group)
            return Tiers(policy, (tier,), merge=True)
    return Tiers(policy, ((Alternative(group[0], 1.0, "simple"),),))


def _weighted(group: tuple[RecordSet, ...]) -> tuple[Tier, ...]:
    total = sum(record.weight or 0 for record in group)
    if total == 0:
        return (tuple(Alternative(record, 1.0, f"weight 0 like all {len(group)}") for record in group),)
    first = tuple(Alternative(r, float(r.weight), f"weight {r.weight} of {total}") for r in group if r.weight)
    zeros = tuple(Alternative(r, 1.0, "weight 0") for r in group if not r.weight)
    return (first, zeros) if zeros else (first,)


def _latency(group: tuple[RecordSet, ...], origin: Origin, origins: Origins) -> tuple[Tier, ...]:
    ranked = []
    for record in group:
        region = record.region or ""
        latency = origins.latency_ms(origin.place, region)
        if region == "cn-north-1" and origin.place.country == "CN":
            latency = 0.0  # AWS answers queries from China with the Beijing record, whatever the latency.
        where = "" if record.set_identifier == region else f"{region}, "
        note = f"{where}never measured" if latency is None else f"{where}{latency:.1f} ms from {origin.place.name}"
        # AWS documents no order for equal latencies; the region's code is ours.
        ranked.append((math.inf if latency is None else latency, region, Alternative(record, 1.0, note)))
    ranked.sort(key=lambda entry: entry[:2])
    return tuple((alternative,) for _, _, alternative in ranked)


def _failover(group: tuple[RecordSet, ...]) -> tuple[Tier, ...]:
    ranked = sorted(group, key=lambda record: record.failover or "")
    return tuple((Alternative(record, 1.0, (record.failover or "").lower()),) for record in ranked)


def _geolocation(group: tuple[RecordSet, ...], origin: Origin) -> tuple[Tier, ...]:
    ranked = []
    for record in group:
        assert record.geo_location is not None
        rank = _geo_rank(record.geo_location, origin)
        if rank is not None:
            ranked.append((rank[0], Alternative(record, 1.0, rank[1])))
    ranked.sort(key=lambda entry: entry[0])
    return tuple((alternative,) for _, alternative in ranked)


def _geo_rank(location: GeoLocation, origin: Origin) -> tuple[int, str] | None:
    """How narrow a location that holds the origin is (0 is a state), and its words; None if it does not hold it."""
    place = origin.place
    if location.subdivision_code is not None:
        here = location.country_code == place.country and location.subdivision_code == place.subdivision
        return (0, f"subdivision {location.country_code}-{location.subdivision_code}") if here else None
    if location.country_code == "*":
        return 3, "default location"
    if location.country_code is not None:
        return (1, f"country {location.country_code}") if location.country_code == place.country else None
    return (2, f"continent {location.continent_code}") if location.continent_code == place.continent else None


def biased_distance_km(distance_km: float, bias: int) -> float:
    """A distance after a geoproximity bias of -99 to 99.

    https://docs.aws.amazon.com/Route53/latest/DeveloperGuide/routing-policy-geoproximity.html
    """
    if bias >= 0:
        return distance_km * (1 - bias / 100)
    return distance_km / (1 + bias / 100)


def _geoproximity(group: tuple[RecordSet, ...], origin: Origin, origins: Origins) -> tuple[Tier, ...]:
    ranked = []
    for number, record in enumerate(group):
        location = record.geoproximity
        assert location is not None
        point = _point_of(location, origins)
        if point is None:
            distance, note = (
                math.inf,
                f"{location.local_zone_group or location.aws_region}, whose coordinates are unknown",
            )
        else:
            plain = great_circle_km(origin.place.coordinates, point)
            distance = biased_distance_km(plain, location.bias)
            note = f"{plain:.0f} km from {origin.place.name}"
            if location.bias:
                note += f", {distance:.0f} km with bias {location.bias}"
        ranked.append((distance, number, Alternative(record, 1.0, note)))
    ranked.sort(key=lambda entry: entry[:2])
    return tuple((alternative,) for _, _, alternative in ranked)


def _point_of(location: GeoProximityLocation, origins: Origins) -> Coordinates | None:
    if location.aws_region is not None:
        return origins.region_coordinates(location.aws_region)
    if location.local_zone_group is not None:
        # A group's code begins with its parent region's (us-east-1-bos-1); the region's place stands for the city's.
        region = "-".join(location.local_zone_group.split("-")[:3])
        return origins.region_coordinates(region)
    if location.latitude is None or location.longitude is None:
        return None
    return Coordinates(location.latitude, location.longitude)


@functools.lru_cache(maxsize=8192)
def _network(block: str) -> Network:
    return ipaddress.ip_network(block, strict=False)


def _holds(block: Network, network: Network) -> bool:
    """A query's prefix that is as long as the block's or longer matches it; a shorter one does not."""
    if block.version != network.version or network.prefixlen < block.prefixlen:
        return False
    shift = block.max_prefixlen - block.prefixlen
    return int(network.network_address) >> shift == int(block.network_address) >> shift


def _ip_based(group: tuple[RecordSet, ...], origin: Origin, collections: dict[str, CidrCollection]) -> Tiers:
    ranked = []
    scope = 0
    for number, record in enumerate(group):
        assert record.cidr is not None
        if record.cidr.location_name == "*":
            ranked.append((math.inf, number, Alternative(record, 1.0, "default location *")))
            continue
        collection = collections.get(record.cidr.collection_id)
        locations = [loc for loc in collection.locations if loc.name == record.cidr.location_name] if collection else []
        blocks = [_network(block) for location in locations for block in location.blocks]
        same = [block for block in blocks if block.version == origin.network.version]
        scope = max([scope, *(block.prefixlen for block in same)])
        matching = [block for block in same if _holds(block, origin.network)]
        if matching:
            longest = max(matching, key=lambda block: block.prefixlen)
            note = f"location {record.cidr.location_name}, {longest}"
            ranked.append((-longest.prefixlen, number, Alternative(record, 1.0, note)))
    ranked.sort(key=lambda entry: entry[:2])
    return Tiers("IP-based", tuple((alternative,) for _, _, alternative in ranked), scope)
