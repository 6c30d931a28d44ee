"""Route 53's hosted zones and record sets, as the control part publishes them and the resolver reads them.

Names are lower case and end with a dot. https://docs.aws.amazon.com/Route53/latest/APIReference/API_ResourceRecordSet.html
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class GeoLocation:
    """Exactly one of a continent, or a country ("*" is the default record) with perhaps a US state."""

    continent_code: str | None = None
    country_code: str | None = None
    subdivision_code: str | None = None


@dataclass(frozen=True)
class GeoProximityLocation:
    """Where a geoproximity record is: a region, a local zone group, or coordinates in degrees; bias -99 to 99."""

    aws_region: str | None = None
    local_zone_group: str | None = None
    latitude: float | None = None
    longitude: float | None = None
    bias: int = 0


@dataclass(frozen=True)
class CidrRouting:
    """The CIDR location of an IP-based record; "*" is the default location."""

    collection_id: str
    location_name: str


@dataclass(frozen=True)
class AliasTarget:
    """Where an alias record points."""

    hosted_zone_id: str
    dns_name: str
    evaluate_target_health: bool


@dataclass(frozen=True)
class RecordSet:
    """One resource record set. `ttl` is in seconds and None for an alias; `values` are in zone-file form."""

    name: str
    type: str
    ttl: int | None = None
    values: tuple[str, ...] = ()
    alias: AliasTarget | None = None
    set_identifier: str | None = None
    weight: int | None = None
    region: str | None = None
    failover: Literal["PRIMARY", "SECONDARY"] | None = None
    geo_location: GeoLocation | None = None
    geoproximity: GeoProximityLocation | None = None
    cidr: CidrRouting | None = None
    multivalue: bool = False
    health_check_id: str | None = None
    traffic_policy_instance_id: str | None = None


@dataclass(frozen=True)
class HostedZone:
    """One public hosted zone."""

    zone_id: str
    name: str
    record_sets: tuple[RecordSet, ...]
    comment: str = ""
    caller_reference: str = ""


@dataclass(frozen=True)
class CidrLocation:
    """A named list of blocks of a CIDR collection."""

    name: str
    blocks: tuple[str, ...]


@dataclass(frozen=True)
class CidrCollection:
    """A CIDR collection, for IP-based routing."""

    collection_id: str
    name: str
    locations: tuple[CidrLocation, ...] = ()
    version: int = 1


@dataclass(frozen=True)
class Zones:
    """The document `zones`: everything that the resolver answers from, health aside."""

    zones: tuple[HostedZone, ...] = ()
    cidr_collections: tuple[CidrCollection, ...] = ()
