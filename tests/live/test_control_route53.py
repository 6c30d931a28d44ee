"""Route 53's control plane, through boto3 and a real control process."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from botocore import xform_name
from botocore.exceptions import ClientError
from control_process import ControlLab, lab_fixture, refusal
from waiting import eventually


@pytest.fixture(scope="module")
def lab() -> Iterator[ControlLab]:
    yield from lab_fixture()


@pytest.fixture
def zone(lab: ControlLab, request: pytest.FixtureRequest) -> str:
    """A fresh zone `TEST.lab.test`."""
    name = f"{abs(hash(request.node.nodeid)):x}.lab.test"
    made = lab.client("route53").create_hosted_zone(Name=name, CallerReference=request.node.nodeid)
    zone_id: str = made["HostedZone"]["Id"]
    return zone_id


def name_of(lab: ControlLab, zone: str) -> str:
    name: str = lab.client("route53").get_hosted_zone(Id=zone)["HostedZone"]["Name"]
    return name


def a_record(name: str, address: str = "192.0.2.1", **more: Any) -> dict[str, Any]:
    return {"Name": name, "Type": "A", "TTL": 60, "ResourceRecords": [{"Value": address}], **more}


def change(lab: ControlLab, zone: str, *changes: tuple[str, dict[str, Any]]) -> dict[str, Any]:
    batch = {"Changes": [{"Action": action, "ResourceRecordSet": record} for action, record in changes]}
    answer: dict[str, Any] = lab.client("route53").change_resource_record_sets(HostedZoneId=zone, ChangeBatch=batch)
    return answer


def records_of(lab: ControlLab, zone: str, **parameters: Any) -> list[tuple[str, str]]:
    found = lab.client("route53").list_resource_record_sets(HostedZoneId=zone, **parameters)["ResourceRecordSets"]
    return [(record["Name"], record["Type"]) for record in found]


def test_a_new_zone_has_its_name_servers_and_soa_and_is_published(lab: ControlLab, zone: str) -> None:
    name = name_of(lab, zone)
    assert records_of(lab, zone) == [(name, "NS"), (name, "SOA")]
    published = {z.zone_id: z for z in lab.edge.document("zones").zones}[zone.removeprefix("/hostedzone/")]
    assert published.name == name
    servers = lab.client("route53").get_hosted_zone(Id=zone)["DelegationSet"]["NameServers"]
    assert len(servers) == 4 and servers[0].startswith("ns-")


def test_a_zone_is_found_by_its_name(lab: ControlLab, zone: str) -> None:
    name = name_of(lab, zone)
    found = lab.client("route53").list_hosted_zones_by_name(DNSName=name, MaxItems="1")["HostedZones"]
    assert [z["Id"] for z in found] == [zone]
    listed = lab.client("route53").get_paginator("list_hosted_zones").paginate(PaginationConfig={"PageSize": 1})
    assert zone in [z["Id"] for page in listed for z in page["HostedZones"]]


def test_a_change_is_in_sync_once_the_resolver_has_it(lab: ControlLab, zone: str) -> None:
    answer = change(lab, zone, ("CREATE", a_record("www." + name_of(lab, zone))))
    info = lab.client("route53").get_change(Id=answer["ChangeInfo"]["Id"])["ChangeInfo"]
    assert info["Status"] == "INSYNC"
    published = {z.zone_id: z for z in lab.edge.document("zones").zones}[zone.removeprefix("/hostedzone/")]
    assert "192.0.2.1" in {value for record in published.record_sets for value in record.values}


def test_a_change_stays_pending_while_the_resolver_is_away() -> None:
    with ControlLab(parts=False) as lab:
        client = lab.client("route53")
        made = client.create_hosted_zone(Name="away.test", CallerReference="away")
        change_id = made["ChangeInfo"]["Id"]
        assert client.get_change(Id=change_id)["ChangeInfo"]["Status"] == "PENDING"
        lab.start_part("edge")
        eventually(lambda: client.get_change(Id=change_id)["ChangeInfo"]["Status"] == "INSYNC", "the change in sync")
        assert [z.name for z in lab.edge.document("zones").zones] == ["away.test."]


def test_a_batch_happens_whole_or_not_at_all(lab: ControlLab, zone: str) -> None:
    name = name_of(lab, zone)
    code, status, message = refusal(
        change, lab, zone, ("CREATE", a_record("one." + name)), ("DELETE", a_record("absent." + name))
    )
    assert (code, status) == ("InvalidChangeBatch", 400)
    assert message == (f"[Tried to delete resource record set [name='absent.{name}', type='A'] but it was not found]")
    assert records_of(lab, zone) == [(name, "NS"), (name, "SOA")]


def test_latency_records_with_health_checks_round_trip(lab: ControlLab, zone: str) -> None:
    name = "api." + name_of(lab, zone)
    client = lab.client("route53")
    check = client.create_health_check(
        CallerReference=name,
        HealthCheckConfig={"Type": "HTTP", "FullyQualifiedDomainName": "x.example", "ResourcePath": "health"},
    )["HealthCheck"]
    assert check["HealthCheckConfig"]["ResourcePath"] == "/health" and check["HealthCheckConfig"]["Port"] == 80
    alias = {
        "HostedZoneId": "Z1UJRXOUMOOFQ8",
        "DNSName": "d-a.execute-api.us-east-1.amazonaws.com.",
        "EvaluateTargetHealth": True,
    }
    wanted = [
        {"Name": name, "Type": "A", "SetIdentifier": region, "Region": region, "AliasTarget": alias,
         "HealthCheckId": check["Id"]}
        for region in ("us-east-1", "us-west-2")
    ]  # fmt: skip
    change(lab, zone, *(("UPSERT", record) for record in wanted))
    found = client.list_resource_record_sets(HostedZoneId=zone, StartRecordName=name)["ResourceRecordSets"]
    assert [record for record in found if record["Name"] == name] == wanted
    published = {z.zone_id: z for z in lab.edge.document("zones").zones}[zone.removeprefix("/hostedzone/")]
    assert {r.region for r in published.record_sets if r.name == name} == {"us-east-1", "us-west-2"}
    assert check["Id"] in [c.health_check_id for c in lab.edge.document("health_checks").checks]
    absent = {**wanted[0], "HealthCheckId": "absent"}
    assert refusal(change, lab, zone, ("UPSERT", absent))[:2] == ("NoSuchHealthCheck", 404)


def test_record_sets_are_listed_in_route_53s_order_in_pages(lab: ControlLab, zone: str) -> None:
    name = name_of(lab, zone)
    for label in ("b", "a.z", "*", "a"):
        change(lab, zone, ("CREATE", a_record(f"{label}.{name}")))
    expected = [(name, "NS"), (name, "SOA"), ("\\052." + name, "A"), ("a." + name, "A"), ("b." + name, "A")]
    expected.append(("a.z." + name, "A"))
    assert records_of(lab, zone) == expected
    pages = (
        lab.client("route53")
        .get_paginator("list_resource_record_sets")
        .paginate(HostedZoneId=zone, PaginationConfig={"PageSize": 2})
    )
    assert [(r["Name"], r["Type"]) for page in pages for r in page["ResourceRecordSets"]] == expected


def test_a_zone_with_records_cannot_be_deleted_an_empty_one_can(lab: ControlLab, zone: str) -> None:
    client, record = lab.client("route53"), a_record("www." + name_of(lab, zone))
    change(lab, zone, ("CREATE", record))
    assert refusal(client.delete_hosted_zone, Id=zone)[:2] == ("HostedZoneNotEmpty", 400)
    change(lab, zone, ("DELETE", record))
    client.delete_hosted_zone(Id=zone)
    assert refusal(client.get_hosted_zone, Id=zone)[:2] == ("NoSuchHostedZone", 404)


def test_health_checks_are_made_once_a_reference_and_updated_by_version(lab: ControlLab) -> None:
    client = lab.client("route53")
    config = {"Type": "TCP", "IPAddress": "127.0.0.1", "Port": 9, "RequestInterval": 10}
    made = client.create_health_check(CallerReference="once", HealthCheckConfig=config)["HealthCheck"]
    again = client.create_health_check(CallerReference="once", HealthCheckConfig=config)["HealthCheck"]
    assert again["Id"] == made["Id"]
    other = {**config, "Port": 10}
    assert refusal(client.create_health_check, CallerReference="once", HealthCheckConfig=other)[:2] == (
        "HealthCheckAlreadyExists",
        409,
    )
    updated = client.update_health_check(HealthCheckId=made["Id"], HealthCheckVersion=1, FailureThreshold=5)
    assert updated["HealthCheck"]["HealthCheckConfig"]["FailureThreshold"] == 5
    stale = {"HealthCheckId": made["Id"], "HealthCheckVersion": 1, "Disabled": True}
    assert refusal(client.update_health_check, **stale)[:2] == ("HealthCheckVersionMismatch", 409)
    client.delete_health_check(HealthCheckId=made["Id"])
    assert refusal(client.get_health_check, HealthCheckId=made["Id"])[:2] == ("NoSuchHealthCheck", 404)
    assert refusal(client.create_health_check, CallerReference="once", HealthCheckConfig=config)[1] == 409


@pytest.mark.parametrize(
    ("config", "part"),
    [
        ({"Type": "HTTP"}, "Either IPAddress or FullyQualifiedDomainName"),
        ({"Type": "TCP", "IPAddress": "127.0.0.1"}, "Port must be specified"),
        ({"Type": "HTTP", "IPAddress": "nowhere"}, "Invalid IP address"),
        ({"Type": "HTTP", "IPAddress": "169.254.169.254"}, "169.254.169.254 is multicast, link-local or reserved"),
        ({"Type": "HTTP", "IPAddress": "127.0.0.1", "RequestInterval": 20}, "expected 10 or 30"),
        ({"Type": "HTTP_STR_MATCH", "IPAddress": "127.0.0.1"}, "SearchString must be specified"),
        ({"Type": "CALCULATED", "HealthThreshold": 1, "ChildHealthChecks": ["absent"]}, "does not exist"),
        ({"Type": "CLOUDWATCH_METRIC", "AlarmIdentifier": {"Region": "eu-west-1", "Name": "a"}}, "only in us-east-1"),
        ({"Type": "GOPHER", "IPAddress": "127.0.0.1"}, "enum value set"),
        ({"Type": "HTTP", "IPAddress": "127.0.0.1", "FailureThreshold": 11}, "less than or equal to 10"),
        ({"Type": "HTTP", "IPAddress": "127.0.0.1", "Regions": ["us-east-1"] * 3}, "at least three, each once"),
        ({"Type": "HTTP", "IPAddress": "127.0.0.1", "Regions": ["us-east-2"] * 3}, "enum value set"),
        ({"Type": "HTTP", "IPAddress": "127.0.0.1", "Port": 65536}, "less than or equal to 65535"),
        ({"Type": "HTTP", "IPAddress": "::1%lo"}, "Invalid IP address"),
        ({"Type": "HTTP", "FullyQualifiedDomainName": "a." * 128}, "less than or equal to 255"),
        ({"Type": "HTTP_STR_MATCH", "IPAddress": "127.0.0.1", "SearchString": "x" * 256}, "less than or equal to 255"),
        ({"Type": "HTTP", "IPAddress": "127.0.0.1", "SearchString": "x"}, "SearchString must not be specified"),
        (
            {"Type": "TCP", "IPAddress": "127.0.0.1", "Port": 9, "ResourcePath": "/"},
            "ResourcePath must not be specified",
        ),
        ({"Type": "HTTP", "IPAddress": "127.0.0.1", "ChildHealthChecks": ["x"]}, "ChildHealthChecks must not be"),
        ({"Type": "HTTP", "IPAddress": "127.0.0.1", "HealthThreshold": 1}, "HealthThreshold must not be"),
        ({"Type": "HTTP", "IPAddress": "127.0.0.1", "RoutingControlArn": "x"}, "RoutingControlArn must not be"),
        (
            {"Type": "HTTP", "IPAddress": "127.0.0.1", "AlarmIdentifier": {"Region": "us-east-1", "Name": "a"}},
            "AlarmIdentifier must not be",
        ),
        ({"Type": "CALCULATED", "HealthThreshold": 1, "IPAddress": "127.0.0.1"}, "IPAddress must not be"),
        ({"Type": "CALCULATED", "ChildHealthChecks": []}, "HealthThreshold must be specified"),
        ({"Type": "CALCULATED", "HealthThreshold": 257}, "less than or equal to 256"),
        ({"Type": "CALCULATED", "HealthThreshold": 1, "ChildHealthChecks": ["x"] * 257}, "less than or equal to 256"),
        ({"Type": "CLOUDWATCH_METRIC"}, "AlarmIdentifier must be specified"),
        ({"Type": "RECOVERY_CONTROL"}, "RoutingControlArn must be specified"),
        ({"Type": "RECOVERY_CONTROL", "RoutingControlArn": "x", "RequestInterval": 10}, "RequestInterval must not be"),
    ],
)
def test_health_checks_that_route_53_would_refuse_are_refused(
    lab: ControlLab, config: dict[str, Any], part: str
) -> None:
    code, status, message = refusal(
        lab.client("route53").create_health_check, CallerReference=part, HealthCheckConfig=config
    )
    assert (code, status) == ("InvalidInput", 400)
    assert part in message


def test_a_health_checks_status_is_what_the_probers_say(lab: ControlLab) -> None:
    client = lab.client("route53")
    config = {"Type": "TCP", "IPAddress": "127.0.0.1", "Port": 9}
    check_id = client.create_health_check(CallerReference="seen", HealthCheckConfig=config)["HealthCheck"]["Id"]
    reason = "Failure: connection refused"
    checker = {"region": "us-east-1", "address": "127.45.0.1", "status": "unhealthy", "reason": reason}
    checker |= {"checked_ms": 1_700_000_000_000, "failure_reason": reason, "failed_ms": 1_700_000_000_000}
    answer = json.dumps({check_id: {"status": "unhealthy", "since_ms": 1, "checkers": [checker]}}).encode()
    lab.edge.answers[f"GET /status/health-checks/{check_id}"] = (200, answer)
    for ask in (client.get_health_check_status, client.get_health_check_last_failure_reason):
        (observation,) = ask(HealthCheckId=check_id)["HealthCheckObservations"]
        assert observation["StatusReport"]["Status"] == reason
        assert observation["StatusReport"]["CheckedTime"].timestamp() == 1_700_000_000


def test_tags_counts_and_limits_are_told(lab: ControlLab, zone: str) -> None:
    client = lab.client("route53")
    zone_id = zone.removeprefix("/hostedzone/")
    tags = [{"Key": "a", "Value": "1"}, {"Key": "b", "Value": "2"}]
    client.change_tags_for_resource(ResourceType="hostedzone", ResourceId=zone_id, AddTags=tags)
    client.change_tags_for_resource(ResourceType="hostedzone", ResourceId=zone_id, RemoveTagKeys=["a"])
    found = client.list_tags_for_resource(ResourceType="hostedzone", ResourceId=zone_id)["ResourceTagSet"]
    assert found["Tags"] == tags[1:]
    assert client.get_hosted_zone_count()["HostedZoneCount"] >= 1
    limit = client.get_hosted_zone_limit(Type="MAX_RRSETS_BY_ZONE", HostedZoneId=zone_id)
    assert (limit["Limit"]["Value"], limit["Count"]) == (10_000, 2)
    assert client.get_account_limit(Type="MAX_HEALTH_CHECKS_BY_OWNER")["Limit"]["Value"] == 200


NOT_IMITATED = {"CreateKeySigningKey", "CreateQueryLoggingConfig", "CreateVPCAssociationAuthorization"}


def least(shape: Any, zone_id: str) -> Any:
    """The least that the model takes for a shape; a zone's id where one is asked for."""
    match shape.type_name:
        case "structure":
            return {
                name: zone_id if name in ("HostedZoneId", "Id") else least(shape.members[name], zone_id)
                for name in shape.required_members
            }
        case "list":
            return [least(shape.member, zone_id)] * shape.metadata.get("min", 1)
        case "string":
            return shape.enum[0] if shape.enum else "x" * max(1, shape.metadata.get("min", 1))
        case "boolean":
            return False
        case kind:
            assert kind in ("integer", "long"), kind
            return shape.metadata.get("min", 1)


