"""Every routing policy, by its documented tables. Answers are exact: values with their probabilities."""

from __future__ import annotations

import ipaddress

import pytest
from route53_world import World, record

from lab.core.geography import Coordinates
from lab.core.route53.origin import Origin
from lab.core.route53.policy import biased_distance_km, tiers
from lab.core.topology import Place, RoundTrip
from lab.core.zone import CidrCollection, CidrLocation, CidrRouting, GeoLocation, GeoProximityLocation, RecordSet


def weighted(**weights: int) -> list[RecordSet]:
    return [
        record("w", name, set_identifier=name, weight=weight, health_check_id=f"check-{name}")
        for name, weight in weights.items()
    ]


# https://docs.aws.amazon.com/Route53/latest/DeveloperGuide/routing-policy-weighted.html: weights 1, 1, 0.
@pytest.mark.parametrize(
    ("statuses", "answers"),
    [
        ("UUH", {"r3": 1.0}),
        ("UUU", {"r1": 0.5, "r2": 0.5}),
        ("UHU", {"r2": 1.0}),
        ("HHU", {"r1": 0.5, "r2": 0.5}),
        ("HHH", {"r1": 0.5, "r2": 0.5}),
        ("HH-", {"r1": 0.5, "r2": 0.5}),
        ("UU-", {"r3": 1.0}),
        ("UH-", {"r2": 1.0}),
    ],
)
def test_the_published_table_of_zero_weights_holds(statuses: str, answers: dict[str, float]) -> None:
    records = [
        record("w", name, set_identifier=name, weight=weight, health_check_id=None if status == "-" else f"c-{name}")
        for (name, weight), status in zip((("r1", 1), ("r2", 1), ("r3", 0)), statuses, strict=True)
    ]
    down = [f"c-r{n}" for n, status in enumerate(statuses, start=1) if status == "U"]
    assert World(*records, down=down).answers("w") == answers


def test_a_weighted_record_is_answered_in_proportion_to_its_weight() -> None:
    assert World(*weighted(a=1, b=3, c=4)).answers("w") == {"a": 0.125, "b": 0.375, "c": 0.5}


def test_the_share_of_an_unhealthy_weighted_record_goes_to_the_others_in_proportion() -> None:
    assert World(*weighted(a=1, b=3, c=4), down=["check-c"]).answers("w") == {"a": 0.25, "b": 0.75}


def test_weights_that_are_all_zero_are_equal() -> None:
    assert World(*weighted(a=0, b=0)).answers("w") == {"a": 0.5, "b": 0.5}


def latency(*regions: str) -> list[RecordSet]:
    return [record("l", region, set_identifier=region, region=region, health_check_id=region) for region in regions]


@pytest.mark.parametrize(
    ("place", "answer"),
    [("dublin", "eu-west-1"), ("tokyo", "ap-northeast-1"), ("newyork", "us-east-1"), ("seattle", "us-west-2")],
)
def test_the_region_of_the_least_latency_answers(place: str, answer: str) -> None:
    world = World(*latency("us-east-1", "us-west-2", "eu-west-1", "ap-northeast-1"))
    assert world.answers("l", client=place) == {answer: 1.0}


def test_when_the_best_region_is_unhealthy_the_next_lowest_latency_answers() -> None:
    regions = ("us-east-1", "us-west-2", "eu-west-1", "ap-northeast-1")
    down: list[str] = []
    order = []
    for _ in regions:
        (answer,) = World(*latency(*regions), down=down).answers("l")
        order.append(answer)
        down.append(answer)
    assert order == ["eu-west-1", "us-east-1", "us-west-2", "ap-northeast-1"]
    assert World(*latency(*regions), down=down).answers("l") == {"eu-west-1": 1.0}


def test_a_round_trip_set_by_hand_decides() -> None:
    from_place = (RoundTrip("dublin", "us-west-2", 1.0),)
    assert World(*latency("us-east-1", "us-west-2"), round_trips=from_place).answers("l") == {"us-west-2": 1.0}
    between = (RoundTrip("eu-west-1", "us-west-2", 1.0),)
    assert World(*latency("us-east-1", "us-west-2"), round_trips=between).answers("l") == {"us-west-2": 1.0}


