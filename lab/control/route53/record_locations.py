"""Whether what a record set is chosen by (a place, coordinates, a CIDR location) exists.

https://docs.aws.amazon.com/Route53/latest/APIReference/API_GeoLocation.html and API_GeoProximityLocation.html
"""

from __future__ import annotations

import functools
from collections.abc import Sequence

from lab.control.route53 import names
from lab.control.route53.geo_locations import find_location
from lab.control.service_model import service_model
from lab.core.zone import CidrCollection, GeoLocation, GeoProximityLocation, RecordSet


def location_problem(record: RecordSet, collections: Sequence[CidrCollection]) -> str | None:
    """What is wrong with where a record set is for; None if nothing is."""
    name = names.shown(record.name)
    regions = (record.region, record.geoproximity and record.geoproximity.aws_region)
    unknown = next((region for region in regions if region is not None and region not in _regions()), None)
    if unknown is not None:
        return f"Invalid request: Route 53 knows no region {unknown} (Name={name})"
    if record.geo_location is not None:
        return _geo_problem(record.geo_location, name)
    if record.geoproximity is not None:
        return _proximity_problem(record.geoproximity, name)
    if record.cidr is None:
        return None
    collection = next((c for c in collections if c.collection_id == record.cidr.collection_id), None)
    if collection is None:
        return f"Invalid request: there is no CIDR collection {record.cidr.collection_id} (Name={name})"
    known = {"*", *(location.name for location in collection.locations)}
    if record.cidr.location_name not in known:
        return f"Invalid request: the collection has no location {record.cidr.location_name} (Name={name})"
    return None


@functools.cache
def _regions() -> frozenset[str]:
    return frozenset(service_model("route53").moto.shape_for("ResourceRecordSetRegion").metadata["enum"])


def _geo_problem(place: GeoLocation, name: str) -> str | None:
    if (place.continent_code is None) == (place.country_code is None):
        return f"Invalid request: expected exactly one of ContinentCode and CountryCode in GeoLocation (Name={name})"
    if place.subdivision_code is not None and place.country_code is None:
        return f"Invalid request: a SubdivisionCode needs a CountryCode in GeoLocation (Name={name})"
    if find_location(place) is None:
        codes = (place.continent_code, place.country_code, place.subdivision_code)
        return f"Invalid request: Route 53 knows no geolocation {'-'.join(filter(None, codes))} (Name={name})"
    return None


def _proximity_problem(place: GeoProximityLocation, name: str) -> str | None:
    given = (place.aws_region, place.local_zone_group, place.latitude)
    if sum(value is not None for value in given) != 1:
        return (
            "Invalid request: expected exactly one of AWSRegion, LocalZoneGroup and Coordinates in "
            f"GeoProximityLocation (Name={name})"
        )
    return None