def test_every_operation_of_the_model_is_answered_and_three_are_refused_by_name(lab: ControlLab, zone: str) -> None:
    client = lab.client("route53")
    zone_id = zone.removeprefix("/hostedzone/")
    refused = set()
    for operation in sorted(client.meta.service_model.operation_names):
        model = client.meta.service_model.operation_model(operation)
        arguments = least(model.input_shape, zone_id) if model.input_shape else {}
        try:
            getattr(client, xform_name(operation))(**arguments)
        except ClientError as error:
            code, status = error.response["Error"]["Code"], error.response["ResponseMetadata"]["HTTPStatusCode"]
            assert 400 <= status < 500 or code == "NotImplemented", (operation, error)
            if code == "NotImplemented":
                assert status == 501 and f"route53:{operation}" in str(error)
                refused.add(operation)
    assert refused == NOT_IMITATED


def test_a_public_zone_without_keys_logs_and_vpcs_answers_as_on_aws(lab: ControlLab, zone: str) -> None:
    client = lab.client("route53")
    vpc = {"VPCRegion": "us-east-1", "VPCId": "vpc-1"}
    refusals = {
        "NoSuchKeySigningKey": (client.activate_key_signing_key, {"Name": "key"}, 404),
        "KeySigningKeyWithActiveStatusNotFound": (client.enable_hosted_zone_dnssec, {}, 400),
        "DNSSECNotFound": (client.disable_hosted_zone_dnssec, {}, 400),
        "PublicZoneVPCAssociation": (client.associate_vpc_with_hosted_zone, {"VPC": vpc}, 400),
        "VPCAssociationNotFound": (client.disassociate_vpc_from_hosted_zone, {"VPC": vpc}, 404),
        "VPCAssociationAuthorizationNotFound": (client.delete_vpc_association_authorization, {"VPC": vpc}, 404),
    }
    for code, (call, arguments, status) in refusals.items():
        assert refusal(call, HostedZoneId=zone, **arguments)[:2] == (code, status)
    assert client.get_dnssec(HostedZoneId=zone)["Status"]["ServeSignature"] == "NOT_SIGNING"
    assert client.list_query_logging_configs(HostedZoneId=zone)["QueryLoggingConfigs"] == []
    assert refusal(client.get_query_logging_config, Id="q")[:2] == ("NoSuchQueryLoggingConfig", 404)
    assert client.list_vpc_association_authorizations(HostedZoneId=zone)["VPCs"] == []
    assert client.list_hosted_zones_by_vpc(VPCId="vpc-1", VPCRegion="us-east-1")["HostedZoneSummaries"] == []
    assert refusal(client.list_query_logging_configs, HostedZoneId="ZNONE")[0] == "NoSuchHostedZone"


