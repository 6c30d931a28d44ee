"""What CloudWatch hears of a load balancer is what its access log says."""

from __future__ import annotations

from dataclasses import replace

from lab.core.alb_access_log import AccessLogEntry
from lab.core.traffic_metrics import BalancerMetrics, wire

GROUP = "arn:aws:elasticloadbalancing:us-east-1:000000000000:targetgroup/items/0123"
SERVED = AccessLogEntry(
    "http", 0, "app/items/1", "198.18.1.10", 1, "arn:aws:lambda:x", 0.0, 0.25, 0.0, 200, 200, 100, 200,
    "GET", "http://a/", "1.1", "-", GROUP, "-", 0, actions="forward",
)  # fmt: skip


def metrics(*entries: AccessLogEntry) -> dict[tuple[str, bool], float]:
    """Sums by name and whether the target group is a dimension."""
    made = BalancerMetrics()
    for entry in entries:
        made.add(entry)
    found = {(d.name, d.dimensions[0][0] == "TargetGroup"): d.total.sum for d in made.take()}
    assert made.take() == []
    return found


def test_a_served_request_counts_for_the_load_balancer_and_its_target_group() -> None:
    assert metrics(SERVED, SERVED) == {
        ("ProcessedBytes", False): 600,
        **{("RequestCount", by): 2 for by in (False, True)},
        **{("TargetResponseTime", by): 0.5 for by in (False, True)},
        **{("HTTPCode_Target_2XX_Count", by): 2 for by in (False, True)},
    }


def test_an_answer_of_the_load_balancers_own_is_no_answer_of_the_target() -> None:
    found = metrics(replace(SERVED, elb_status=502, target_status=None, error_reason="LambdaInvalidResponse"))
    assert found["HTTPCode_ELB_5XX_Count", False] == found["HTTPCode_ELB_502_Count", False] == 1
    assert found["LambdaUserError", True] == 1
    assert not any(name.startswith("HTTPCode_Target") for name, _ in found)
    assert metrics(replace(SERVED, elb_status=504, target_status=None, error_reason="LambdaConnectionTimeout"))[
        "LambdaInternalError", False
    ]


def test_requests_that_reach_no_target_are_not_counted_as_requests() -> None:
    refused = replace(SERVED, target=None, target_group_arn=None, target_processing_s=-1, target_status=None)
    assert metrics(replace(refused, elb_status=400, actions="-")) == {
        ("ProcessedBytes", False): 300,
        ("HTTPCode_ELB_4XX_Count", False): 1,
    }
    assert ("HTTP_Redirect_Count", False) in metrics(replace(refused, elb_status=301, actions="redirect"))
    fixed = metrics(replace(refused, elb_status=404, actions="fixed-response"))
    assert set(fixed) == {("ProcessedBytes", False), ("HTTP_Fixed_Response_Count", False)}


def test_a_datum_is_sent_as_statistics() -> None:
    made = BalancerMetrics()
    made.add(SERVED)
    made.add(replace(SERVED, target_processing_s=0.75))
    (time,) = (d for d in made.take() if d.name == "TargetResponseTime" and len(d.dimensions) == 2)
    sent = wire(time, 5.0)
    assert sent["StatisticValues"] == {"SampleCount": 2, "Sum": 1.0, "Minimum": 0.25, "Maximum": 0.75}
    assert sent["Dimensions"] == [
        {"Name": "TargetGroup", "Value": "targetgroup/items/0123"},
        {"Name": "LoadBalancer", "Value": "app/items/1"},
    ]
    assert (sent["Unit"], sent["Timestamp"]) == ("Seconds", 5.0)
