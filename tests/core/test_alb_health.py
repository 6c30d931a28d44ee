"""Target health: a table of happenings and exact times."""

from __future__ import annotations

from lab.core.alb_health import (
    CheckResult,
    StartCheck,
    TargetHealth,
    TargetMachine,
    balancer_verdict,
    detection_ms_max,
    group_verdict,
    serving_targets,
)
from lab.core.load_balancer import (
    Action,
    LoadBalancer,
    LoadBalancerListener,
    Rule,
    Target,
    TargetGroup,
    TargetGroupTuple,
)

GROUP = TargetGroup(
    "arn:tg", "us-east-1", "tg", "lambda", health_check_interval_s=10, healthy_threshold=3, unhealthy_threshold=2
)
GOOD, BAD = CheckResult(200), CheckResult(503)


def run(machine: TargetMachine, *results: CheckResult) -> list[str]:
    """Let one check after the other begin and end at once; the states after each."""
    states = []
    for result in results:
        now_ms = machine.next_wake_ms()
        assert now_ms is not None
        (check,) = machine.on_wake(now_ms)
        machine.on_result(check.number, result, now_ms)
        states.append(machine.health.state)
    return states


def test_one_success_makes_a_new_target_healthy() -> None:
    assert run(TargetMachine(GROUP, now_ms=0), GOOD) == ["healthy"]


def test_a_new_target_stays_initial_until_a_full_count_of_failures() -> None:
    assert run(TargetMachine(GROUP, now_ms=0), BAD, BAD) == ["initial", "unhealthy"]


def test_thresholds_count_in_a_row_both_ways() -> None:
    machine = TargetMachine(GROUP, now_ms=0)
    results = [GOOD, BAD, GOOD, BAD, BAD, GOOD, GOOD, BAD, GOOD, GOOD, GOOD]
    h, u = "healthy", "unhealthy"
    assert run(machine, *results) == [h, h, h, h, u, u, u, u, u, u, h]
    assert machine.health == TargetHealth("healthy", since_ms=100_000)


def test_checks_begin_one_interval_apart_and_missed_ones_are_not_made_up_for() -> None:
    machine = TargetMachine(GROUP, now_ms=0, first_check_ms=3_000)
    assert machine.on_wake(2_999) == []
    for number, at_ms, next_ms in ((1, 3_000, 13_000), (2, 13_400, 23_000), (3, 60_000, 70_000)):
        assert machine.on_wake(at_ms) == [StartCheck(number)]
        machine.on_result(number, GOOD, at_ms + 100)
        assert machine.next_wake_ms() == next_ms


def test_a_check_that_takes_longer_than_the_interval_counts_and_the_next_one_waits_for_its_end() -> None:
    machine = TargetMachine(GROUP, now_ms=0)
    for number, at_ms in enumerate((0, 35_000), start=1):
        assert machine.on_wake(at_ms) == [StartCheck(number)]
        assert machine.next_wake_ms() is None
        assert machine.on_wake(at_ms + 10_000) == []
        machine.on_result(number, CheckResult(timed_out=True), at_ms + 30_000)
        assert machine.next_wake_ms() == at_ms + 10_000
    assert machine.health.state == "unhealthy"
    assert not machine.on_result(2, GOOD, 66_000)  # told twice


def test_reasons_are_aws_words() -> None:
    for result, reason, description in (
        (BAD, "Target.ResponseCodeMismatch", "Health checks failed with these codes: [503]"),
        (CheckResult(timed_out=True), "Target.Timeout", "Request timed out"),
        (CheckResult(failure="no permission"), "Target.FailedHealthChecks", "Health checks failed: no permission"),
    ):
        machine = TargetMachine(GROUP, now_ms=0)
        run(machine, result, result)
        assert (machine.health.reason, machine.health.description) == (reason, description)


def test_detection_takes_at_most_threshold_times_interval() -> None:
    assert detection_ms_max(GROUP) == 20_000
    assert detection_ms_max(TargetGroup("a", "r", "n", "lambda")) == 175_000


A, B = Target("a"), Target("b")


def test_healthy_and_unchecked_targets_serve_and_all_serve_when_none_is() -> None:
    healthy, unhealthy, unavailable = TargetHealth("healthy"), TargetHealth("unhealthy"), TargetHealth("unavailable")
    assert serving_targets([(A, healthy), (B, unhealthy)]) == [A]
    assert serving_targets([(A, unavailable), (B, unhealthy)]) == [A]
    assert serving_targets([(A, unhealthy), (B, TargetHealth("initial"))]) == [A, B]
    assert serving_targets([(A, unhealthy), (B, TargetHealth("draining"))]) == [A]
    assert serving_targets([]) == []


def balancer(*arns: str) -> LoadBalancer:
    action = Action("forward", target_groups=tuple(TargetGroupTuple(arn) for arn in arns))
    listeners = (LoadBalancerListener("l", "HTTP", 80, (Rule("r", 0, (action,)),)),)
    return LoadBalancer("arn", "us-east-1", "n", "n.elb.amazonaws.com", "127.48.1.10", 0, listeners=listeners)


def test_a_balancer_is_healthy_if_each_group_with_targets_has_a_healthy_one() -> None:
    for expected, one, other in (
        (True, ["healthy", "unhealthy"], ["unavailable"]),
        (True, ["healthy"], []),
        (False, ["healthy"], ["unhealthy"]),
        (False, [], []),
        (None, ["initial"], ["healthy"]),
        (False, ["initial"], ["unhealthy"]),
    ):
        assert balancer_verdict(balancer("x", "y"), {"x": one, "y": other}) is expected  # type: ignore[dict-item]


def test_a_group_is_undecided_only_while_all_its_targets_are_new() -> None:
    assert group_verdict(["initial", "initial"]) is None
    assert group_verdict(["initial", "unhealthy"]) is False
    assert group_verdict(["initial", "healthy"]) is True