def test_accelerated_recovery_is_kept_and_shown(lab: ControlLab, zone: str) -> None:
    client = lab.client("route53")
    assert "Features" not in client.get_hosted_zone(Id=zone)["HostedZone"]
    for enable, status in ((True, "ENABLED"), (False, "DISABLED")):
        client.update_hosted_zone_features(HostedZoneId=zone, EnableAcceleratedRecovery=enable)
        shown = client.get_hosted_zone(Id=zone)["HostedZone"]["Features"]
        assert shown == {"AcceleratedRecoveryStatus": status}
    assert refusal(client.update_hosted_zone_features, HostedZoneId=zone)[0] == "InvalidInput"
    missing = refusal(client.update_hosted_zone_features, HostedZoneId="ZNONE", EnableAcceleratedRecovery=True)
    assert missing[0] == "NoSuchHostedZone"


@pytest.mark.parametrize(
    "place",
    [
        {"GeoLocation": {"ContinentCode": "EU", "CountryCode": "DE"}},
        {"GeoLocation": {"ContinentCode": "NA", "SubdivisionCode": "CA"}},
        {"GeoProximityLocation": {"Coordinates": {"Latitude": "1.234", "Longitude": "0"}}},
        {"GeoProximityLocation": {"Coordinates": {"Latitude": "005", "Longitude": "0"}}},
        {"GeoProximityLocation": {"Coordinates": {"Latitude": "0", "Longitude": "180.01"}}},
        {"GeoProximityLocation": {"AWSRegion": "us-east-1", "Bias": 100}},
    ],
)
def test_a_location_of_no_form_is_an_invalid_input(lab: ControlLab, zone: str, place: dict[str, Any]) -> None:
    made = a_record(f"x.{name_of(lab, zone)}", SetIdentifier="a", **place)
    assert refusal(change, lab, zone, ("CREATE", made))[:2] == ("InvalidInput", 400)


