"""What an accelerator's settings do to real traffic: dials, weights, health, affinity.

The clients only know the two static addresses. Nothing here touches DNS.
"""

from __future__ import annotations

import subprocess
import sys
from datetime import UTC, datetime, timedelta

import pytest
from accelerated_items import (
    ANYCAST,
    LATE,
    Call,
    Items,
    accelerator_status,
    call,
    deploy,
    deploy_balancer,
    load,
    put,
    served_by,
)

from lab.testing import Lab
from lab.testing.waiting import on_time

PLACES = ("dublin", "newyork", "tokyo")
EVERY_S = 0.03
FIVE_DEVIATIONS = 5
WITHIN_S = 1800.0
"""Lab seconds: on a busy machine work takes its time, however fast the lab's clock goes."""


@pytest.fixture
def items(lab: Lab) -> Items:
    """The deployed architecture, as it was deployed."""
    made = deploy(lab)
    made.restore()
    put(lab, lab.regions[0].code, "one", "the first item")
    lab.eventually(lambda: call(lab, "tokyo", ANYCAST, "/get/one", made.addresses[0]).good, within_s=WITHIN_S)
    return made


def check_all_answered(calls: list[Call]) -> None:
    """None failed. One that only was late fails the test in another way: for that the machine can be the reason."""
    failed = [one for one in calls if not one.good]
    assert [one for one in failed if one.why != LATE] == []
    with on_time():
        assert failed == []


def test_a_region_is_dialled_down_and_back_without_a_failed_request(lab: Lab, items: Items) -> None:
    east, west = (region.code for region in lab.regions)
    with load(lab, PLACES, (ANYCAST,), "/get/one", EVERY_S) as calls:
        lab.eventually(served_by(calls, "dublin", ANYCAST, east), within_s=WITHIN_S)
        items.dial(east, 0.0)
        lab.eventually(served_by(calls, "dublin", ANYCAST, west), within_s=WITHIN_S)
        items.dial(east, 100.0)
        lab.eventually(served_by(calls, "dublin", ANYCAST, east), within_s=WITHIN_S)
    assert len(calls) >= 15
    check_all_answered(calls)
    assert {one.region for one in calls if one.place == "tokyo"} == {west}


def test_weights_shift_traffic_to_the_shares_that_they_say(lab: Lab, items: Items) -> None:
    east = lab.regions[0].code
    stable = items.balancers[east]["LoadBalancerArn"]
    canary = deploy_balancer(lab, east, "canary")["LoadBalancerArn"]
    share, count = 64 / 256, 200
    items.weigh(east, {stable: 192, canary: 64})
    lab.eventually(lambda: set(_endpoints(lab, east).values()) == {"HEALTHY"}, within_s=WITHIN_S)
    before = _flows(lab, east)
    calls = [call(lab, "dublin", ANYCAST, "/get/one", items.addresses[n % 2]) for n in range(count)]
    check_all_answered(calls)
    after = _flows(lab, east)
    seen = after[canary] - before[canary]
    assert seen + after[stable] - before[stable] == count
    assert abs(seen - share * count) <= FIVE_DEVIATIONS * (count * share * (1 - share)) ** 0.5


def _endpoints_in(lab: Lab, region: str) -> list[dict[str, object]]:
    (accelerator,) = accelerator_status(lab)["accelerators"]
    return [
        endpoint
        for group in accelerator["listeners"][0]["groups"]
        if group["region"] == region
        for endpoint in group["endpoints"]
    ]


def _endpoints(lab: Lab, region: str) -> dict[str, str]:
    return {str(endpoint["id"]): str(endpoint["health"]) for endpoint in _endpoints_in(lab, region)}


def _flows(lab: Lab, region: str) -> dict[str, int]:
    return {str(endpoint["id"]): int(str(endpoint["new_flows"])) for endpoint in _endpoints_in(lab, region)}


