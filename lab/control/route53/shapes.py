"""Record sets and zones between Route 53's API shapes and the lab's records.

https://docs.aws.amazon.com/Route53/latest/APIReference/API_ResourceRecordSet.html
"""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Any

from lab.control.aws_error import AwsError
from lab.control.route53 import names
from lab.control.route53.records import Change
from lab.core.zone import AliasTarget, CidrRouting, GeoLocation, GeoProximityLocation, HostedZone, RecordSet


def record_set_of(given: dict[str, Any]) -> RecordSet:
    """A record set from the API's shape. Raises AwsError (InvalidInput) for what no record set can be."""
    alias, geo, proximity, cidr = (
        given.get(name) for name in ("AliasTarget", "GeoLocation", "GeoProximityLocation", "CidrRoutingConfig")
    )
    return RecordSet(
        name=names.kept(given["Name"]),
        type=given["Type"],
        ttl=given.get("TTL"),
        values=tuple(record["Value"] for record in given.get("ResourceRecords", ())),
        alias=alias
        and AliasTarget(zone_id(alias["HostedZoneId"]), names.kept(alias["DNSName"]), alias["EvaluateTargetHealth"]),
        set_identifier=given.get("SetIdentifier"),
        weight=given.get("Weight"),
        region=given.get("Region"),
        failover=given.get("Failover"),
        geo_location=None if geo is None else _geo_location(geo),
        geoproximity=None if proximity is None else _proximity(proximity),
        cidr=cidr and CidrRouting(cidr["CollectionId"], cidr["LocationName"]),
        multivalue=given.get("MultiValueAnswer", False),
        health_check_id=given.get("HealthCheckId") or None,
        traffic_policy_instance_id=given.get("TrafficPolicyInstanceId"),
    )


def _geo_location(given: dict[str, Any]) -> GeoLocation:
    continent, country, subdivision = (given.get(f"{name}Code") for name in ("Continent", "Country", "Subdivision"))
    if continent is not None and (country is not None or subdivision is not None):
        message = "Invalid GeoLocation: expected exactly one of ContinentCode and CountryCode; only a country has a"
        raise AwsError("InvalidInput", f"{message} SubdivisionCode")
    return GeoLocation(continent, country, subdivision)


def _proximity(given: dict[str, Any]) -> GeoProximityLocation:
    coordinates = given.get("Coordinates")
    latitude = longitude = None
    if coordinates is not None:
        latitude = _degrees("Latitude", coordinates["Latitude"], 2, 90)
        longitude = _degrees("Longitude", coordinates["Longitude"], 3, 180)
    return GeoProximityLocation(
        given.get("AWSRegion"), given.get("LocalZoneGroup"), latitude, longitude, given.get("Bias", 0)
    )


def _degrees(member: str, text: str, digits: int, most: int) -> float:
    if not re.fullmatch(rf"[-+]?[0-9]{{1,{digits}}}(\.[0-9]{{0,2}})?", text) or abs(float(text)) > most:
        raise AwsError("InvalidInput", f"Invalid {member} {text!r}: -{most} to {most} with at most two decimals")
    return float(text)


def record_set(record: RecordSet) -> dict[str, Any]:
    """A record set in the API's shape."""
    value: dict[str, Any] = {
        "Name": names.shown(record.name),
        "Type": record.type,
        "SetIdentifier": record.set_identifier,
        "Weight": record.weight,
        "Region": record.region,
        "Failover": record.failover,
        "MultiValueAnswer": record.multivalue or None,
        "TTL": record.ttl,
        "ResourceRecords": [{"Value": text} for text in record.values] or None,
        "HealthCheckId": record.health_check_id,
        "TrafficPolicyInstanceId": record.traffic_policy_instance_id,
    }
    if record.geo_location is not None:
        value["GeoLocation"] = {
            "ContinentCode": record.geo_location.continent_code,
            "CountryCode": record.geo_location.country_code,
            "SubdivisionCode": record.geo_location.subdivision_code,
        }
    if record.alias is not None:
        value["AliasTarget"] = {
            "HostedZoneId": record.alias.hosted_zone_id,
            "DNSName": names.shown(record.alias.dns_name),
            "EvaluateTargetHealth": record.alias.evaluate_target_health,
        }
    if record.cidr is not None:
        value["CidrRoutingConfig"] = {
            "CollectionId": record.cidr.collection_id,
            "LocationName": record.cidr.location_name,
        }
    place = record.geoproximity
    if place is not None:
        value["GeoProximityLocation"] = {
            "AWSRegion": place.aws_region,
            "LocalZoneGroup": place.local_zone_group,
            "Coordinates": None
            if place.latitude is None
            else {"Latitude": str(place.latitude), "Longitude": str(place.longitude)},
            "Bias": place.bias,
        }
    return value


def hosted_zone(zone: HostedZone, accelerated_recovery: bool | None) -> dict[str, Any]:
    """A zone in the API's shape; None for the feature stands for a zone that was never told of it."""
    return {
        "Id": f"/hostedzone/{zone.zone_id}",
        "Name": names.shown(zone.name),
        "CallerReference": zone.caller_reference,
        "Config": {"Comment": zone.comment or None, "PrivateZone": False},
        "ResourceRecordSetCount": len(zone.record_sets),
        "Features": None
        if accelerated_recovery is None
        else {"AcceleratedRecoveryStatus": "ENABLED" if accelerated_recovery else "DISABLED"},
    }


def change_info(change: Change, *, in_sync: bool) -> dict[str, Any]:
    """A change in the API's shape."""
    return {
        "Id": f"/change/{change.change_id}",
        "Status": "INSYNC" if in_sync else "PENDING",
        "SubmittedAt": datetime.fromtimestamp(change.submitted_ms / 1000, UTC),
        "Comment": change.comment or None,
    }


def zone_id(given: str) -> str:
    """An id without the path that the API shows it with."""
    return given.rpartition("/")[2]
