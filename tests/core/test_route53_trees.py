"""Alias trees: health through EvaluateTargetHealth, backing out, failing open, aliases to the lab's names."""

from __future__ import annotations

import re
from collections import Counter
from random import Random

import pytest
from route53_world import World, record, to

from lab.core.endpoint_name import EndpointName
from lab.core.route53.answer import choose, shuffled
from lab.core.zone import AliasTarget, RecordSet

API = EndpointName("d-1.execute-api.us-east-1.amazonaws.com.", "regional-api-domain", ("127.43.1.1",), "ZAPI")


def tree(*, evaluate: bool = True, third_has_check: bool = True) -> list[RecordSet]:
    """Latency aliases for two regions, each to a weighted pair."""
    records = []
    for region in ("us-east-1", "eu-west-1"):
        alias = to(region, health=evaluate)
        records.append(record("api", alias=alias, set_identifier=region, region=region))
        for n in (1, 2):
            value = f"{region}-{n}"
            check = value if third_has_check or n == 1 else None
            records.append(record(region, value, set_identifier=str(n), weight=1, health_check_id=check))
    return records


def test_a_branch_is_answered_while_one_of_its_records_is_healthy() -> None:
    world = World(*tree(), down=["eu-west-1-1"])
    assert world.answers("api") == {"eu-west-1-2": 1.0}


def test_a_branch_without_a_healthy_record_is_backed_out_of() -> None:
    world = World(*tree(), down=["eu-west-1-1", "eu-west-1-2", "us-east-1-2"])
    assert world.answers("api") == {"us-east-1-1": 1.0}


def test_when_every_branch_is_unhealthy_the_best_one_answers_as_if_all_were_healthy() -> None:
    down = [f"{region}-{n}" for region in ("us-east-1", "eu-west-1") for n in (1, 2)]
    assert World(*tree(), down=down).answers("api") == {"eu-west-1-1": 0.5, "eu-west-1-2": 0.5}


def test_without_evaluate_target_health_a_branch_is_never_backed_out_of() -> None:
    world = World(*tree(evaluate=False), down=["eu-west-1-1", "eu-west-1-2"])
    assert world.answers("api") == {"eu-west-1-1": 0.5, "eu-west-1-2": 0.5}


def test_a_leaf_without_a_health_check_keeps_its_branch_healthy_and_gets_all_its_traffic() -> None:
    world = World(*tree(third_has_check=False), down=["eu-west-1-1"])
    assert world.answers("api") == {"eu-west-1-2": 1.0}


def test_an_alias_with_a_health_check_and_target_health_needs_both() -> None:
    alias = record("f", alias=to("target"), set_identifier="p", failover="PRIMARY", health_check_id="own")
    world = World(
        alias,
        record("f", "second", set_identifier="s", failover="SECONDARY"),
        record("target", "first", health_check_id="target"),
    )
    assert world.answers("f") == {"first": 1.0}
    world.down = {"own"}
    assert world.answers("f") == {"second": 1.0}
    world.down = {"target"}
    assert world.answers("f") == {"second": 1.0}


def test_a_primary_alias_is_healthy_while_one_member_of_its_group_is() -> None:
    group = [record("pool", f"m{n}", set_identifier=str(n), multivalue=True, health_check_id=f"m{n}") for n in range(3)]
    world = World(
        record("f", alias=to("pool"), set_identifier="p", failover="PRIMARY"),
        record("f", "spare", set_identifier="s", failover="SECONDARY"),
        *group,
        down=["m0", "m1"],
    )
    assert world.answers("f") == {"m2": 1.0}
    world.down.add("m2")
    assert world.answers("f") == {"spare": 1.0}


def test_three_levels_are_walked_and_probabilities_multiply() -> None:
    world = World(
        record("top", alias=to("left"), set_identifier="l", weight=1),
        record("top", alias=to("right"), set_identifier="r", weight=3),
        record("left", "a", set_identifier="a", weight=1),
        record("left", "b", set_identifier="b", weight=1),
        record("right", alias=to("deep"), set_identifier="p", failover="PRIMARY"),
        record("right", "c", set_identifier="s", failover="SECONDARY"),
        record("deep", "d", health_check_id="d"),
    )
    assert world.answers("top") == {"a": 0.125, "b": 0.125, "d": 0.75}
    world.down.add("d")
    assert world.answers("top") == {"a": 0.125, "b": 0.125, "c": 0.75}


def test_an_alias_to_a_record_has_the_targets_ttl_and_the_askers_name() -> None:
    world = World(record("", alias=to("www")), record("www", "192.0.2.1", ttl=17))
    (outcome,) = world.decide("").outcomes
    (rrset,) = outcome.answer
    assert (rrset.name, rrset.ttl, rrset.values) == (b"\x03lab\x04test\0", 17, ("192.0.2.1",))


def test_an_alias_to_a_regional_api_answers_its_addresses_for_sixty_seconds() -> None:
    alias = AliasTarget("ZAPI", API.name, True)
    world = World(record("api", alias=alias), endpoints=[API])
    (outcome,) = world.decide("api").outcomes
    assert (outcome.answer[0].values, outcome.answer[0].ttl) == (("127.43.1.1",), 60)
    assert world.answers("api", "AAAA") == {"NOERROR": 1.0}


