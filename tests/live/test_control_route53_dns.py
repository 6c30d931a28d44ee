"""What the API makes, the DNS server answers: control and a real edge, boto3 and real queries."""

from __future__ import annotations

import ipaddress
import json
import socket
from collections.abc import Iterator
from typing import Any

import pytest
from botocore.exceptions import ClientError
from control_process import ControlLab
from waiting import eventually

from lab.data import places
from lab.live.dns_client import make_query, parse_reply

ZONE = "answers.test"
SUBNETS = [*[place.subnet for place in places()][:8], "203.0.113.0/24", "198.18.0.0/16"]


@pytest.fixture(scope="module")
def lab() -> Iterator[ControlLab]:
    with ControlLab() as lab:
        lab.start_edge()
        yield lab


@pytest.fixture(scope="module")
def zone(lab: ControlLab) -> str:
    """A zone with most policies, whose answers to a place are always the same."""
    client = lab.client("route53")
    zone_id: str = client.create_hosted_zone(Name=ZONE, CallerReference="dns")["HostedZone"]["Id"]
    blocks = [place.subnet for place in places()][:2]
    collection = client.create_cidr_collection(Name="some", CallerReference="some")["Collection"]["Id"]
    client.change_cidr_collection(Id=collection, Changes=[{"Action": "PUT", "LocationName": "two", "CidrList": blocks}])
    two = {"CollectionId": collection, "LocationName": "two"}
    change(
        lab,
        zone_id,
        record("plain"),
        record("*.wild", "192.0.2.2"),
        record("chain", f"plain.{ZONE}", Type="CNAME"),
        record("text", '"one two" "three"', Type="TXT"),
        record("geo", "192.0.2.3", SetIdentifier="eu", GeoLocation={"ContinentCode": "EU"}),
        record("geo", "192.0.2.4", SetIdentifier="us", GeoLocation={"CountryCode": "US"}),
        record("near", "192.0.2.5", SetIdentifier="e", Region="us-east-1"),
        record("near", "192.0.2.6", SetIdentifier="w", Region="eu-west-1"),
        record("around", "192.0.2.7", SetIdentifier="e", GeoProximityLocation={"AWSRegion": "us-east-1", "Bias": 20}),
        record("around", "192.0.2.8", SetIdentifier="w", GeoProximityLocation={"AWSRegion": "ap-northeast-1"}),
        record("block", "192.0.2.9", SetIdentifier="t", CidrRoutingConfig=two),
        record("block", "192.0.2.10", SetIdentifier="d", CidrRoutingConfig={**two, "LocationName": "*"}),
        record("weighed", "192.0.2.11", SetIdentifier="a", Weight=1),
        record("weighed", "192.0.2.12", SetIdentifier="b", Weight=0),
    )  # fmt: skip
    return zone_id


def record(label: str, value: str = "192.0.2.1", **more: Any) -> dict[str, Any]:
    return {"Name": f"{label}.{ZONE}", "Type": "A", "TTL": 30, "ResourceRecords": [{"Value": value}], **more}


def change(lab: ControlLab, zone_id: str, *records: dict[str, Any], action: str = "CREATE") -> None:
    changes = [{"Action": action, "ResourceRecordSet": wanted} for wanted in records]
    lab.client("route53").change_resource_record_sets(HostedZoneId=zone_id, ChangeBatch={"Changes": changes})


def asked(lab: ControlLab, name: str, rtype: str = "A", subnet: str | None = None) -> tuple[str, list[str]]:
    """The code and the values of a real DNS query."""
    query = make_query(7, name, rtype, None if subnet is None else ipaddress.ip_network(subnet))
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.settimeout(60)
        sock.connect((lab.topology.dns_address, lab.topology.dns_port))
        sock.send(query)
        reply = parse_reply(sock.recv(4096), query)
    assert reply is not None
    return reply.rcode, sorted(value.rstrip(".") for _, value in ((r.type, r.value) for r in reply.records))


def told_by_api(lab: ControlLab, zone_id: str, name: str, rtype: str = "A", **more: str) -> tuple[str, list[str]]:
    answer = lab.client("route53").test_dns_answer(HostedZoneId=zone_id, RecordName=name, RecordType=rtype, **more)
    assert (answer["RecordName"], answer["RecordType"], answer["Protocol"]) == (name, rtype, "UDP")
    return answer["ResponseCode"], sorted(value.rstrip(".") for value in answer["RecordData"])


@pytest.mark.parametrize(
    ("label", "rtype"),
    [(label, "A") for label in ("plain", "x.wild", "chain", "geo", "near", "around", "block", "weighed", "absent")]
    + [("text", "TXT"), ("plain", "AAAA"), ("chain", "CNAME"), ("text", "A")],
)
def test_test_dns_answer_agrees_with_the_dns_server(lab: ControlLab, zone: str, label: str, rtype: str) -> None:
    name = f"{label}.{ZONE}"
    for subnet in SUBNETS:
        address, _, mask = subnet.partition("/")
        answer = told_by_api(lab, zone, name, rtype, EDNS0ClientSubnetIP=address, EDNS0ClientSubnetMask=mask)
        assert answer == asked(lab, name, rtype, subnet), (name, subnet)


