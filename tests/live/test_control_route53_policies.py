"""Traffic policies and their instances, through boto3 and a real control process."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from typing import Any

import pytest
from botocore.exceptions import ConnectionClosedError, EndpointConnectionError
from control_process import ControlLab, lab_fixture, refusal
from waiting import eventually

from lab.core.zone import RecordSet


@pytest.fixture(scope="module")
def lab() -> Iterator[ControlLab]:
    yield from lab_fixture()


@pytest.fixture
def zone(lab: ControlLab, request: pytest.FixtureRequest) -> Iterator[tuple[str, str]]:
    """A fresh zone: id and name. What is left of policies goes afterwards."""
    client = lab.client("route53")
    name = f"{request.node.name.replace('_', '-')[-40:].strip('-')}.lab.test"
    made = client.create_hosted_zone(Name=name, CallerReference=request.node.name)
    yield made["HostedZone"]["Id"].removeprefix("/hostedzone/"), name
    for instance in client.list_traffic_policy_instances()["TrafficPolicyInstances"]:
        client.delete_traffic_policy_instance(Id=instance["Id"])
    for policy in client.list_traffic_policies()["TrafficPolicySummaries"]:
        for version in client.list_traffic_policy_versions(Id=policy["Id"])["TrafficPolicies"]:
            client.delete_traffic_policy(Id=policy["Id"], Version=version["Version"])


def weighted(*addresses: str, record_type: str = "A") -> str:
    endpoints = {f"e{n}": {"Type": "value", "Value": address} for n, address in enumerate(addresses)}
    items = [{"Weight": "1", "EndpointReference": name} for name in endpoints]
    rules = {"root": {"RuleType": "weighted", "Items": items}}
    return json.dumps(
        {
            "AWSPolicyFormatVersion": "2015-10-01",
            "RecordType": record_type,
            "StartRule": "root",
            "Endpoints": endpoints,
            "Rules": rules,
        }
    )


def nested(first: str, second: str) -> str:
    inner = {"RuleType": "weighted", "Items": [{"Weight": 1, "EndpointReference": "a"}]}
    outer = {
        "RuleType": "failover",
        "Primary": {"RuleReference": "inner", "EvaluateTargetHealth": True},
        "Secondary": {"EndpointReference": "b"},
    }
    return json.dumps(
        {
            "AWSPolicyFormatVersion": "2023-05-09",
            "RecordType": "A",
            "StartRule": "outer",
            "Endpoints": {"a": {"Type": "value", "Value": first}, "b": {"Type": "value", "Value": second}},
            "Rules": {"inner": inner, "outer": outer},
        }
    )


def published(lab: ControlLab, zone_id: str) -> list[RecordSet]:
    (found,) = (z for z in lab.edge.document("zones").zones if z.zone_id == zone_id)
    return [record for record in found.record_sets if record.traffic_policy_instance_id is not None]


def make_policy(lab: ControlLab, name: str, document: str) -> str:
    made = lab.client("route53").create_traffic_policy(Name=name, Document=document)["TrafficPolicy"]
    policy_id: str = made["Id"]
    return policy_id


def make_instance(lab: ControlLab, zone_id: str, name: str, policy_id: str, version: int = 1) -> dict[str, Any]:
    made = lab.client("route53").create_traffic_policy_instance(
        HostedZoneId=zone_id, Name=name, TTL=30, TrafficPolicyId=policy_id, TrafficPolicyVersion=version
    )
    instance: dict[str, Any] = made["TrafficPolicyInstance"]
    return instance


def test_a_policy_has_versions_comments_and_a_summary(lab: ControlLab, zone: tuple[str, str]) -> None:
    client, document = lab.client("route53"), weighted("192.0.2.1")
    made = client.create_traffic_policy(Name="p", Document=document, Comment="first")
    policy = made["TrafficPolicy"]
    assert (policy["Version"], policy["Type"], policy["Comment"]) == (1, "A", "first")
    assert made["Location"].endswith(f"/trafficpolicy/{policy['Id']}/1")
    second = client.create_traffic_policy_version(Id=policy["Id"], Document=weighted("192.0.2.2"))["TrafficPolicy"]
    assert second["Version"] == 2
    updated = client.update_traffic_policy_comment(Id=policy["Id"], Version=2, Comment="second")["TrafficPolicy"]
    assert updated["Comment"] == "second"
    (summary,) = client.list_traffic_policies()["TrafficPolicySummaries"]
    assert (summary["LatestVersion"], summary["TrafficPolicyCount"], summary["Name"]) == (2, 2, "p")
    pages = [client.list_traffic_policy_versions(Id=policy["Id"], MaxItems="1")]
    marker = pages[0]["TrafficPolicyVersionMarker"]
    pages.append(client.list_traffic_policy_versions(Id=policy["Id"], TrafficPolicyVersionMarker=marker))
    assert [p["Version"] for page in pages for p in page["TrafficPolicies"]] == [1, 2]
    assert client.get_traffic_policy(Id=policy["Id"], Version=1)["TrafficPolicy"]["Document"] == document


def test_a_deleted_policy_is_not_listed_but_can_be_read(lab: ControlLab, zone: tuple[str, str]) -> None:
    client = lab.client("route53")
    policy_id = make_policy(lab, "gone", weighted("192.0.2.1"))
    client.delete_traffic_policy(Id=policy_id, Version=1)
    assert client.list_traffic_policies()["TrafficPolicySummaries"] == []
    assert client.get_traffic_policy(Id=policy_id, Version=1)["TrafficPolicy"]["Name"] == "gone"
    make_policy(lab, "gone", weighted("192.0.2.1"))


def test_what_is_wrong_with_policies_has_awss_names(lab: ControlLab, zone: tuple[str, str]) -> None:
    client, document = lab.client("route53"), weighted("192.0.2.1")
    policy_id = make_policy(lab, "taken", document)
    wrong = refusal(client.create_traffic_policy, Name="w", Document='{"RecordType": "A"}')
    assert wrong == ("InvalidTrafficPolicyDocument", 400, "expected exactly one of StartEndpoint and StartRule")
    assert refusal(client.create_traffic_policy, Name="w", Document="no")[:2] == ("InvalidTrafficPolicyDocument", 400)
    assert refusal(client.create_traffic_policy, Name="taken", Document=document)[:2] == (
        "TrafficPolicyAlreadyExists",
        409,
    )
    assert refusal(client.get_traffic_policy, Id=policy_id, Version=2)[:2] == ("NoSuchTrafficPolicy", 404)
    assert refusal(client.get_traffic_policy, Id="absent", Version=1)[:2] == ("NoSuchTrafficPolicy", 404)
    assert refusal(client.create_traffic_policy_version, Id="absent", Document=document)[:2] == (
        "NoSuchTrafficPolicy",
        404,
    )
    assert refusal(client.list_traffic_policies, TrafficPolicyIdMarker="absent")[:2] == ("InvalidInput", 400)
    assert refusal(client.list_traffic_policies, MaxItems="many")[:2] == ("InvalidInput", 400)


def test_an_account_has_fifty_policies(lab: ControlLab, zone: tuple[str, str]) -> None:
    client, document = lab.client("route53"), weighted("192.0.2.1")
    ids = [make_policy(lab, f"p{n}", document) for n in range(50)]
    assert refusal(client.create_traffic_policy, Name="p50", Document=document)[:2] == ("TooManyTrafficPolicies", 400)
    limit = client.get_account_limit(Type="MAX_TRAFFIC_POLICIES_BY_OWNER")
    assert (limit["Limit"]["Value"], limit["Count"]) == (50, 50)
    page = client.list_traffic_policies(MaxItems="30")
    rest = client.list_traffic_policies(TrafficPolicyIdMarker=page["TrafficPolicyIdMarker"])
    assert page["IsTruncated"] and not rest["IsTruncated"]
    assert [p["Id"] for p in (*page["TrafficPolicySummaries"], *rest["TrafficPolicySummaries"])] == ids


def test_an_instance_makes_records_that_are_listed_and_published(lab: ControlLab, zone: tuple[str, str]) -> None:
    client, (zone_id, name) = lab.client("route53"), zone
    made = make_instance(lab, zone_id, f"www.{name}", make_policy(lab, "tree", nested("192.0.2.1", "192.0.2.2")))
    assert client.get_traffic_policy_instance(Id=made["Id"])["TrafficPolicyInstance"]["State"] == "Applied"
    records = published(lab, zone_id)
    root = [record for record in records if record.name == f"www.{name}."]
    assert {(record.failover, record.alias is None) for record in root} == {("PRIMARY", False), ("SECONDARY", True)}
    (inner,) = (record for record in records if record not in root)
    assert (inner.values, inner.ttl, inner.weight) == (("192.0.2.1",), 30, 1)
    listed = client.list_resource_record_sets(HostedZoneId=zone_id)["ResourceRecordSets"]
    assert sum(record.get("TrafficPolicyInstanceId") == made["Id"] for record in listed) == 3
    assert client.get_traffic_policy_instance_count()["TrafficPolicyInstanceCount"] == 1
    assert refusal(client.delete_hosted_zone, Id=zone_id)[0] == "HostedZoneNotEmpty"
    client.delete_traffic_policy_instance(Id=made["Id"])
    assert published(lab, zone_id) == []
    assert refusal(client.get_traffic_policy_instance, Id=made["Id"])[:2] == ("NoSuchTrafficPolicyInstance", 404)


def test_an_update_makes_the_new_tree_switches_the_root_and_deletes_the_old(
    lab: ControlLab, zone: tuple[str, str]
) -> None:
    client, (zone_id, name) = lab.client("route53"), zone
    policy_id = make_policy(lab, "tree", nested("192.0.2.1", "192.0.2.2"))
    made = make_instance(lab, zone_id, f"www.{name}", policy_id)
    client.create_traffic_policy_version(Id=policy_id, Document=nested("192.0.2.3", "192.0.2.4"))
    before = {record.name for record in published(lab, zone_id)}
    lab.edge.asked.clear()
    updated = client.update_traffic_policy_instance(
        Id=made["Id"], TTL=20, TrafficPolicyId=policy_id, TrafficPolicyVersion=2
    )["TrafficPolicyInstance"]
    assert (updated["TTL"], updated["TrafficPolicyVersion"]) == (20, 2)
    assert [asked for asked in lab.edge.asked if asked[1] == "/documents/zones"] == [("PATCH", "/documents/zones")] * 3
    after = published(lab, zone_id)
    assert {value for record in after for value in record.values} == {"192.0.2.3", "192.0.2.4"}
    assert {record.name for record in after} & before == {f"www.{name}."}
    assert client.get_traffic_policy_instance(Id=made["Id"])["TrafficPolicyInstance"]["State"] == "Applied"


def test_what_is_wrong_with_instances_has_awss_names(lab: ControlLab, zone: tuple[str, str]) -> None:
    client, (zone_id, name) = lab.client("route53"), zone
    policy_id = make_policy(lab, "p", weighted("192.0.2.1"))
    made = make_instance(lab, zone_id, f"www.{name}", policy_id)
    whole = {"HostedZoneId": zone_id, "Name": f"www.{name}", "TTL": 30, "TrafficPolicyId": policy_id}
    create = client.create_traffic_policy_instance
    assert refusal(create, **whole, TrafficPolicyVersion=1)[:2] == ("TrafficPolicyInstanceAlreadyExists", 409)
    assert refusal(create, **whole, TrafficPolicyVersion=2)[:2] == ("NoSuchTrafficPolicy", 404)
    assert refusal(create, **{**whole, "HostedZoneId": "ZABSENT"}, TrafficPolicyVersion=1)[:2] == (
        "NoSuchHostedZone",
        404,
    )
    outside = {**whole, "Name": "www.elsewhere.test"}
    assert refusal(create, **outside, TrafficPolicyVersion=1)[:2] == ("InvalidInput", 400)
    assert refusal(client.delete_traffic_policy, Id=policy_id, Version=1)[:2] == ("TrafficPolicyInUse", 400)
    other = make_policy(lab, "other", weighted("2001:db8::1", record_type="AAAA"))
    update = {"Id": made["Id"], "TTL": 30, "TrafficPolicyId": other, "TrafficPolicyVersion": 1}
    assert refusal(client.update_traffic_policy_instance, **update)[:2] == ("ConflictingTypes", 400)
    absent = weighted("192.0.2.1").replace('"Weight": "1"', '"Weight": "1", "HealthCheck": "absent"')
    third = make_policy(lab, "third", absent)
    code, _, message = refusal(
        create, **{**whole, "Name": f"x.{name}", "TrafficPolicyId": third}, TrafficPolicyVersion=1
    )
    assert code == "InvalidInput" and "health check" in message
    for number in range(4):
        make_instance(lab, zone_id, f"n{number}.{name}", policy_id)
    full = {**whole, "Name": f"n5.{name}"}
    assert refusal(create, **full, TrafficPolicyVersion=1)[:2] == ("TooManyTrafficPolicyInstances", 400)


def test_instances_are_listed_by_zone_and_by_policy_in_pages(lab: ControlLab, zone: tuple[str, str]) -> None:
    client, (zone_id, name) = lab.client("route53"), zone
    policy_id = make_policy(lab, "p", weighted("192.0.2.1"))
    wanted = [f"{label}.{name}." for label in ("a", "b", "c")]
    for full in wanted:
        make_instance(lab, zone_id, full, policy_id)

    def names(listing: Any, *markers: str, **parameters: Any) -> list[str]:
        found, following = [], {}
        while True:
            page = listing(MaxItems="2", **parameters, **following)
            found += [instance["Name"] for instance in page["TrafficPolicyInstances"]]
            if not page["IsTruncated"]:
                return found
            following = {marker: page[marker] for marker in markers}

    markers = ("TrafficPolicyInstanceNameMarker", "TrafficPolicyInstanceTypeMarker")
    assert names(client.list_traffic_policy_instances, "HostedZoneIdMarker", *markers) == wanted
    assert names(client.list_traffic_policy_instances_by_hosted_zone, *markers, HostedZoneId=zone_id) == wanted
    by_policy = {"TrafficPolicyId": policy_id, "TrafficPolicyVersion": 1}
    listing = client.list_traffic_policy_instances_by_policy
    assert names(listing, "HostedZoneIdMarker", *markers, **by_policy) == wanted
    assert refusal(listing, TrafficPolicyId="absent", TrafficPolicyVersion=1)[:2] == ("NoSuchTrafficPolicy", 404)


def test_policies_and_instances_are_back_after_control_was_killed(lab: ControlLab, zone: tuple[str, str]) -> None:
    client, (zone_id, name) = lab.client("route53"), zone
    made = make_instance(lab, zone_id, f"www.{name}", make_policy(lab, "tree", nested("192.0.2.1", "192.0.2.2")))
    lab.kill_and_restart()
    assert client.get_traffic_policy_instance(Id=made["Id"])["TrafficPolicyInstance"]["Name"] == f"www.{name}."
    listed = client.list_resource_record_sets(HostedZoneId=zone_id)["ResourceRecordSets"]
    assert sum(record.get("TrafficPolicyInstanceId") == made["Id"] for record in listed) == 3


def test_an_update_that_control_died_in_is_completed_when_it_is_back(lab: ControlLab, zone: tuple[str, str]) -> None:
    client, (zone_id, name) = lab.client("route53"), zone
    policy_id = make_policy(lab, "tree", nested("192.0.2.1", "192.0.2.2"))
    made = make_instance(lab, zone_id, f"www.{name}", policy_id)
    client.create_traffic_policy_version(Id=policy_id, Document=nested("192.0.2.3", "192.0.2.4"))
    update = {"Id": made["Id"], "TTL": 20, "TrafficPolicyId": policy_id, "TrafficPolicyVersion": 2}
    lab.edge.hanging = True  # so that the first step is not published and the second one waits
    failures: list[Exception] = []

    def call() -> None:
        try:
            client.update_traffic_policy_instance(**update)
        except (EndpointConnectionError, ConnectionClosedError) as error:
            failures.append(error)

    caller = threading.Thread(target=call)
    caller.start()
    records = lab.state / "control" / "route53.json"
    eventually(lambda: b'"updating":true' in records.read_bytes(), "the first step")
    lab.process.kill()
    caller.join()
    lab.edge.hanging = False
    lab.kill_and_restart()
    assert failures
    found = client.get_traffic_policy_instance(Id=made["Id"])["TrafficPolicyInstance"]
    assert (found["TrafficPolicyVersion"], found["TTL"]) == (2, 20)
    wanted = {"192.0.2.3", "192.0.2.4"}
    eventually(lambda: {value for r in published(lab, zone_id) for value in r.values} == wanted, "the new tree alone")
