"""What a batch of Route 53 changes makes of a zone; no I/O."""

from __future__ import annotations

from dataclasses import replace
from typing import Literal

import pytest

from lab.control.aws_error import AwsError
from lab.control.route53.change_batch import RecordChange, changed
from lab.core.route53.catalog import apex_records
from lab.core.zone import (
    AliasTarget,
    CidrCollection,
    CidrLocation,
    CidrRouting,
    GeoLocation,
    GeoProximityLocation,
    HostedZone,
    RecordSet,
    Zones,
)
from lab.core.zone_change import ZonesChange, changed_zones

ZONE = HostedZone("Z1", "example.com.", apex_records("Z1", "example.com."))
COLLECTIONS = (
    CidrCollection("collection", "offices", (CidrLocation("berlin", ("198.51.100.0/24",)),)),
    CidrCollection("other", "homes"),
)
HERE = AliasTarget("Z1", "example.com.", False)
MANY = tuple(f"192.0.{n // 250}.{n % 250}" for n in range(401))
WWW = RecordSet("www.example.com.", "A", 60, ("192.0.2.1",))

Action = Literal["CREATE", "DELETE", "UPSERT"]


def after(*changes: tuple[Action, RecordSet], zone: HostedZone = ZONE) -> HostedZone:
    batch = [RecordChange(action, record) for action, record in changes]
    splices = changed(zone, batch, {"check"}, COLLECTIONS)
    return changed_zones(Zones((zone,)), ZonesChange(splices)).zones[0]


def messages(*changes: tuple[Action, RecordSet], zone: HostedZone = ZONE) -> str:
    with pytest.raises(AwsError) as caught:
        after(*changes, zone=zone)
    assert caught.value.code == "InvalidChangeBatch"
    return caught.value.message


def test_create_upsert_and_delete_do_what_they_say() -> None:
    zone = after(("CREATE", WWW))
    moved = replace(WWW, values=("192.0.2.2",))
    zone = after(("UPSERT", moved), zone=zone)
    assert moved in zone.record_sets and WWW not in zone.record_sets
    assert after(("DELETE", moved), zone=zone) == replace(ZONE, record_sets=zone.record_sets[:-1])


def test_a_delete_and_a_create_of_one_name_replace_it_in_one_batch() -> None:
    zone = after(("CREATE", WWW))
    cname = RecordSet("www.example.com.", "CNAME", 60, ("elsewhere.example.",))
    assert cname in after(("DELETE", WWW), ("CREATE", cname), zone=zone).record_sets


def test_all_reasons_are_told_at_once() -> None:
    text = messages(("DELETE", WWW), ("CREATE", replace(WWW, name="www.other.org.")))
    assert text == (
        "[Tried to delete resource record set [name='www.example.com.', type='A'] but it was not found, "
        "RRSet with DNS name www.other.org. is not permitted in zone example.com.]"
    )


