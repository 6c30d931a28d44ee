"""Whether a load balancer's targets are healthy: one machine a target, and what a group and a balancer make of them.

https://docs.aws.amazon.com/elasticloadbalancing/latest/application/target-group-health-checks.html
Checks begin `interval` after the one before began, or when it has ended if that is later: on AWS it never is, for a
timeout is shorter than the interval there; here an interval is divided by the lab's speed, and a timeout has a floor in
real time. A new target is `initial` until one success or a full count of
failures. One opinion stands for the load balancer; AWS's nodes in several zones each have their own.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from lab.core.load_balancer import LoadBalancer, Target, TargetGroup, matches_code

TargetState = Literal["initial", "healthy", "unhealthy", "unused", "draining", "unavailable"]


@dataclass(frozen=True)
class TargetHealth:
    """A target's state as DescribeTargetHealth tells it. `since_ms` is when it took this state."""

    state: TargetState
    reason: str | None = None
    description: str | None = None
    since_ms: int = 0


@dataclass(frozen=True)
class StartCheck:
    """The shell is to make one check now and tell `on_result` however it ends; `number` says which."""

    number: int


@dataclass(frozen=True)
class CheckResult:
    """How a check ended: a status, or none with what went wrong; `timed_out` if nothing came in time."""

    status: int | None = None
    failure: str = ""
    timed_out: bool = False


REGISTRATION = TargetHealth("initial", "Elb.RegistrationInProgress", "Target registration is in progress")
NOT_IN_USE = TargetHealth(
    "unused", "Target.NotInUse", "Target group is not configured to receive traffic from the load balancer"
)
DISABLED = TargetHealth("unavailable", "Target.HealthCheckDisabled", "Health checks are not enabled for this target")
DRAINING = TargetHealth("draining", "Target.DeregistrationInProgress", "Target deregistration is in progress")
NOT_REGISTERED = TargetHealth("unused", "Target.NotRegistered", "Target is not registered to the target group")


def judge_check(result: CheckResult, matcher: str) -> TargetHealth | None:
    """None if a check succeeded, else the state that enough of such failures lead to."""
    if result.timed_out:
        return TargetHealth("unhealthy", "Target.Timeout", "Request timed out")
    if result.status is None:
        description = f"Health checks failed: {result.failure}" if result.failure else "Health checks failed"
        return TargetHealth("unhealthy", "Target.FailedHealthChecks", description)
    if not matches_code(matcher, result.status):
        return TargetHealth(
            "unhealthy", "Target.ResponseCodeMismatch", f"Health checks failed with these codes: [{result.status}]"
        )
    return None


class TargetMachine:
    """The health of one target under one set of settings; all times are lab milliseconds of the caller's clock."""

    def __init__(self, group: TargetGroup, *, now_ms: int, first_check_ms: int | None = None) -> None:
        self.group = group
        self.health = TargetHealth(
            "initial", "Elb.InitialHealthChecking", "Initial health checks in progress", since_ms=now_ms
        )
        self._next_ms = now_ms if first_check_ms is None else first_check_ms
        self._number = 0
        self._under_way = False
        self._successes = 0
        self._failures = 0

    def next_wake_ms(self) -> int | None:
        """When the next check begins; None until the one under way has ended."""
        return None if self._under_way else self._next_ms

    def on_wake(self, now_ms: int) -> list[StartCheck]:
        """Begin the check that is due."""
        if self._under_way or now_ms < self._next_ms:
            return []
        interval_ms = self.group.health_check_interval_s * 1000
        self._next_ms += interval_ms
        if self._next_ms <= now_ms:  # the machine slept: do not make up for what was missed
            self._next_ms = now_ms + interval_ms
        self._number += 1
        self._under_way = True
        return [StartCheck(self._number)]

    def on_settings(self, group: TargetGroup) -> None:
        """Go on under new settings; counts and the state are kept."""
        self.group = group

    def on_result(self, number: int, result: CheckResult, now_ms: int) -> bool:
        """Count a check's end; True if the state changed. What is not under way is ignored."""
        if not self._under_way or number != self._number:
            return False
        self._under_way = False
        failed = judge_check(result, self.group.matcher)
        before = self.health.state
        if failed is None:
            self._successes, self._failures = self._successes + 1, 0
            if before == "initial" or (before == "unhealthy" and self._successes >= self.group.healthy_threshold):
                self.health = TargetHealth("healthy", since_ms=now_ms)
        else:
            self._successes, self._failures = 0, self._failures + 1
            if before == "unhealthy" or self._failures >= self.group.unhealthy_threshold:
                since_ms = self.health.since_ms if before == "unhealthy" else now_ms
                self.health = TargetHealth("unhealthy", failed.reason, failed.description, since_ms)
        return self.health.state != before


def serving_targets(targets: Sequence[tuple[Target, TargetHealth]]) -> list[Target]:
    """Those that get requests: the healthy ones, or all if none is (fail-open). Unchecked targets count as healthy."""
    live = [(target, health) for target, health in targets if health.state != "draining"]
    healthy = [target for target, health in live if health.state in ("healthy", "unavailable")]
    return healthy or [target for target, _ in live]


def group_verdict(states: Sequence[TargetState]) -> bool | None:
    """Whether a group has a healthy target; None while all that it has are initial."""
    if any(state in ("healthy", "unavailable") for state in states):
        return True
    if states and all(state == "initial" for state in states):
        return None
    return False


def balancer_verdict(balancer: LoadBalancer, states: dict[str, Sequence[TargetState]]) -> bool | None:
    """Whether a load balancer is healthy to Route 53 and Global Accelerator; None while that is not known yet.

    It is if every target group that contains targets has a healthy one; with no targets at all it is not. `states` maps
    a target group's ARN to its targets' states.
    https://docs.aws.amazon.com/Route53/latest/APIReference/API_AliasTarget.html
    """
    verdicts = [group_verdict(states[arn]) for arn in balancer.target_group_arns if states.get(arn)]
    if not verdicts or False in verdicts:
        return False
    return None if None in verdicts else True


def detection_ms_max(group: TargetGroup) -> int:
    """The longest that a target which fails at once goes unnoticed."""
    return group.unhealthy_threshold * group.health_check_interval_s * 1000