@pytest.mark.parametrize(
    ("record", "words"),
    [
        ({"GeoLocation": {}}, "exactly one of ContinentCode and CountryCode"),
        ({"GeoProximityLocation": {}}, "exactly one of AWSRegion, LocalZoneGroup and Coordinates"),
    ],
    ids=["geolocation", "geoproximity"],
)
def test_a_location_that_says_nothing_is_refused(
    lab: ControlLab, zone: str, record: dict[str, Any], words: str
) -> None:
    made = a_record(f"x.{name_of(lab, zone)}", SetIdentifier="a", **record)
    code, _, message = refusal(change, lab, zone, ("CREATE", made))
    assert code == "InvalidChangeBatch" and words in message


@pytest.mark.parametrize(
    ("target", "zone_id"), [("www.{name}", "ZOTHER"), ("www.example.com", "ZOTHER"), ("amazonaws.com.evil.test", "Z3")]
)
def test_an_alias_leads_to_a_record_of_its_zone_or_to_a_name_of_aws(
    lab: ControlLab, zone: str, target: str, zone_id: str
) -> None:
    name = name_of(lab, zone)
    change(lab, zone, ("CREATE", a_record(f"www.{name}")))
    alias = {"HostedZoneId": zone_id, "DNSName": target.format(name=name), "EvaluateTargetHealth": False}
    made = {"Name": f"alias.{name}", "Type": "A", "AliasTarget": alias}
    code, _, message = refusal(change, lab, zone, ("CREATE", made))
    assert code == "InvalidChangeBatch" and "does not lie within the target zone" in message
    change(lab, zone, ("CREATE", {**made, "AliasTarget": {**alias, "DNSName": "d1.cloudfront.net"}}))