def test_an_alias_and_a_cname_lead_to_s3_websites() -> None:
    website = EndpointName("s3-website-eu-west-1.amazonaws.com.", "s3-website", ("127.43.3.1",), "ZS3", "eu-west-1")
    world = World(
        record("www", alias=AliasTarget("ZS3", website.name, False)),
        record("cname", f"cname.lab.test.{website.name}", type="CNAME"),
        endpoints=[website],
    )
    assert world.answers("www") == {"127.43.3.1": 1.0}
    assert world.answers(f"cname.lab.test.{website.name}") == {"127.43.3.1": 1.0}
    assert world.answers(website.name) == {"127.43.3.1": 1.0}


def test_an_alias_to_nothing_is_no_answer_and_unhealthy() -> None:
    world = World(
        record("gone", alias=to("nowhere")),
        record("f", alias=to("nowhere"), set_identifier="p", failover="PRIMARY"),
        record("f", "second", set_identifier="s", failover="SECONDARY"),
    )
    assert world.answers("gone") == {"NOERROR": 1.0}
    assert world.answers("f") == {"second": 1.0}


def test_aliases_in_a_circle_end_without_an_answer() -> None:
    world = World(record("a", alias=to("b")), record("b", alias=to("a")))
    assert world.answers("a") == {"NOERROR": 1.0}


def test_a_tree_of_countless_paths_is_answered_by_chance_and_in_no_time() -> None:
    levels = [
        record(f"level{n}", alias=to(f"level{n + 1}"), set_identifier=str(m), weight=1)
        for n in range(40)
        for m in range(2)
    ]
    world = World(*levels, record("level40", "192.0.2.1", health_check_id="c"))
    decision = world.decide("level0")
    assert decision.sampled
    assert decision.outcomes[0].answer[0].values == ("192.0.2.1",)
    assert decision.consulted == ("c",)


def test_an_alias_matches_only_its_own_type() -> None:
    world = World(
        record("both", "192.0.2.1"),
        record("both", "2001:db8::1", type="AAAA"),
        record("a", alias=to("both"), type="AAAA"),
    )
    assert world.answers("a", "AAAA") == {"2001:db8::1": 1.0}
    assert world.answers("a", "A") == {"NOERROR": 1.0}


def test_every_health_check_that_an_answer_depends_on_is_named() -> None:
    world = World(*tree(), down=["eu-west-1-1", "eu-west-1-2"])
    consulted = world.decide("api").consulted
    assert {"eu-west-1-1", "eu-west-1-2", "us-east-1-1", "us-east-1-2"} == set(consulted)


def test_the_reasons_tell_the_tree_that_was_walked() -> None:
    world = World(*tree(), down=["eu-west-1-1", "eu-west-1-2", "us-east-1-2"])
    (outcome,) = world.decide("api", explain=True).outcomes
    told = [(reason.depth, reason.text) for reason in outcome.reason]
    assert told[0] == (0, "api.lab.test. A: latency, 2 records, for 198.18.1.0/24 (dublin)")
    assert told[1][1].startswith("eu-west-1: 4.") and told[1][1].endswith("; target unhealthy")
    assert told[2][1].startswith("us-east-1: 73.") and told[2][1].endswith("; target healthy")
    assert (1, "us-east-1: chosen") in told
    assert (3, "1: weight 1 of 2; health check us-east-1-1 healthy") in told
    assert told[-1] == (3, "1: chosen")


def test_the_reasons_tell_who_comes_after_the_one_that_was_chosen() -> None:
    records = [
        record("l", address, set_identifier=region, region=region, health_check_id=region)
        for address, region in (("192.0.2.1", "us-west-2"), ("192.0.2.2", "eu-west-1"), ("192.0.2.3", "us-east-1"))
    ]
    (outcome,) = World(*records, down=["us-west-2"]).decide("l", explain=True).outcomes
    told = [re.sub(r"[\d.]+ ms", "N ms", reason.text) for reason in outcome.reason]
    assert told[1:] == [
        "eu-west-1: N ms from dublin; health check eu-west-1 healthy",
        "us-east-1: N ms from dublin; health check us-east-1 healthy, comes after",
        "us-west-2: N ms from dublin; health check us-west-2 unhealthy, comes after",
        "eu-west-1: chosen",
    ]


def test_drawing_answers_follows_the_probabilities() -> None:
    world = World(*(record("w", v, set_identifier=v, weight=w) for v, w in (("a", 1), ("b", 3))))
    decision = world.decide("w")
    rng = Random(7)
    drawn = Counter(choose(decision, rng).answer[0].values[0] for _ in range(4000))
    assert drawn["a"] / 4000 == pytest.approx(0.25, abs=0.03)


def test_more_than_eight_multivalue_records_are_answered_eight_at_a_time_and_all_in_turn() -> None:
    records = [record("m", f"192.0.2.{n}", set_identifier=str(n), multivalue=True) for n in range(20)]
    (outcome,) = World(*records).decide("m").outcomes
    rng = Random(7)
    answers = [shuffled(outcome.answer[0], rng) for _ in range(60)]
    assert all(len(set(answer)) == 8 for answer in answers)
    assert len({value for answer in answers for value in answer}) == 20


def test_an_explanation_tells_a_deleted_health_check_from_a_healthy_one() -> None:
    world = World(
        *(
            record(name, set_identifier="a", weight=1, health_check_id=check)
            for name, check in (("www", "gone"), ("api", "known"))
        )
    )
    world.checks = {"known"}
    told = {name: str(world.decide(name, explain=True).outcomes[0].reason) for name in ("www", "api")}
    assert "health check gone does not exist (any more), so healthy" in told["www"]
    assert "health check known healthy" in told["api"]