def test_a_region_that_nobody_measured_comes_last_but_answers() -> None:
    world = World(*latency("eusc-de-east-1", "us-west-2"))
    assert world.answers("l") == {"us-west-2": 1.0}
    world.down.add("us-west-2")
    assert world.answers("l") == {"eusc-de-east-1": 1.0}


@pytest.mark.parametrize(("country", "first"), [("CN", "cn-north-1"), ("JP", "ap-northeast-1")])
def test_a_query_from_china_is_answered_with_beijing_whatever_the_latency(country: str, first: str) -> None:
    place = Place("somewhere", Coordinates(35.7, 139.7), country, "AS", None, "203.0.113.0/24")
    origin = Origin(place, ipaddress.IPv4Network("203.0.113.0/24"), 24, True)
    origins = World().origins
    ranked = tiers(tuple(latency("ap-northeast-1", "cn-north-1")), origin, origins, {}).tiers
    assert ranked[0][0].record.region == first


def geo(value: str, check: str | None = None, **location: str) -> RecordSet:
    return record("g", value, set_identifier=value, geo_location=GeoLocation(**location), health_check_id=check)


GEO = (
    geo("ca", "ca", country_code="US", subdivision_code="CA"),
    geo("us", "us", country_code="US"),
    geo("na", "na", continent_code="NA"),
    geo("eu", "eu", continent_code="EU"),
    geo("default", "default", country_code="*"),
)


@pytest.mark.parametrize(
    ("place", "answer"),
    [("sanfrancisco", "ca"), ("newyork", "us"), ("toronto", "na"), ("dublin", "eu"), ("tokyo", "default")],
)
def test_the_smallest_location_that_holds_the_client_answers(place: str, answer: str) -> None:
    assert World(*GEO).answers("g", client=place) == {answer: 1.0}


def test_an_unhealthy_location_widens_to_the_enclosing_one_with_a_healthy_record() -> None:
    order = []
    world = World(*GEO)
    for _ in range(4):
        (answer,) = world.answers("g", client="sanfrancisco")
        order.append(answer)
        world.down.add(answer)
    assert order == ["ca", "us", "na", "default"]
    assert world.answers("g", client="sanfrancisco") == {"ca": 1.0}


def test_without_a_default_location_other_places_get_no_answer_but_the_name_exists() -> None:
    decision = World(*GEO[:4]).decide("g", client="tokyo")
    (outcome,) = decision.outcomes
    assert (outcome.rcode, outcome.answer, outcome.authority[0].type) == ("NOERROR", (), "SOA")
    assert decision.scope_bits == 24


def near(value: str, bias: int = 0, check: str | None = None, **location: str | float) -> RecordSet:
    point = GeoProximityLocation(bias=bias, **location)  # type: ignore[arg-type]
    return record("p", value, set_identifier=value, geoproximity=point, health_check_id=check)


def test_the_bias_scales_distances_as_published() -> None:
    assert biased_distance_km(150, 50) == 75
    assert biased_distance_km(100, 0) == 100
    assert biased_distance_km(100, -50) == 200
    assert biased_distance_km(100, 99) == pytest.approx(1)
    assert biased_distance_km(100, -99) == pytest.approx(10_000)


def test_the_nearest_geoproximity_record_answers_and_a_bias_moves_the_border() -> None:
    records = [near("east", aws_region="us-east-1"), near("ireland", aws_region="eu-west-1")]
    assert World(*records).answers("p", client="newyork") == {"east": 1.0}
    assert World(*records).answers("p", client="london") == {"ireland": 1.0}
    biased = [near("east", bias=99, aws_region="us-east-1"), near("ireland", bias=-90, aws_region="eu-west-1")]
    assert World(*biased).answers("p", client="london") == {"east": 1.0}


def test_geoproximity_goes_by_coordinates_and_local_zone_groups_too() -> None:
    records = [near("cape", latitude=-33.9, longitude=18.4), near("boston", local_zone_group="us-east-1-bos-1")]
    assert World(*records).answers("p", client="capetown") == {"cape": 1.0}
    assert World(*records).answers("p", client="newyork") == {"boston": 1.0}


def test_an_unhealthy_geoproximity_record_gives_way_to_the_next_nearest() -> None:
    records = [near("east", check="e", aws_region="us-east-1"), near("ireland", check="i", aws_region="eu-west-1")]
    assert World(*records, down=["i"]).answers("p", client="dublin") == {"east": 1.0}
    assert World(*records, down=["i", "e"]).answers("p", client="dublin") == {"ireland": 1.0}