def test_while_a_regions_load_balancer_is_unhealthy_the_static_addresses_keep_answering(lab: Lab, items: Items) -> None:
    east, west = (region.code for region in lab.regions)
    with load(lab, PLACES, (ANYCAST,), "/get/one", EVERY_S) as calls:
        lab.eventually(served_by(calls, "dublin", ANYCAST, east), within_s=WITHIN_S)
        items.force_health(east, "503")
        lab.eventually(served_by(calls, "dublin", ANYCAST, west), within_s=WITHIN_S)
        assert items.health() == {east: "UNHEALTHY", west: "HEALTHY"}
        items.force_health(east, "")
        lab.eventually(served_by(calls, "dublin", ANYCAST, east), within_s=WITHIN_S)
    check_all_answered(calls)


def test_with_all_regions_unhealthy_the_closest_one_serves(lab: Lab, items: Items) -> None:
    east, west = (region.code for region in lab.regions)
    for region in (east, west):
        items.force_health(region, "503")
    lab.eventually(lambda: set(items.health().values()) == {"UNHEALTHY"}, within_s=WITHIN_S)
    with load(lab, ("dublin", "tokyo"), (ANYCAST,), "/get/one", EVERY_S) as calls:
        lab.eventually(served_by(calls, "dublin", ANYCAST, east), within_s=WITHIN_S)
        lab.eventually(served_by(calls, "tokyo", ANYCAST, west), within_s=WITHIN_S)
    check_all_answered(calls)


def test_sticky_clients_stay_where_they_are(lab: Lab, items: Items) -> None:
    for region in items.groups:
        items.dial(region, 50.0)
    addresses = items.addresses
    scattered = {call(lab, "dublin", ANYCAST, "/get/one", addresses[0]).region for _ in range(30)}
    assert scattered == set(items.groups)
    items.ga.update_listener(ListenerArn=items.listener, ClientAffinity="SOURCE_IP")
    for place in PLACES:
        for address in addresses:
            calls = [call(lab, place, ANYCAST, "/get/one", address) for _ in range(10)]
            check_all_answered(calls)
            assert len({one.region for one in calls}) == 1


def test_cloudwatch_counts_what_was_served(lab: Lab, items: Items) -> None:
    east = lab.regions[0].code
    balancer = items.balancers[east]["LoadBalancerArn"].partition(":loadbalancer/")[2]

    def served() -> float:
        return total(lab, east, "AWS/ApplicationELB", "RequestCount", LoadBalancer=balancer)

    before = served()
    count = 20
    check_all_answered([call(lab, "dublin", ANYCAST, "/get/one", items.addresses[0]) for _ in range(count)])
    lab.eventually(lambda: served() >= before + count, within_s=WITHIN_S)
    if "us-west-2" in lab.topology.region_codes:
        name = items.accelerator.rpartition("/")[2]
        lab.eventually(
            lambda: total(lab, "us-west-2", "AWS/GlobalAccelerator", "NewFlowCount", Accelerator=name) >= count,
            within_s=WITHIN_S,
        )


def total(lab: Lab, region: str, namespace: str, metric: str, **dimensions: str) -> float:
    """The sum of a metric over the last hour and the next."""
    now = datetime.now(UTC)
    found = (
        lab.region(region)
        .client("cloudwatch")
        .get_metric_statistics(
            Namespace=namespace,
            MetricName=metric,
            Dimensions=[{"Name": name, "Value": value} for name, value in dimensions.items()],
            StartTime=now - timedelta(hours=1),
            EndTime=now + timedelta(hours=1),
            Period=7200,
            Statistics=["Sum"],
        )
    )
    return float(sum(point["Sum"] for point in found["Datapoints"]))


def test_the_command_line_tells_where_a_place_would_go_and_why(lab: Lab, items: Items) -> None:
    east, west = (region.code for region in lab.regions)
    items.dial(east, 0.0)
    command = [sys.executable, "-m", "lab.cli", "-C", str(lab.folder), "accelerator", "status", "--from", "dublin"]
    shown = subprocess.run(command, check=True, capture_output=True, text=True, timeout=180).stdout
    assert " and ".join(items.addresses) in shown
    assert f"from dublin (edge in eu-west-1): to {west} by overflow" in shown
    assert f"{east}: turned away by its dial of 0 %" in shown
