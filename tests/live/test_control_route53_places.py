"""CIDR collections, geographic locations and reusable delegation sets, through boto3 and a real control process."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from typing import Any

import pytest
from control_process import ControlLab, lab_fixture, refused


@pytest.fixture(scope="module")
def lab() -> Iterator[ControlLab]:
    yield from lab_fixture()


@pytest.fixture
def collection(lab: ControlLab, request: pytest.FixtureRequest) -> Iterator[str]:
    """A fresh CIDR collection, removed afterwards if nothing uses it."""
    client, name = lab.client("route53"), request.node.name[-60:]
    made = client.create_cidr_collection(Name=name, CallerReference=name)["Collection"]
    yield made["Id"]
    for page in list(client.get_paginator("list_cidr_blocks").paginate(CollectionId=made["Id"])):
        for block in page["CidrBlocks"]:
            change(lab, made["Id"], ("DELETE_IF_EXISTS", block["LocationName"], [block["CidrBlock"]]))
    client.delete_cidr_collection(Id=made["Id"])


def change(lab: ControlLab, collection_id: str, *changes: tuple[str, str, list[str]], **more: Any) -> str:
    wanted = [{"Action": action, "LocationName": name, "CidrList": blocks} for action, name, blocks in changes]
    answer = lab.client("route53").change_cidr_collection(Id=collection_id, Changes=wanted, **more)
    change_id: str = answer["Id"]
    return change_id


def blocks_of(listing: dict[str, Any]) -> list[str]:
    return [block["CidrBlock"] for block in listing["CidrBlocks"]]


def test_a_collection_is_changed_listed_and_published(lab: ControlLab, collection: str) -> None:
    client = lab.client("route53")
    change_id = change(lab, collection, ("PUT", "berlin", ["198.51.100.0/24", "2001:db8::/48"]))
    assert client.get_change(Id=change_id)["ChangeInfo"]["Status"] == "INSYNC"
    change(lab, collection, ("PUT", "office", ["203.0.113.0/24"]), CollectionVersion=2)
    names = [x["LocationName"] for x in client.list_cidr_locations(CollectionId=collection)["CidrLocations"]]
    assert names == ["berlin", "office"]
    page = client.list_cidr_blocks(CollectionId=collection, MaxResults="2")
    rest = client.list_cidr_blocks(CollectionId=collection, NextToken=page["NextToken"])
    assert blocks_of(page) + blocks_of(rest) == ["198.51.100.0/24", "2001:db8::/48", "203.0.113.0/24"]
    (published,) = (c for c in lab.edge.document("zones").cidr_collections if c.collection_id == collection)
    assert {x.name: x.blocks for x in published.locations}["berlin"] == ("198.51.100.0/24", "2001:db8::/48")
    (listed,) = (c for c in client.list_cidr_collections()["CidrCollections"] if c["Id"] == collection)
    assert (listed["Version"], listed["Arn"]) == (3, f"arn:aws:route53:::cidrcollection/{collection}")


def test_blocks_move_between_locations_in_one_request(lab: ControlLab, collection: str) -> None:
    change(lab, collection, ("PUT", "here", ["198.51.100.0/24"]))
    change(lab, collection, ("PUT", "there", ["198.51.100.0/24"]), ("DELETE_IF_EXISTS", "here", ["198.51.100.0/24"]))
    listed = lab.client("route53").list_cidr_blocks(CollectionId=collection)["CidrBlocks"]
    assert listed == [{"CidrBlock": "198.51.100.0/24", "LocationName": "there"}]


def test_what_is_wrong_with_collections_has_awss_names(lab: ControlLab, collection: str) -> None:
    client, absent = lab.client("route53"), str(uuid.uuid4())
    taken = next(c["Name"] for c in client.list_cidr_collections()["CidrCollections"] if c["Id"] == collection)
    make, alter = client.create_cidr_collection, client.change_cidr_collection
    assert refused(make, Name=taken, CallerReference="other") == ("CidrCollectionAlreadyExistsException", 400)
    assert make(Name=taken, CallerReference=taken)["Collection"]["Id"] == collection
    put = [{"Action": "PUT", "LocationName": "a", "CidrList": ["198.51.100.0/24"]}]
    assert refused(alter, Id=absent, Changes=put) == ("NoSuchCidrCollectionException", 404)
    assert refused(alter, Id=collection, CollectionVersion=9, Changes=put) == (
        "CidrCollectionVersionMismatchException",
        409,
    )
    for block in ("198.51.100.0/25", "0.0.0.0/0", "198.51.100.1/24", "2001:db8::/49", "198.51.100.1", "x"):
        wrong = [{"Action": "PUT", "LocationName": "a", "CidrList": [block]}]
        assert refused(alter, Id=collection, Changes=wrong) == ("InvalidInput", 400)
    many = [f"10.{n // 250}.{n % 250}.0/24" for n in range(1_001)]
    too_many = [{"Action": "PUT", "LocationName": "a", "CidrList": many[:600]}]
    too_many.append({**too_many[0], "CidrList": many[600:]})
    assert refused(alter, Id=collection, Changes=too_many)[0] == "LimitsExceeded"
    change(lab, collection, ("PUT", "a", many[:1_000]))
    assert refused(alter, Id=collection, Changes=put)[0] == "LimitsExceeded"
    change(lab, collection, ("DELETE_IF_EXISTS", "a", many[1:1_000]))
    assert refused(client.delete_cidr_collection, Id=collection) == ("CidrCollectionInUseException", 400)
    assert refused(client.list_cidr_blocks, CollectionId=collection, LocationName="b") == (
        "NoSuchCidrLocationException",
        404,
    )
    extra = [make(Name=f"x{n}", CallerReference=f"x{n}")["Collection"]["Id"] for n in range(4)]
    assert refused(make, Name="x5", CallerReference="x5")[0] == "LimitsExceeded"
    for made in extra:
        client.delete_cidr_collection(Id=made)


def test_records_name_locations_that_exist_and_keep_their_blocks(lab: ControlLab, collection: str) -> None:
    client = lab.client("route53")
    change(lab, collection, ("PUT", "berlin", ["198.51.100.0/24"]))
    zone_id = client.create_hosted_zone(Name="cidr.test", CallerReference="cidr")["HostedZone"]["Id"]

    def batch(action: str, location: str) -> dict[str, Any]:
        record = {"Name": "w.cidr.test", "Type": "A", "TTL": 9, "ResourceRecords": [{"Value": "192.0.2.1"}]}
        record |= {"SetIdentifier": location}
        record |= {"CidrRoutingConfig": {"CollectionId": collection, "LocationName": location}}
        return {"HostedZoneId": zone_id, "ChangeBatch": {"Changes": [{"Action": action, "ResourceRecordSet": record}]}}

    assert refused(client.change_resource_record_sets, **batch("CREATE", "munich")) == ("InvalidChangeBatch", 400)
    client.change_resource_record_sets(**batch("CREATE", "*"))
    client.change_resource_record_sets(**batch("CREATE", "berlin"))
    gone = [{"Action": "DELETE_IF_EXISTS", "LocationName": "berlin", "CidrList": ["198.51.100.0/24"]}]
    assert refused(client.change_cidr_collection, Id=collection, Changes=gone) == ("CidrBlockInUseException", 400)
    for location in ("*", "berlin"):
        client.change_resource_record_sets(**batch("DELETE", location))
    client.delete_hosted_zone(Id=zone_id)


def test_geographic_locations_are_told_one_by_one_and_in_pages(lab: ControlLab) -> None:
    client = lab.client("route53")
    texas = client.get_geo_location(CountryCode="US", SubdivisionCode="TX")["GeoLocationDetails"]
    assert texas == {
        "CountryCode": "US",
        "CountryName": "United States",
        "SubdivisionCode": "TX",
        "SubdivisionName": "Texas",
    }
    assert client.get_geo_location(ContinentCode="EU")["GeoLocationDetails"]["ContinentName"] == "Europe"
    assert client.get_geo_location(CountryCode="*")["GeoLocationDetails"]["CountryCode"] == "*"
    assert refused(client.get_geo_location, CountryCode="XX") == ("NoSuchGeoLocation", 404)
    assert refused(client.get_geo_location, ContinentCode="EU", CountryCode="DE") == ("InvalidInput", 400)
    found, following = [], {}
    while True:
        page = client.list_geo_locations(**following)
        found += page["GeoLocationDetailsList"]
        if not page["IsTruncated"]:
            break
        following = {
            f"Start{name}": page[f"Next{name}"]
            for name in ("ContinentCode", "CountryCode", "SubdivisionCode")
            if page.get(f"Next{name}")
        }
    codes = [(x.get("ContinentCode"), x.get("CountryCode"), x.get("SubdivisionCode")) for x in found]
    assert len(codes) == len(set(codes)) > 250 and codes[0] == (None, "*", None)
    assert codes.index((None, "US", "AK")) == codes.index((None, "US", None)) + 1
    assert {code[0] for code in codes[-7:]} == {"AF", "AN", "AS", "EU", "NA", "OC", "SA"}


def test_geolocation_and_geoproximity_records_name_places_that_exist(lab: ControlLab) -> None:
    client = lab.client("route53")
    zone_id = client.create_hosted_zone(Name="geo.test", CallerReference="geo")["HostedZone"]["Id"]

    def create(**policy: Any) -> Any:
        record = {"Name": "w.geo.test", "Type": "A", "TTL": 9, "ResourceRecords": [{"Value": "192.0.2.1"}], **policy}
        batch = {"Changes": [{"Action": "CREATE", "ResourceRecordSet": {**record, "SetIdentifier": str(policy)}}]}
        return client.change_resource_record_sets(HostedZoneId=zone_id, ChangeBatch=batch)

    for code in ({"CountryCode": "XX"}, {"CountryCode": "DE", "SubdivisionCode": "BE"}):
        assert refused(create, GeoLocation=code) == ("InvalidChangeBatch", 400)
    create(GeoLocation={"CountryCode": "DE"})
    both = {"AWSRegion": "us-east-1", "Coordinates": {"Latitude": "1.0", "Longitude": "2.0"}}
    assert refused(create, GeoProximityLocation=both) == ("InvalidChangeBatch", 400)
    exact = {"Coordinates": {"Latitude": "1.001", "Longitude": "2.0"}}
    assert refused(create, GeoProximityLocation=exact) == ("InvalidInput", 400)


def test_zones_share_a_reusable_delegation_set(lab: ControlLab) -> None:
    client = lab.client("route53")
    made = client.create_reusable_delegation_set(CallerReference="set")["DelegationSet"]
    again = refused(client.create_reusable_delegation_set, CallerReference="set")
    assert again == ("DelegationSetAlreadyCreated", 400)
    zones = [
        client.create_hosted_zone(Name=name, CallerReference=name, DelegationSetId=made["Id"])["HostedZone"]["Id"]
        for name in ("one.set.test", "two.set.test")
    ]
    for zone_id in zones:
        assert client.get_hosted_zone(Id=zone_id)["DelegationSet"] == made
        records = client.list_resource_record_sets(HostedZoneId=zone_id)["ResourceRecordSets"]
        servers = next(record for record in records if record["Type"] == "NS")["ResourceRecords"]
        assert [server["Value"].rstrip(".") for server in servers] == made["NameServers"]
    listed = client.list_hosted_zones(DelegationSetId=made["Id"])["HostedZones"]
    assert {zone["Id"] for zone in listed} == set(zones)
    limit = client.get_reusable_delegation_set_limit(
        Type="MAX_ZONES_BY_REUSABLE_DELEGATION_SET", DelegationSetId=made["Id"]
    )
    assert (limit["Limit"]["Value"], limit["Count"]) == (100, 2)
    assert refused(client.delete_reusable_delegation_set, Id=made["Id"]) == ("DelegationSetInUse", 400)
    for zone_id in zones:
        client.delete_hosted_zone(Id=zone_id)
    client.delete_reusable_delegation_set(Id=made["Id"])
    assert refused(client.get_reusable_delegation_set, Id=made["Id"]) == ("NoSuchDelegationSet", 400)


def test_a_zones_own_delegation_set_becomes_reusable(lab: ControlLab) -> None:
    client = lab.client("route53")
    zone = client.create_hosted_zone(Name="own.set.test", CallerReference="own")
    made = client.create_reusable_delegation_set(CallerReference="from", HostedZoneId=zone["HostedZone"]["Id"])
    assert made["DelegationSet"]["NameServers"] == zone["DelegationSet"]["NameServers"]
    again = {"CallerReference": "again", "HostedZoneId": zone["HostedZone"]["Id"]}
    assert refused(client.create_reusable_delegation_set, **again) == ("DelegationSetAlreadyReusable", 400)
    absent = {"CallerReference": "absent", "HostedZoneId": "ZABSENT"}
    assert refused(client.create_reusable_delegation_set, **absent) == ("HostedZoneNotFound", 400)