@pytest.mark.parametrize(
    ("primary", "secondary", "answer"),
    [
        ("H", "H", "first"),
        ("H", "U", "first"),
        ("H", "-", "first"),
        ("U", "H", "second"),
        ("U", "U", "first"),
        ("U", "-", "second"),
    ],
)
def test_the_failover_table_holds(primary: str, secondary: str, answer: str) -> None:
    checks = {"first": "c1", "second": None if secondary == "-" else "c2"}
    records = (
        record("f", "second", set_identifier="s", failover="SECONDARY", health_check_id=checks["second"]),
        record("f", "first", set_identifier="p", failover="PRIMARY", health_check_id="c1"),
    )
    down = [check for check, status in (("c1", primary), ("c2", secondary)) if status == "U"]
    assert World(*records, down=down).answers("f") == {answer: 1.0}


def multivalue(count: int) -> list[RecordSet]:
    return [
        record("m", f"192.0.2.{n}", set_identifier=str(n), multivalue=True, health_check_id=str(n))
        for n in range(count)
    ]


def test_multivalue_answers_all_healthy_records_up_to_eight_of_them() -> None:
    world = World(*multivalue(8), down=["0", "1"])
    (outcome,) = world.decide("m").outcomes
    assert outcome.answer[0].values == tuple(f"192.0.2.{n}" for n in range(2, 8))
    assert outcome.answer[0].pick_max == 8


def test_multivalue_answers_unhealthy_records_when_none_is_healthy() -> None:
    world = World(*multivalue(3), down=["0", "1", "2"])
    assert world.answers("m") == {"192.0.2.0 192.0.2.1 192.0.2.2": 1.0}


def test_simple_records_answer_all_values_whatever_their_health_check_says() -> None:
    world = World(record("s", ("192.0.2.1", "192.0.2.2"), health_check_id="c"), down=["c"])
    assert world.answers("s") == {"192.0.2.1 192.0.2.2": 1.0}


COLLECTION = CidrCollection(
    "c-1",
    "offices",
    (
        CidrLocation("wide", ("203.0.112.0/20", "2001:db8::/32")),
        CidrLocation("narrow", ("203.0.113.0/24", "2001:db8:1::/48")),
    ),
)


def by_ip(value: str, location: str) -> RecordSet:
    return record("i", value, set_identifier=value, cidr=CidrRouting("c-1", location), health_check_id=value)


@pytest.mark.parametrize(
    ("client", "answer"),
    [
        ("203.0.113.0/24", "narrow"),
        ("203.0.113.77/32", "narrow"),  # a longer prefix than the block's matches it
        ("203.0.114.0/24", "wide"),
        ("203.0.112.0/20", "wide"),
        ("203.0.96.0/19", "default"),  # a shorter one does not
        ("198.51.100.0/24", "default"),
        ("2001:db8:1::/56", "narrow"),
        ("2001:db8:2::/48", "wide"),
        ("2001:db9::/48", "default"),
    ],
)
def test_the_longest_block_that_holds_the_client_answers(client: str, answer: str) -> None:
    records = [by_ip("default", "*"), by_ip("wide", "wide"), by_ip("narrow", "narrow")]
    assert World(*records, collections=[COLLECTION]).answers("i", client=client) == {answer: 1.0}


def test_without_a_default_location_an_unknown_block_gets_no_answer() -> None:
    world = World(by_ip("narrow", "narrow"), collections=[COLLECTION])
    assert world.answers("i", client="198.51.100.0/24") == {"NOERROR": 1.0}


def test_the_scope_of_an_ip_based_answer_is_the_longest_block_of_the_family() -> None:
    world = World(by_ip("wide", "wide"), by_ip("narrow", "narrow"), collections=[COLLECTION])
    assert world.decide("i", client="203.0.114.0/24").scope_bits == 24
    assert world.decide("i", client="2001:db8:1::/56").scope_bits == 48


def test_a_client_subnet_that_is_wider_than_a_place_is_answered_by_default_and_asks_for_more_bits() -> None:
    world = World(*latency("us-east-1", "eu-west-1"))
    decision = world.decide("l", client="198.18.0.0/16")
    assert decision.outcomes[0].answer[0].values == ("us-east-1",)
    assert decision.scope_bits == 24