@pytest.mark.parametrize(
    ("changes", "part"),
    [
        ((("CREATE", WWW), ("CREATE", WWW)), "but it already exists"),
        ((("CREATE", replace(WWW, name="example.com.", type="CNAME", values=("a.b.",))),), "not permitted at apex"),
        ((("CREATE", WWW), ("CREATE", replace(WWW, type="CNAME", values=("a.b.",)))), "conflicting RRSet"),
        ((("CREATE", replace(WWW, weight=1)),), "Missing field 'SetIdentifier'"),
        ((("CREATE", replace(WWW, set_identifier="a")),), "Missing field 'a routing policy'"),
        ((("CREATE", replace(WWW, set_identifier="a", weight=1, region="us-east-1")),), "found more than one"),
        ((("CREATE", replace(WWW, ttl=None)),), "but found none"),
        ((("CREATE", replace(WWW, alias=AliasTarget("Z2", "a.b.", False))),), "found more than one"),
        ((("CREATE", replace(WWW, values=("192.0.2.1", "192.0.2.1"))),), "Duplicate Resource Record"),
        ((("CREATE", replace(WWW, values=("192.0.2.1", " 192.0.2.1"))),), "Duplicate Resource Record"),
        ((("CREATE", replace(WWW, values=("1.2.3",))),), "ARRDATAIllegalIPv4Address"),
        ((("CREATE", replace(WWW, type="TXT", values=("bare words",))),), "quotation marks"),
        ((("CREATE", replace(WWW, type="MX", values=("mail.example.",))),), "MXRRDATANotValid"),
        ((("CREATE", replace(WWW, type="CNAME", values=("a.b.",), set_identifier="a", multivalue=True)),), "answer"),
        ((("UPSERT", replace(ZONE.record_sets[0], set_identifier="a", weight=1)),), "has no routing policy"),
        ((("CREATE", replace(WWW, set_identifier="a", cidr=CidrRouting("absent", "berlin"))),), "no CIDR collection"),
        ((("CREATE", replace(WWW, set_identifier="a", cidr=CidrRouting("collection", "rome"))),), "no location rome"),
        ((("CREATE", replace(WWW, set_identifier="a", geo_location=GeoLocation("EU", "DE"))),), "exactly one of"),
        ((("CREATE", replace(WWW, set_identifier="a", geo_location=GeoLocation(None, "XX"))),), "no geolocation XX"),
        ((("DELETE", ZONE.record_sets[0]),), "at least one NS record"),
        ((("CREATE", WWW), ("DELETE", WWW), ("DELETE", WWW)), "twice in one change batch"),
        ((("CREATE", replace(WWW, ttl=2**31)),), "expected 0 to 2147483647"),
        ((("CREATE", replace(WWW, values=MANY)),), "than 400 values"),
        ((("CREATE", replace(WWW, set_identifier="a", weight=1, values=("192.0.2.1", "192.0.2.2"))),), "exactly one"),
        ((("CREATE", replace(WWW, set_identifier="a", region="us-east-1", values=MANY[:2])),), "exactly one"),
        ((("CREATE", replace(WWW, set_identifier="a", multivalue=True, ttl=None, values=(), alias=HERE)),), "multi"),
        ((("CREATE", replace(WWW, type="NS", ttl=None, values=(), alias=HERE)),), "alias of type NS"),
        ((("CREATE", replace(WWW, ttl=None, values=(), alias=replace(HERE, dns_name=WWW.name))),), "target itself"),
        (
            (
                ("CREATE", replace(WWW, set_identifier="a", failover="PRIMARY")),
                ("CREATE", replace(WWW, set_identifier="b", failover="PRIMARY")),
            ),
            "another failover RRSet exists",
        ),
        (
            (
                ("CREATE", replace(WWW, set_identifier="a", geo_location=GeoLocation("EU"))),
                ("CREATE", replace(WWW, set_identifier="b", geo_location=GeoLocation("EU"))),
            ),
            "another geolocation RRSet exists",
        ),
        (
            (
                ("CREATE", replace(WWW, set_identifier="a", cidr=CidrRouting("collection", "*"))),
                ("CREATE", replace(WWW, set_identifier="b", cidr=CidrRouting("other", "*"))),
            ),
            "the same CIDR collection",
        ),
        ((("DELETE", ZONE.record_sets[1]),), "exactly one SOA record"),
        (
            (("CREATE", replace(WWW, set_identifier="a", weight=1)), ("CREATE", WWW)),
            "routing policies cannot be mixed (simple, weighted)",
        ),
        (
            (
                ("CREATE", replace(WWW, set_identifier="a", region="us-east-1")),
                ("CREATE", replace(WWW, set_identifier="b", region="us-east-1")),
            ),
            "another latency RRSet exists",
        ),
    ],
)  # fmt: skip
def test_batches_that_route_53_refuses_are_refused(changes: tuple[tuple[Action, RecordSet], ...], part: str) -> None:
    assert part in messages(*changes)


def test_a_delete_must_repeat_the_values_in_any_order() -> None:
    two = replace(WWW, values=("192.0.2.1", "192.0.2.2"))
    zone = after(("CREATE", two))
    assert "do not match the current values" in messages(("DELETE", WWW), zone=zone)
    after(("DELETE", replace(two, values=two.values[::-1])), zone=zone)


def test_an_alias_within_the_zone_needs_its_target() -> None:
    alias = RecordSet("a.example.com.", "A", alias=AliasTarget("Z1", "www.example.com.", False))
    assert "but that target was not found" in messages(("CREATE", alias))
    assert alias in after(("CREATE", alias), ("CREATE", WWW)).record_sets
    outside = replace(alias, alias=AliasTarget("Z1", "www.other.org.", False))
    assert "does not lie within the target zone" in messages(("CREATE", outside))