@pytest.mark.parametrize(
    ("type", "port", "sni"), [("HTTP", 80, False), ("HTTPS", 443, True), ("HTTPS_STR_MATCH", 443, True)]
)
def test_a_health_check_shows_awss_defaults(lab: ControlLab, type: str, port: int, sni: bool) -> None:
    client = lab.client("route53")
    given = {"Type": type, "FullyQualifiedDomainName": "a.test", "ResourcePath": "health"}
    given |= {"SearchString": "x"} if type.endswith("STR_MATCH") else {}
    made = client.create_health_check(CallerReference=f"defaults {type}", HealthCheckConfig=given)["HealthCheck"]
    shown = client.get_health_check(HealthCheckId=made["Id"])["HealthCheck"]["HealthCheckConfig"]
    defaults = {"RequestInterval": 30, "FailureThreshold": 3, "MeasureLatency": False, "Inverted": False}
    defaults |= {"Disabled": False, "Port": port, "EnableSNI": sni}
    assert shown == {**given, "ResourcePath": "/health", **defaults}
    client.delete_health_check(HealthCheckId=made["Id"])


def test_an_account_has_two_hundred_health_checks(lab: ControlLab) -> None:
    client = lab.client("route53")
    config = {"Type": "CALCULATED", "HealthThreshold": 0}
    made = []
    for number in range(client.get_health_check_count()["HealthCheckCount"], 200):
        found = client.create_health_check(CallerReference=f"many-{number}", HealthCheckConfig=config)
        made.append(found["HealthCheck"]["Id"])
    many = refusal(client.create_health_check, CallerReference="too-many", HealthCheckConfig=config)
    for check_id in made:
        client.delete_health_check(HealthCheckId=check_id)
    assert many[:2] == ("TooManyHealthChecks", 400)