def test_a_resolvers_place_counts_where_no_client_subnet_is_given(lab: ControlLab, zone: str) -> None:
    by_country = {place.country: str(ipaddress.ip_network(place.subnet)[7]) for place in places()}
    assert told_by_api(lab, zone, f"geo.{ZONE}")[1] == ["192.0.2.4"]  # a resolver in us-east-1 unless told otherwise
    assert told_by_api(lab, zone, f"geo.{ZONE}", ResolverIP=by_country["IE"])[1] == ["192.0.2.3"]
    both = {"ResolverIP": by_country["IE"], "EDNS0ClientSubnetIP": by_country["US"]}
    assert told_by_api(lab, zone, f"geo.{ZONE}", **both)[1] == ["192.0.2.4"]
    hidden = {**both, "EDNS0ClientSubnetMask": "0"}
    assert told_by_api(lab, zone, f"geo.{ZONE}", **hidden)[1] == ["192.0.2.3"]


@pytest.mark.parametrize(
    ("wrong", "code"),
    [
        ({"RecordName": "www.elsewhere.test"}, "InvalidInput"),
        ({"RecordType": "GOPHER"}, "InvalidInput"),
        ({"ResolverIP": "nowhere"}, "InvalidInput"),
        ({"EDNS0ClientSubnetIP": "192.0.2.0", "EDNS0ClientSubnetMask": "33"}, "InvalidInput"),
        ({"EDNS0ClientSubnetMask": "24"}, "InvalidInput"),
        ({"EDNS0ClientSubnetIP": "192.0.2.0", "EDNS0ClientSubnetMask": "\u0663"}, "InvalidInput"),
        ({"EDNS0ClientSubnetIP": "2001:db8::", "EDNS0ClientSubnetMask": "129"}, "InvalidInput"),
        ({"EDNS0ClientSubnetIP": "fe80::1%lo"}, "InvalidInput"),
        ({"ResolverIP": "fe80::1%lo"}, "InvalidInput"),
        ({"HostedZoneId": "ZABSENT"}, "NoSuchHostedZone"),
    ],
)
def test_what_cannot_be_tested_is_refused(lab: ControlLab, zone: str, wrong: dict[str, str], code: str) -> None:
    whole = {"HostedZoneId": zone, "RecordName": ZONE, "RecordType": "A", **wrong}
    with pytest.raises(ClientError) as caught:
        lab.client("route53").test_dns_answer(**whole)
    assert caught.value.response["Error"].get("Code") == code


def test_an_upsert_is_answered_when_the_call_returns(lab: ControlLab, zone: str) -> None:
    for number in range(1, 9):
        change(lab, zone, record("moving", f"192.0.2.{number}"), action="UPSERT")
        assert asked(lab, f"moving.{ZONE}") == ("NOERROR", [f"192.0.2.{number}"])
    change(lab, zone, record("moving", "192.0.2.8"), action="DELETE")
    assert asked(lab, f"moving.{ZONE}") == ("NXDOMAIN", [])


def test_a_deleted_names_empty_ancestors_are_gone_too(lab: ControlLab, zone: str) -> None:
    deep = record("leaf.branch.tree")
    change(lab, zone, deep)
    assert asked(lab, f"branch.tree.{ZONE}") == ("NOERROR", [])
    change(lab, zone, deep, action="DELETE")
    assert asked(lab, f"branch.tree.{ZONE}") == ("NXDOMAIN", [])


def test_a_traffic_policy_is_answered_and_updated(lab: ControlLab, zone: str) -> None:
    client = lab.client("route53")

    def document(europe: str, default: str) -> str:
        locations = [
            {"Continent": "EU", "RuleReference": "inner", "EvaluateTargetHealth": "true"},
            {"IsDefault": "true", "EndpointReference": "default"},
        ]
        inner = {"RuleType": "weighted", "Items": [{"Weight": "3", "EndpointReference": "europe"}]}
        whole = {
            "AWSPolicyFormatVersion": "2015-10-01",
            "RecordType": "A",
            "StartRule": "root",
            "Endpoints": {
                "europe": {"Type": "value", "Value": europe},
                "default": {"Type": "value", "Value": default},
            },
            "Rules": {"root": {"RuleType": "geo", "Locations": locations}, "inner": inner},
        }
        return json.dumps(whole)

    policy = client.create_traffic_policy(Name="p", Document=document("192.0.2.1", "192.0.2.2"))["TrafficPolicy"]["Id"]
    name, subnets = f"policy.{ZONE}", {place.country: place.subnet for place in places()}
    instance = client.create_traffic_policy_instance(
        HostedZoneId=zone, Name=name, TTL=20, TrafficPolicyId=policy, TrafficPolicyVersion=1
    )["TrafficPolicyInstance"]["Id"]
    assert asked(lab, name, subnet=subnets["IE"])[1] == ["192.0.2.1"]
    assert asked(lab, name, subnet=subnets["JP"])[1] == ["192.0.2.2"]
    client.create_traffic_policy_version(Id=policy, Document=document("192.0.2.3", "192.0.2.4"))
    client.update_traffic_policy_instance(Id=instance, TTL=20, TrafficPolicyId=policy, TrafficPolicyVersion=2)
    assert asked(lab, name, subnet=subnets["IE"])[1] == ["192.0.2.3"]
    client.delete_traffic_policy_instance(Id=instance)
    assert asked(lab, name, subnet=subnets["IE"])[0] == "NXDOMAIN"


