"""Traffic policy documents: every rule type, both versions, the records that they become, and what is refused."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from typing import Any

import pytest
from route53_world import World

from lab.control.aws_error import AwsError
from lab.control.route53.change_batch import RecordChange, changed
from lab.control.route53.policy_endpoints import alias_target
from lab.core.endpoint_name import EndpointNames
from lab.core.route53.catalog import apex_records
from lab.core.traffic_policy import PolicyEndpoint, TrafficPolicyError, parse_policy
from lab.core.traffic_policy_records import PolicyInstance, policy_records
from lab.core.zone import AliasTarget, GeoLocation, HostedZone, RecordSet

INSTANCE = PolicyInstance("12345678-aaaa", "Z1", "www.lab.test.", 60, 1)


def document(start: str, rules: dict[str, Any], *, version: str = "2015-10-01", **endpoints: Any) -> str:
    full = {
        key: {"Type": "value", "Value": value} if isinstance(value, str) else value for key, value in endpoints.items()
    }
    return json.dumps(
        {
            "AWSPolicyFormatVersion": version,
            "RecordType": "A",
            "StartRule": start,
            "Endpoints": full,
            "Rules": rules,
        }
    )


def records(text: str) -> tuple[RecordSet, ...]:
    return policy_records(parse_policy(text), INSTANCE, lambda endpoint: None)


def to(endpoint: str | None = None, rule: str | None = None, **more: Any) -> dict[str, Any]:
    reference = {"EndpointReference": endpoint} if endpoint else {"RuleReference": rule}
    return {**reference, **more}


# The shape of AWS's combined example: geolocation, then latency, then failover in each region.
COMBINED = document(
    "geo",
    {
        "geo": {
            "RuleType": "geo",
            "Locations": [
                to("deny", IsDefault="true"),
                to(rule="latency", Country="US", EvaluateTargetHealth="true"),
            ],
        },
        "latency": {
            "RuleType": "latency",
            "Regions": [
                to(rule="east", Region="us-east-1", EvaluateTargetHealth=True),
                to(rule="west", Region="us-west-2", EvaluateTargetHealth="true"),
            ],
        },
        "east": {
            "RuleType": "failover",
            "Primary": to("e1", HealthCheck="he1"),
            "Secondary": to("e2", HealthCheck="he2"),
        },
        "west": {
            "RuleType": "failover",
            "Primary": to("w1", HealthCheck="hw1"),
            "Secondary": to("w2", HealthCheck="hw2"),
        },
    },
    deny="192.0.2.9",
    e1="192.0.2.1",
    e2="192.0.2.2",
    w1="192.0.2.3",
    w2="192.0.2.4",
)


def test_the_combined_example_is_answered_as_its_tree_says() -> None:
    world = World(*records(COMBINED))
    assert world.answers("www", client="dublin") == {"192.0.2.9": 1.0}
    assert world.answers("www", client="newyork") == {"192.0.2.1": 1.0}
    assert world.answers("www", client="seattle") == {"192.0.2.3": 1.0}
    world.down = {"he1"}
    assert world.answers("www", client="newyork") == {"192.0.2.2": 1.0}
    world.down = {"he1", "he2"}
    assert world.answers("www", client="newyork") == {"192.0.2.3": 1.0}
    world.down = {"he1", "he2", "hw1", "hw2"}
    assert world.answers("www", client="newyork") == {"192.0.2.9": 1.0}  # the default location is the healthy one


def test_only_the_root_has_the_instances_name_and_all_know_the_instance() -> None:
    found = records(COMBINED)
    assert [record.geo_location for record in found if record.name == "www.lab.test."] == [
        GeoLocation(country_code="*"),
        GeoLocation(country_code="US"),
    ]
    assert {record.traffic_policy_instance_id for record in found} == {INSTANCE.instance_id}
    assert len({(record.name, record.set_identifier) for record in found}) == len(found) == 8


def test_the_records_of_two_versions_share_only_the_root() -> None:
    policy = parse_policy(COMBINED)
    later = PolicyInstance(INSTANCE.instance_id, "Z1", "www.lab.test.", 60, 2)
    first, second = ({r.name for r in policy_records(policy, i, lambda e: None)} for i in (INSTANCE, later))
    assert first & second == {"www.lab.test."}


def test_weights_may_be_text_or_numbers() -> None:
    rule = {"RuleType": "weighted", "Items": [to("a", Weight="1"), to("b", Weight=3)]}
    assert World(*records(document("w", {"w": rule}, a="a", b="b"))).answers("www") == {"a": 0.25, "b": 0.75}


def test_multivalue_items_are_answered_together() -> None:
    rule = {"RuleType": "multivalue", "Items": [to("a", HealthCheck="ha"), to("b", HealthCheck="hb")]}
    world = World(*records(document("m", {"m": rule}, a="192.0.2.1", b="192.0.2.2")))
    assert world.answers("www") == {"192.0.2.1 192.0.2.2": 1.0}
    world.down = {"ha"}
    assert world.answers("www") == {"192.0.2.2": 1.0}


@pytest.mark.parametrize(
    ("version", "east", "cape"),
    [
        ("2015-10-01", {"Region": "aws:route53:us-east-1"}, {"Latitude": "-33.9", "Longitude": "18.42"}),
        (
            "2023-05-09",
            {"Location": {"Type": "LocalZone", "LocationName": "aws:route53:us-east-1-bos-1"}},
            {"Location": {"Type": "Coordinate", "Latitude": -33.9, "Longitude": 18.42}},
        ),
    ],
)
def test_geoproximity_in_both_versions(version: str, east: dict[str, Any], cape: dict[str, Any]) -> None:
    rule = {"RuleType": "geoproximity", "GeoproximityLocations": [to("a", Bias="10", **east), to("b", **cape)]}
    world = World(*records(document("g", {"g": rule}, version=version, a="a", b="b")))
    assert world.answers("www", client="newyork") == {"a": 1.0}
    assert world.answers("www", client="capetown") == {"b": 1.0}


def test_a_policy_may_be_one_endpoint() -> None:
    text = json.dumps({"RecordType": "A", "StartEndpoint": "a", "Endpoints": {"a": {"Value": "192.0.2.1"}}})
    (record,) = records(text)
    assert (record.name, record.values, record.ttl, record.set_identifier) == (
        "www.lab.test.",
        ("192.0.2.1",),
        60,
        None,
    )


def test_an_endpoint_that_is_a_load_balancer_becomes_an_alias() -> None:
    balancer = {"Type": "application-load-balancer", "Value": "lb.us-east-1.elb.amazonaws.com"}
    rule = {"RuleType": "failover", "Primary": to("lb", EvaluateTargetHealth=True), "Secondary": to("b")}
    policy = parse_policy(document("f", {"f": rule}, lb=balancer, b="192.0.2.1"))

    def alias(endpoint: PolicyEndpoint) -> AliasTarget | None:
        return AliasTarget("ZLB", endpoint.value + ".", False) if endpoint.type != "value" else None

    primary, _ = policy_records(policy, INSTANCE, alias)
    assert primary.alias == AliasTarget("ZLB", "lb.us-east-1.elb.amazonaws.com.", True)
    with pytest.raises(TrafficPolicyError, match="no application-load-balancer"):
        policy_records(policy, INSTANCE, lambda endpoint: None)


WEIGHTED = {"RuleType": "weighted", "Items": [to("a", Weight=1)]}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "not JSON"),
        ("[]", "expected an object"),
        (json.dumps({"RecordType": "A"}), "exactly one of StartEndpoint and StartRule"),
        (json.dumps({"RecordType": "SOA", "StartRule": "x"}), "RecordType"),
        (json.dumps({"AWSPolicyFormatVersion": "2099-01-01", "RecordType": "A"}), "2023-05-09"),
        (document("gone", {}), "no rule 'gone'"),
        (document("w", {"w": WEIGHTED}), "no endpoint 'a'"),
        (document("w", {"w": {"RuleType": "weighted", "Items": [to("a", Weight=256)]}}, a="a"), "from 0 to 255"),
        (document("w", {"w": {"RuleType": "weighted", "Items": []}}, a="a"), "at least one"),
        (document("w", {"w": {"RuleType": "odd"}}), "expected one of failover, geo"),
        (document("w", {"w": {"RuleType": "weighted", "Items": [{"Weight": 1}]}}), "EndpointReference and"),
        (document("m", {"m": {"RuleType": "multivalue", "Items": [to(rule="m")]}}), "endpoints only"),
        (
            document("w", {"w": {"RuleType": "weighted", "Items": [to(rule="w", Weight=1)]}}),
            "leads back to itself",
        ),
        (
            document("g", {"g": {"RuleType": "geo", "Locations": [to("a", Continent="EU", Country="FR")]}}, a="a"),
            "expected IsDefault",
        ),
        (
            document(
                "g",
                {
                    "g": {
                        "RuleType": "geoproximity",
                        "GeoproximityLocations": [to("a", Latitude="1.234", Longitude="0")],
                    }
                },
                a="a",
            ),
            "two decimals",
        ),
        (
            document("0", {str(n): {**WEIGHTED, "Items": [to(rule=str(n + 1), Weight=1)]} for n in range(900)}),
            "nested more than 50 deep",
        ),
        (document("w", {"w": WEIGHTED}, a={"Type": "lambda", "Value": "x"}), "expected one of value"),
        (document("w", {"w": WEIGHTED}, a={"Type": "s3-website"}), "needs its Region"),
    ],
)
def test_a_wrong_document_is_refused_with_where_and_why(text: str, message: str) -> None:
    with pytest.raises(TrafficPolicyError, match=message):
        parse_policy(text)


def test_a_document_of_more_than_102_400_characters_is_refused() -> None:
    whole = COMBINED + " " * (102_400 - len(COMBINED))
    assert parse_policy(whole) == parse_policy(COMBINED)
    with pytest.raises(TrafficPolicyError, match="longer than 102400 characters"):
        parse_policy(whole + " ")


def test_a_star_for_a_country_is_the_default() -> None:
    for default in (
        {"IsDefault": True},
        {"IsDefault": "true"},
        {"Country": "*"},
        {"Country": "*", "IsDefault": "true"},
    ):
        rule = {"RuleType": "geo", "Locations": [to("a", **default)]}
        (found,) = records(document("g", {"g": rule}, a="192.0.2.1"))
        assert found.geo_location == GeoLocation(country_code="*")


@pytest.mark.parametrize(
    ("kind", "name", "zone_id"),
    [
        ("cloudfront", "d1.cloudfront.net", "Z2FDTNDATAQYW2"),
        ("application-load-balancer", "lb-1.us-east-1.elb.amazonaws.com", "Z35SXDOTRQ7X7K"),
        ("elastic-load-balancer", "dualstack.lb-1.us-east-1.elb.amazonaws.com", "Z35SXDOTRQ7X7K"),
        ("network-load-balancer", "lb-1.elb.us-east-1.amazonaws.com", None),
        ("elastic-beanstalk", "app.us-east-1.elasticbeanstalk.com", None),
    ],
)
def test_every_type_of_endpoint_becomes_an_alias_to_its_name(kind: str, name: str, zone_id: str | None) -> None:
    target = alias_target(PolicyEndpoint(kind, name), EndpointNames(()))
    assert target is not None and target.dns_name == f"{name}."
    assert zone_id in (None, target.hosted_zone_id)
    assert kind == "cloudfront" or alias_target(PolicyEndpoint(kind, "nowhere.test"), EndpointNames(())) is None


def test_an_s3_website_is_an_alias_to_its_regions_endpoint() -> None:
    target = alias_target(PolicyEndpoint("s3-website", "", "us-east-1"), EndpointNames(()))
    assert target == AliasTarget("Z3AQBSTGFYJSTF", "s3-website-us-east-1.amazonaws.com.", False)


@pytest.mark.parametrize("document", ["[" * 50_000, '{"a":' * 20_000])
def test_a_document_that_is_nested_too_deeply_is_refused(document: str) -> None:
    with pytest.raises(TrafficPolicyError, match="nested too deeply"):
        parse_policy(document)


def variants(value: Any) -> Iterator[Any]:
    """A JSON value with each of its parts, in turn, replaced by one of another kind."""
    yield from ([], {}, [5], 5, -1.5, True, None, "", "x", "*")
    parts = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, part in list(parts):
        for other in variants(part):
            copy = value.copy()
            copy[key] = other
            yield copy


NEAR = document(
    "g",
    {
        "g": {
            "RuleType": "geoproximity",
            "GeoproximityLocations": [
                to("a", Bias="10", Location={"Type": "Region", "LocationName": "aws:route53:us-east-1"}),
                to("b", Location={"Type": "Coordinate", "Latitude": "1.5", "Longitude": "2"}),
            ],
        }
    },
    version="2023-05-09",
    a={"Type": "s3-website", "Region": "us-east-1"},
    b="192.0.2.1",
)


@pytest.mark.parametrize("text", [COMBINED, NEAR])
def test_a_document_with_any_part_of_another_kind_makes_records_or_is_refused(text: str) -> None:
    zone = HostedZone("Z1", "lab.test.", apex_records("Z1", "lab.test."))
    made = 0
    for data in variants(json.loads(text)):
        try:
            found = policy_records(
                parse_policy(json.dumps(data)),
                INSTANCE,
                lambda endpoint: AliasTarget("ZS3", f"{endpoint.region}.amazonaws.com.", False),
            )
        except TrafficPolicyError:
            continue
        with contextlib.suppress(AwsError):
            changed(zone, [RecordChange("CREATE", record) for record in found], ["he1", "he2", "hw1", "hw2"])
            made += 1
    assert made


@pytest.mark.parametrize("text", [r"\u0000", r"\u001f", r"\ud800", r"\udc00\ud800", r"\uffff"])
def test_characters_that_no_record_and_no_listing_can_carry_are_refused(text: str) -> None:
    for document in (COMBINED.replace('"192.0.2.9"', f'"{text}"'), COMBINED.replace('"geo":', f'"geo{text}":')):
        with pytest.raises(TrafficPolicyError, match="character"):
            parse_policy(document)
    parse_policy(COMBINED.replace('"192.0.2.9"', r'"\ud83d\ude00\t\n"'))


def test_rules_with_long_names_have_records_of_their_own() -> None:
    rule = {"RuleType": "weighted", "Items": [to("a", Weight=1), to("a", Weight=2)]}
    found = records(document("r" * 300, {"r" * 300: rule}, a="a"))
    assert len({record.set_identifier for record in found}) == 2
    assert all(len(record.set_identifier or "") <= 128 for record in found)