def test_a_caller_reference_makes_one_zone(lab: ControlLab, zone: str) -> None:
    client = lab.client("route53")
    found = client.get_hosted_zone(Id=zone)["HostedZone"]
    again = {"Name": found["Name"], "CallerReference": found["CallerReference"]}
    assert refusal(client.create_hosted_zone, **again)[:2] == ("HostedZoneAlreadyExists", 409)


@pytest.mark.parametrize("size", ["0", "-1", "x", "\u0663", "1_0", "9" * 5_000])
def test_the_size_of_a_page_is_a_number(lab: ControlLab, size: str) -> None:
    client = lab.client("route53")
    for listing in (client.list_hosted_zones, client.list_health_checks, client.list_traffic_policies):
        code, status, message = refusal(listing, MaxItems=size)
        assert (code, status) == ("InvalidInput", 400) and "MaxItems" in message
    if size != "0":  # a listing may go on where it begins
        assert refusal(client.list_cidr_collections, NextToken=size)[:2] == ("InvalidInput", 400)


@pytest.mark.parametrize("name", ["", ".", "*.test"])
def test_a_zone_needs_a_name(lab: ControlLab, name: str) -> None:
    client = lab.client("route53")
    assert refusal(client.create_hosted_zone, Name=name, CallerReference=f"r{name}")[0] == "InvalidDomainName"


