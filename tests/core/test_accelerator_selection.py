"""Which endpoint an accelerator's connection goes to."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lab.core.accelerator import AcceleratorListener, Endpoint, EndpointGroup, PortOverride, PortRange
from lab.core.accelerator_selection import Choice, Flow, select

DISTANCES = {"us-east-1": 10.0, "us-west-2": 70.0, "eu-west-1": 80.0, "ap-northeast-1": 160.0, "sa-east-1": 170.0}


def group(region: str, *weights: int, dial: float = 100.0, overrides: tuple[PortOverride, ...] = ()) -> EndpointGroup:
    endpoints = tuple(Endpoint(f"arn:{region}/{n}", weight) for n, weight in enumerate(weights))
    return EndpointGroup(f"arn:group/{region}", region, endpoints, dial, port_overrides=overrides)


def listener(*groups: EndpointGroup, affinity: str = "NONE") -> AcceleratorListener:
    return AcceleratorListener("arn:listener", (PortRange(80, 80),), affinity, groups=groups)  # type: ignore[arg-type]


def flow(n: int, source: str = "198.18.1.10", target: str = "127.48.100.2") -> Flow:
    return Flow(source, 1024 + n, target, 80)


def choose(to: AcceleratorListener, n: int = 0, *, sick: Iterable[str] = (), **where: str) -> Choice:
    down = set(sick)
    return select(to, flow(n, **where), distance=DISTANCES.__getitem__, healthy=lambda e: e not in down, seed=7)


def regions_of(to: AcceleratorListener, count: int, *, sick: Iterable[str] = ()) -> Counter[str | None]:
    choices = (choose(to, n, sick=sick) for n in range(count))
    return Counter(choice.group.region if choice.group else None for choice in choices)


def within_five_deviations(seen: int, share: float, count: int) -> bool:
    return abs(seen - share * count) <= 5 * (count * share * (1 - share)) ** 0.5


def test_the_closest_group_serves() -> None:
    choice = choose(listener(group("us-west-2", 128), group("us-east-1", 128)))
    assert (choice.group and choice.group.region, choice.path) == ("us-east-1", "dial")


def test_a_dial_sends_its_share_here_and_the_rest_to_the_next_closest_group() -> None:
    seen = regions_of(listener(group("us-east-1", 128, dial=30), group("us-west-2", 128)), 4000)
    assert seen.keys() == {"us-east-1", "us-west-2"}
    assert within_five_deviations(seen["us-east-1"], 0.3, 4000)


def test_two_groups_at_half_dial_serve_everything_as_in_aws_example() -> None:
    seen = regions_of(listener(group("us-east-1", 128, dial=50), group("us-west-2", 128, dial=50)), 4000)
    assert sum(seen.values()) == 4000
    assert within_five_deviations(seen["us-east-1"], 0.5, 4000)


def test_overflow_says_so() -> None:
    choice = choose(listener(group("us-east-1", 128, dial=0), group("us-west-2", 128)))
    assert choice.path == "overflow"
    assert choice.reasons[0] == "us-east-1: turned away by its dial of 0 %"


def test_a_dial_that_grows_only_moves_flows_towards_its_group() -> None:
    for n in range(500):
        before = choose(listener(group("us-east-1", 128, dial=40), group("us-west-2", 128)), n)
        after = choose(listener(group("us-east-1", 128, dial=60), group("us-west-2", 128)), n)
        assert before.group is not None and after.group is not None
        assert before.group.region == "us-west-2" or after.group.region == "us-east-1"


def test_with_all_dials_at_zero_the_closest_group_serves() -> None:
    assert regions_of(listener(group("us-east-1", 1, dial=0), group("us-west-2", 1, dial=0)), 50) == {"us-east-1": 50}


@pytest.mark.parametrize("weights", [(1, 1), (128, 64), (255, 1), (10, 20, 30), (0, 5, 5)])
def test_weights_decide_the_shares_within_a_group(weights: tuple[int, ...]) -> None:
    to = listener(group("us-east-1", *weights))
    choices = (choose(to, n) for n in range(5000))
    seen = Counter(choice.endpoint.endpoint_id for choice in choices if choice.endpoint)
    for n, weight in enumerate(weights):
        assert within_five_deviations(seen[f"arn:us-east-1/{n}"], weight / sum(weights), 5000)


def test_an_endpoint_that_leaves_moves_only_its_own_flows() -> None:
    whole, less = listener(group("us-east-1", 10, 10, 10)), listener(group("us-east-1", 10, 10))
    for n in range(500):
        before, after = choose(whole, n).endpoint, choose(less, n).endpoint
        assert before is not None and after is not None
        assert before.endpoint_id == "arn:us-east-1/2" or after.endpoint_id == before.endpoint_id


def test_a_sticky_client_stays_whatever_its_source_port() -> None:
    to = listener(group("us-east-1", 10, 10, dial=50), group("us-west-2", 10, 10), affinity="SOURCE_IP")
    assert len({choose(to, n).endpoint for n in range(200)}) == 1


def test_without_affinity_one_client_meets_every_endpoint() -> None:
    to = listener(group("us-east-1", 10, 10, dial=50), group("us-west-2", 10, 10))
    assert len({choose(to, n).endpoint for n in range(200)}) == 4


def test_the_two_static_addresses_may_map_a_sticky_client_to_different_endpoints() -> None:
    to = listener(group("us-east-1", 10, 10), affinity="SOURCE_IP")
    pairs = {
        (
            choose(to, source=f"198.18.{n}.10", target="a").endpoint,
            choose(to, source=f"198.18.{n}.10", target="b").endpoint,
        )
        for n in range(1, 30)
    }
    assert any(one != other for one, other in pairs)


def test_failover_goes_to_the_closest_healthy_group_and_ignores_its_dial() -> None:
    choice = choose(listener(group("us-east-1", 1), group("us-west-2", 1, dial=0)), sick=["arn:us-east-1/0"])
    assert (choice.group and choice.group.region, choice.path) == ("us-west-2", "failover")


def test_a_healthy_endpoint_of_weight_zero_is_never_a_failover_target() -> None:
    choice = choose(listener(group("us-east-1", 1), group("us-west-2", 0)), sick=["arn:us-east-1/0"])
    assert (choice.group and choice.group.region, choice.path) == ("us-east-1", "fail-open")


def test_a_group_whose_endpoints_all_weigh_zero_fails_over() -> None:
    choice = choose(listener(group("us-east-1", 0), group("us-west-2", 1)))
    assert (choice.group and choice.group.region, choice.path) == ("us-west-2", "failover")


def test_failover_tries_three_other_groups_and_no_more() -> None:
    groups = [group(region, 1) for region in DISTANCES]
    sick = [f"arn:{region}/0" for region in list(DISTANCES)[:4]]
    choice = choose(listener(*groups), sick=sick)
    assert (choice.group and choice.group.region, choice.path) == ("us-east-1", "fail-open")
    choice = choose(listener(*groups), sick=sick[:3])
    assert (choice.group and choice.group.region, choice.path) == ("ap-northeast-1", "failover")


def test_failing_open_uses_any_endpoint_of_the_closest_group_and_not_of_the_dialled_one() -> None:
    to = listener(group("us-east-1", 1, 1, 0, dial=0), group("us-west-2", 1))
    sick = [f"arn:us-east-1/{n}" for n in range(3)] + ["arn:us-west-2/0"]
    choices = [choose(to, n, sick=sick) for n in range(300)]
    assert {choice.group.region for choice in choices if choice.group} == {"us-east-1"}
    assert len({choice.endpoint for choice in choices}) == 3


def test_without_any_endpoint_a_connection_is_dropped() -> None:
    assert choose(listener(group("us-east-1"), group("us-west-2"))).endpoint is None
    assert choose(listener()).endpoint is None


def test_a_group_without_endpoints_fails_over() -> None:
    choice = choose(listener(group("us-east-1"), group("us-west-2", 1)))
    assert choice.group is not None and choice.group.region == "us-west-2"


def test_a_port_override_changes_the_endpoints_port_alone() -> None:
    to = listener(group("us-east-1", 1, overrides=(PortOverride(80, 1080),)), group("us-west-2", 1))
    assert choose(to).port == 1080
    assert choose(to, sick=["arn:us-east-1/0"]).port == 80


weights = st.lists(st.integers(0, 255), min_size=0, max_size=4)
worlds = st.lists(st.tuples(weights, st.sampled_from([0.0, 12.5, 50.0, 100.0])), min_size=1, max_size=5)


@given(worlds, st.integers(0, 60_000), st.sets(st.tuples(st.integers(0, 4), st.integers(0, 3))))
def test_whenever_a_reachable_endpoint_is_healthy_a_healthy_one_is_chosen(
    world: list[tuple[list[int], float]], port: int, sick: set[tuple[int, int]]
) -> None:
    regions = list(DISTANCES)
    to = listener(*(group(regions[n], *weights, dial=dial) for n, (weights, dial) in enumerate(world)))
    down = {f"arn:{regions[n]}/{m}" for n, m in sick}
    choice = choose(to, port, sick=down)
    if not any(g.endpoints for g in to.groups):
        assert choice.endpoint is None
        return
    assert choice.endpoint is not None and choice.group is not None and choice.reasons
    serving = [g for g in to.groups[:4] if any(e.weight and e.endpoint_id not in down for e in g.endpoints)]
    if serving:
        assert choice.endpoint.endpoint_id not in down or (choice.path == "fail-open" and len(to.groups) > 4)
        assert choice.endpoint.weight > 0 or choice.path == "fail-open"