def test_a_failover_alias_must_evaluate_its_targets_health() -> None:
    alias = AliasTarget("ZOTHER", "x.example.", False)
    record = RecordSet("f.example.com.", "A", alias=alias, set_identifier="p", failover="PRIMARY")
    assert "must evaluate its target's health" in messages(("CREATE", record))


def test_cloudfront_evaluates_no_health_and_is_one_half_of_a_failover_at_most() -> None:
    cloudfront = AliasTarget("Z2FDTNDATAQYW2", "d1.cloudfront.net.", False)
    first = RecordSet("f.example.com.", "A", alias=cloudfront, set_identifier="p", failover="PRIMARY")
    second = replace(first, set_identifier="s", failover="SECONDARY")
    healthy = replace(first, alias=replace(cloudfront, evaluate_target_health=True))
    assert "an alias to CloudFront cannot evaluate its target's health" in messages(("CREATE", healthy))
    assert "not both failover aliases can lead to CloudFront" in messages(("CREATE", first), ("CREATE", second))
    address = RecordSet("f.example.com.", "A", 60, ("192.0.2.1",), set_identifier="s", failover="SECONDARY")
    after(("CREATE", first), ("CREATE", address))


def test_more_than_a_thousand_values_are_too_many_and_upserts_count_twice() -> None:
    records = [replace(WWW, name=f"n{n}.example.com.") for n in range(501)]
    assert len(after(*(("CREATE", record) for record in records)).record_sets) == 503
    assert "limit of 1000" in messages(*(("UPSERT", record) for record in records))


def test_values_of_more_than_32_000_characters_are_too_many_and_upserts_count_twice() -> None:
    texts = [RecordSet(f"t{n}.example.com.", "TXT", 60, (f'"{"a" * 198}"',)) for n in range(160)]
    after(*(("CREATE", record) for record in texts))
    after(*(("UPSERT", record) for record in texts[:80]))
    assert "limit of 32000 characters" in messages(*(("CREATE", record) for record in (*texts, WWW)))
    assert "limit of 32000 characters" in messages(*(("UPSERT", record) for record in texts[:81]))


def test_a_zone_has_ten_thousand_record_sets() -> None:
    zone = replace(ZONE, record_sets=tuple(replace(WWW, name=f"n{n:05d}.example.com.") for n in range(9_997)))
    zone = replace(zone, record_sets=(*ZONE.record_sets, *zone.record_sets))
    full = after(("CREATE", WWW), zone=zone)
    assert len(full.record_sets) == 10_000
    after(("DELETE", WWW), ("CREATE", replace(WWW, name="x.example.com.")), zone=full)
    with pytest.raises(AwsError, match="LimitsExceeded: a hosted zone has at most 10000"):
        after(("CREATE", replace(WWW, name="x.example.com.")), zone=full)


@pytest.mark.parametrize("policy", ["weighted", "geoproximity"])
def test_a_name_has_a_hundred_records_of_a_type_and_thirty_by_geoproximity(policy: str) -> None:
    most = {"weighted": 100, "geoproximity": 30}[policy]
    records = [
        replace(WWW, set_identifier=str(n), weight=1)
        if policy == "weighted"
        else replace(WWW, set_identifier=str(n), geoproximity=GeoProximityLocation(latitude=1.0, longitude=float(n)))
        for n in range(most + 1)
    ]
    after(*(("CREATE", record) for record in records[:most]))
    assert f"at most {most}" in messages(*(("CREATE", record) for record in records))


def test_a_text_that_is_too_long_is_told_from_one_without_quotation_marks() -> None:
    for value, name in (('"' + "a" * 256 + '"', "CharacterStringTooLong"), ("bare", "InvalidCharacterString")):
        record = RecordSet("t.example.com.", "TXT", 60, (value,))
        assert name in messages(("CREATE", record))


def test_a_region_that_route_53_does_not_know_is_refused() -> None:
    latency = RecordSet("r.example.com.", "A", 60, ("192.0.2.1",), set_identifier="a", region="mars-1")
    near = replace(latency, region=None, geoproximity=GeoProximityLocation(aws_region="mars-1"))
    for record in (latency, near):
        assert "Route 53 knows no region mars-1" in messages(("CREATE", record))
    after(("CREATE", replace(latency, region="cn-north-1")))