def test_what_a_request_of_a_health_checker_cannot_carry_is_refused(lab: ControlLab) -> None:
    client = lab.client("route53")
    for member, value in (
        ("ResourcePath", "/a\r\nX-Forged: yes"),
        ("ResourcePath", "/a b"),
        ("FullyQualifiedDomainName", "a.test\r\nX-Forged: yes"),
        ("FullyQualifiedDomainName", f"{'a' * 64}.test"),
        ("FullyQualifiedDomainName", "http://a.test/"),
    ):
        config = {"Type": "HTTP", "IPAddress": "127.0.0.9", member: value}
        code, _, message = refusal(client.create_health_check, CallerReference=member + value, HealthCheckConfig=config)
        assert code == "InvalidInput" and member in message


def test_an_error_about_what_xml_cannot_carry_is_xml(lab: ControlLab) -> None:
    code, status, message = refusal(lab.client("route53").get_hosted_zone, Id="a\x00b\x1b")
    assert (code, status) == ("NoSuchHostedZone", 404) and "a?b?" in message


def test_private_zones_are_refused_by_name(lab: ControlLab) -> None:
    client = lab.client("route53")
    vpc = {"VPCRegion": "us-east-1", "VPCId": "vpc-1"}
    private = {"Name": "p.test", "CallerReference": "p", "VPC": vpc}
    assert "private hosted zones" in refusal(client.create_hosted_zone, **private)[2]