def test_the_status_of_a_health_check_is_what_its_checkers_found(lab: ControlLab) -> None:
    client = lab.client("route53")
    with socket.socket() as listening, socket.socket() as closed:
        for sock in (listening, closed):
            sock.bind(("127.0.0.1", 0))
        listening.listen()
        ids = [
            client.create_health_check(
                CallerReference=f"seen {sock.getsockname()[1]}",
                HealthCheckConfig={
                    "Type": "TCP",
                    "IPAddress": "127.0.0.1",
                    "Port": sock.getsockname()[1],
                    "RequestInterval": 10,
                },
            )["HealthCheck"]["Id"]
            for sock in (listening, closed)
        ]

        def observations(call: Any, check: str) -> list[dict[str, Any]]:
            found: list[dict[str, Any]] = call(HealthCheckId=check)["HealthCheckObservations"]
            return found

        for check, word in zip(ids, ("Success", "Failure"), strict=True):
            seen = eventually(
                lambda check=check: observations(client.get_health_check_status, check), "a checker has looked"
            )
            assert all(one["StatusReport"]["Status"].startswith(word) for one in seen)
        failed = observations(client.get_health_check_last_failure_reason, ids[1])
        assert failed and all("refused" in one["StatusReport"]["Status"] for one in failed)
        assert observations(client.get_health_check_last_failure_reason, ids[0]) == []
        for check in ids:
            client.delete_health_check(HealthCheckId=check)


def test_a_routing_control_moves_the_answer(lab: ControlLab, zone: str) -> None:
    config, switch = lab.client("route53-recovery-control-config"), lab.client("route53-recovery-cluster")
    client = lab.client("route53")
    cluster = config.create_cluster(ClusterName="cells")["Cluster"]["ClusterArn"]
    arn = config.create_routing_control(ClusterArn=cluster, RoutingControlName="primary")["RoutingControl"][
        "RoutingControlArn"
    ]
    check = client.create_health_check(
        CallerReference="cells", HealthCheckConfig={"Type": "RECOVERY_CONTROL", "RoutingControlArn": arn}
    )["HealthCheck"]["Id"]
    change(
        lab,
        zone,
        record("cell", "192.0.2.1", SetIdentifier="p", Failover="PRIMARY", HealthCheckId=check),
        record("cell", "192.0.2.2", SetIdentifier="s", Failover="SECONDARY"),
    )
    for state, value in (("On", "192.0.2.1"), ("Off", "192.0.2.2"), ("On", "192.0.2.1")):
        switch.update_routing_control_state(RoutingControlArn=arn, RoutingControlState=state)
        eventually(lambda value=value: asked(lab, f"cell.{ZONE}")[1] == [value], f"the answer {value}")


def checkers_of(lab: ControlLab, check: str) -> list[dict[str, Any]]:
    """A health check's checkers that have looked, as the edge itself tells of them."""
    told = lab.told_by("edge", f"/status/health-checks/{check}")
    return [checker for checker in told[check]["checkers"] if checker["checked_ms"] is not None]


def test_answers_and_probes_go_on_without_control_and_after_the_edge_was_killed(lab: ControlLab, zone: str) -> None:
    change(lab, zone, record("late", "192.0.2.77"))
    client = lab.client("route53")
    config = {"Type": "TCP", "IPAddress": lab.topology.dns_address, "Port": 1, "RequestInterval": 10}
    check = client.create_health_check(CallerReference="late", HealthCheckConfig=config)["HealthCheck"]["Id"]
    lab.process.kill()
    lab.kill_engine("edge")
    lab.start_edge()
    try:
        assert asked(lab, f"late.{ZONE}") == ("NOERROR", ["192.0.2.77"])
        assert asked(lab, f"geo.{ZONE}", subnet=places()[0].subnet)[0] == "NOERROR"
        seen = eventually(lambda: checkers_of(lab, check), "a checker has looked")
        assert all("refused" in checker["reason"] for checker in seen)
    finally:
        lab.kill_and_restart()
