"""The machine of all health checks in virtual time: schedules, thresholds, shares, derived types, faults, changes."""

from __future__ import annotations

import itertools
import math
import random
from collections.abc import Callable
from typing import Any

import pytest

from lab.core.checkers import CHECKERS, checkers_of, enough_agree
from lab.core.faults import Fault, FaultSet
from lab.core.health import HealthMachine, ReadMetric, StartProbe, StatusChanged
from lab.core.health_alarm import Alarm, alarm_status
from lab.core.health_check import AlarmIdentifier, HealthCheck, HealthChecks
from lab.core.health_metrics import metric_data
from lab.core.health_probe import ProbeResult, Timings

GOOD, BAD = ProbeResult(True, "good"), ProbeResult(False, "bad")


def check(health_check_id: str = "c", type: str = "HTTP", **fields: Any) -> HealthCheck:
    return HealthCheck(health_check_id, health_check_id, type, 0, ip_address="127.0.0.1", **fields)  # type: ignore[arg-type]


class Run:
    """Drives a machine: every probe takes `took_ms` and its result comes from `verdict(check id, region, when)`."""

    def __init__(self, *checks: HealthCheck, speed: float = 1.0, took_ms: int = 10, **controls: bool) -> None:
        self.machine = HealthMachine(random.Random(1), speed=speed)
        self.verdict: Callable[[str, str, int], bool] = lambda check, region, when: True
        self.metric: bool | None = None
        self.took_ms = took_ms
        self.now = 0
        self.probes: list[tuple[int, str, str]] = []
        self.flips: list[tuple[int, str, bool]] = []
        self._pending: list[tuple[int, StartProbe]] = []
        self.configure(*checks, **controls)

    def configure(self, *checks: HealthCheck, **controls: bool) -> None:
        self._take(self.machine.on_configured(HealthChecks(checks, controls), self.now))

    def faults(self, *faults: Fault) -> None:
        self._take(self.machine.on_faults(FaultSet(faults), self.now))

    def until(self, end: int) -> None:
        while True:
            wake = self.machine.next_wake_ms()
            done = min((when for when, _ in self._pending), default=None)
            due = min((t for t in (wake, done) if t is not None), default=None)
            if due is None or due > end:
                break
            self.now = max(self.now, int(-(-due // 1)))
            if done is not None and done <= self.now:
                entry = min(self._pending, key=lambda pending: pending[0])
                self._pending.remove(entry)
                probe = entry[1]
                ok = self.verdict(probe.check.health_check_id, probe.checker.region, self.now)
                result = GOOD if ok else BAD
                self._take(self.machine.on_result(probe.ticket, probe.check.health_check_id, result, self.now))
            else:
                self._take(self.machine.on_wake(self.now))
        self.now = end

    def _take(self, effects: list[Any]) -> None:
        for effect in effects:
            match effect:
                case StartProbe(probed, checker, _):
                    self.probes.append((self.now, probed.health_check_id, checker.address))
                    self._pending.append((self.now + self.took_ms, effect))
                case ReadMetric(probed, ticket):
                    self._take(self.machine.on_metric(ticket, probed.health_check_id, self.metric, self.now))
                case StatusChanged(health_check_id, healthy, when):
                    self.flips.append((when, health_check_id, healthy))


def fails_from(when: int) -> Callable[[str, str, int], bool]:
    return lambda check, region, now: now < when


def test_every_checker_probes_an_interval_after_its_response() -> None:
    run = Run(check(), took_ms=500)
    run.until(200_000)
    for checker in CHECKERS:
        times = [when for when, _, address in run.probes if address == checker.address]
        assert 0 <= times[0] <= 30_000
        assert {later - earlier for earlier, later in itertools.pairwise(times)} == {30_500}


def test_an_endpoint_sees_a_request_about_every_two_seconds() -> None:
    run = Run(check())
    run.until(300_000)
    assert 300 / 2.2 < len(run.probes) < 300 / 1.7


@pytest.mark.parametrize(("interval", "threshold", "least_s", "most_s"), [(30, 3, 55, 92), (10, 1, 4, 11)])
def test_the_detection_time_is_what_intervals_and_thresholds_imply(
    interval: int, threshold: int, least_s: int, most_s: int
) -> None:
    run = Run(check(request_interval=interval, failure_threshold=threshold))
    run.verdict = fails_from(100_000)
    run.until(300_000)
    ((when, _, healthy),) = run.flips
    assert not healthy
    assert least_s <= (when - 100_000) / 1000 <= most_s


def test_recovery_needs_the_threshold_too_but_only_three_of_sixteen_checkers() -> None:
    run = Run(check())
    run.verdict = lambda check, region, now: now > 200_000
    run.until(400_000)
    (_, down), (up_at, up) = [(when, healthy) for when, _, healthy in run.flips]
    assert (down, up) == (False, True)
    assert 60_000 <= up_at - 200_000 <= 90_000


def test_speed_divides_intervals() -> None:
    run = Run(check(request_interval=10), speed=30.0)
    run.until(10_000)
    assert len(run.probes) == pytest.approx(16 * 10_000 / (333 + 10), rel=0.05)


def test_one_bad_result_or_two_do_not_flip_a_checker() -> None:
    run = Run(check(regions=("us-east-1",)))
    results = iter([False, False, True] * 100)
    run.verdict = lambda check, region, now: next(results)
    run.until(600_000)
    assert run.flips == []


@pytest.mark.parametrize(
    ("healthy", "total", "agreed"), [(3, 16, True), (2, 16, False), (1, 6, False), (2, 6, True), (0, 0, True)]
)
def test_more_than_eighteen_percent_must_find_it_healthy(healthy: int, total: int, agreed: bool) -> None:
    assert enough_agree([True] * healthy + [False] * (total - healthy)) is agreed


def test_opinions_split_by_region_and_the_share_decides() -> None:
    run = Run(check(failure_threshold=1))
    run.verdict = lambda check, region, now: region in ("us-east-1", "us-west-1")
    run.until(100_000)
    assert run.machine.is_healthy("c")
    run.verdict = lambda check, region, now: region == "us-east-1"
    run.until(200_000)
    assert not run.machine.is_healthy("c")


def test_chosen_regions_alone_probe() -> None:
    regions = ("us-east-1", "eu-west-1", "sa-east-1")
    assert {checker.region for checker in checkers_of(check(regions=regions))} == set(regions)


def test_a_new_check_is_healthy_and_an_inverted_one_is_not_until_there_is_data() -> None:
    run = Run(check("plain"), check("inverted", inverted=True))
    assert run.machine.is_healthy("plain")
    assert not run.machine.is_healthy("inverted")
    run.verdict = fails_from(0)
    run.until(200_000)
    assert not run.machine.is_healthy("plain")
    assert run.machine.is_healthy("inverted")


def test_a_disabled_check_is_healthy_and_not_probed_and_inversion_pulls_it_out() -> None:
    run = Run(check("a", disabled=True), check("b", disabled=True, inverted=True))
    run.until(100_000)
    assert run.probes == []
    assert (run.machine.is_healthy("a"), run.machine.is_healthy("b")) == (True, False)


def test_disabling_and_enabling_a_check_takes_effect() -> None:
    run = Run(check())
    run.verdict = fails_from(0)
    run.until(200_000)
    assert not run.machine.is_healthy("c")
    run.configure(check(disabled=True, version=2))
    assert run.machine.is_healthy("c")
    probes = len(run.probes)
    run.until(300_000)
    assert len(run.probes) == probes
    run.configure(check(version=3))
    run.until(400_000)
    assert len(run.probes) > probes
    assert not run.machine.is_healthy("c")


@pytest.mark.parametrize(("threshold", "down", "healthy"), [(2, 1, True), (2, 2, False), (0, 3, True), (4, 0, False)])
def test_a_calculated_check_counts_its_healthy_children(threshold: int, down: int, healthy: bool) -> None:
    children = [check(f"child{n}") for n in range(3)]
    names = tuple(child.health_check_id for child in children)
    parent = check("parent", "CALCULATED", child_health_checks=names, health_threshold=threshold)
    run = Run(parent, *children)
    run.verdict = lambda check, region, now: int(check[-1]) >= down
    run.until(200_000)
    assert run.machine.is_healthy("parent") is healthy


def test_a_disabled_child_counts_as_healthy() -> None:
    parent = check("parent", "CALCULATED", child_health_checks=("a", "b"), health_threshold=2)
    run = Run(parent, check("a", disabled=True), check("b"))
    run.verdict = fails_from(0)
    run.until(1_000)
    assert run.machine.is_healthy("parent")
    run.configure(parent, check("a", disabled=True, inverted=True), check("b"))
    assert not run.machine.is_healthy("parent")


def test_an_inverted_check_of_any_type_is_the_opposite_of_what_it_measures() -> None:
    alarm = AlarmIdentifier("us-east-1", "alarm")
    run = Run(
        check("metric", "CLOUDWATCH_METRIC", alarm=alarm, inverted=True),
        check("sum", "CALCULATED", child_health_checks=("child",), health_threshold=1, inverted=True),
        check("control", "RECOVERY_CONTROL", routing_control_arn="arn", inverted=True),
        check("child"),
        arn=True,
    )
    names = ("metric", "sum", "control")
    assert [run.machine.is_healthy(name) for name in names] == [False, False, False]  # no data yet
    run.metric, run.verdict = False, fails_from(0)
    run.configure(*(state.check for state in run.machine.states.values()), arn=False)
    run.until(200_000)
    assert [run.machine.is_healthy(name) for name in names] == [True, True, True]


def test_a_calculated_check_follows_a_reported_child_at_once() -> None:
    run = Run(check("parent", "CALCULATED", child_health_checks=("child",), health_threshold=1), check("child"))
    run.faults(Fault("f", "health_reported", 0, health_check_id="child", healthy=False))
    assert [(name, healthy) for _, name, healthy in run.flips] == [("child", False), ("parent", False)]
    run.faults()
    assert run.machine.is_healthy("parent")


def test_a_routing_control_switches_its_check() -> None:
    control = check("r", "RECOVERY_CONTROL", routing_control_arn="arn")
    run = Run(control, arn=True)
    assert run.machine.is_healthy("r")
    run.configure(control, arn=False)
    assert not run.machine.is_healthy("r")
    run.configure(control, arn=True)
    assert run.machine.is_healthy("r")


@pytest.mark.parametrize(
    ("insufficient", "healthy"), [("Healthy", True), ("Unhealthy", False), ("LastKnownStatus", False), (None, False)]
)
def test_insufficient_data_counts_as_configured(insufficient: str | None, healthy: bool) -> None:
    alarm = AlarmIdentifier("us-east-1", "alarm")
    run = Run(check("m", "CLOUDWATCH_METRIC", alarm=alarm, insufficient_data_health_status=insufficient))
    run.metric = False
    run.until(20_000)
    assert not run.machine.is_healthy("m")
    run.metric = None
    run.until(40_000)
    assert run.machine.is_healthy("m") is healthy


def test_an_unchanged_check_goes_on_when_others_change() -> None:
    run = Run(check("a"))
    run.verdict = fails_from(0)
    run.until(85_000)
    before = run.machine.states["a"]
    run.configure(check("a"), check("b"))
    assert run.machine.states["a"] is before
    run.until(120_000)
    assert not run.machine.is_healthy("a")


def test_a_removed_check_is_not_probed_and_counts_as_healthy_again() -> None:
    run = Run(check())
    run.verdict = fails_from(0)
    run.until(200_000)
    run.configure()
    assert run.machine.is_healthy("c")
    assert run.flips[-1][1:] == ("c", True)
    probes = len(run.probes)
    run.until(300_000)
    assert len(run.probes) == probes


def test_an_edited_endpoint_is_judged_anew_by_checkers_that_keep_their_opinion() -> None:
    run = Run(check())
    run.verdict = fails_from(0)
    run.until(200_000)
    run.configure(check(resource_path="/other", version=2))
    assert not run.machine.is_healthy("c")
    run.verdict = lambda check, region, now: True
    run.until(400_000)
    assert run.machine.is_healthy("c")


def test_the_metrics_of_a_minute_are_those_of_aws() -> None:
    run = Run(
        check("plain"),
        check("timed", measure_latency=True),
        check("off", disabled=True),
        check("sum", "CALCULATED", child_health_checks=("plain", "timed"), health_threshold=1),
    )
    run.verdict = lambda check, region, now: region != "us-east-1"
    run.until(200_000)
    state = run.machine.states["timed"]
    for opinion in state.opinions:
        opinion.last = ProbeResult(True, "", Timings(10.0, None, 20.0))
    data = metric_data(run.machine.states)
    found = {(datum.name, datum.health_check_id, datum.region): datum.value for datum in data}
    assert found["HealthCheckStatus", "plain", None] == 1.0
    assert found["HealthCheckPercentageHealthy", "plain", None] == 87.5
    assert found["ChildHealthCheckHealthyCount", "sum", None] == 2.0
    assert found["ConnectionTime", "timed", "eu-west-1"] == 10.0
    assert found["TimeToFirstByte", "timed", "sa-east-1"] == 20.0
    assert not any(name == "SSLHandshakeTime" or owner == "off" for name, owner, _ in found)


ALARM = Alarm("N", "m", (), "Average", 60, 3, 10.0, "GreaterThanThreshold")


@pytest.mark.parametrize(
    ("values", "status"),
    [
        ([11, 12, 13], False),
        ([11, 12, 9], True),
        ([9, 11, 12, 13], False),  # only the newest count
        ([11, 12], None),
        ([], None),
        ([9], True),
    ],
)
def test_an_alarm_is_breached_when_its_newest_data_points_all_are(values: list[float], status: bool | None) -> None:
    datapoints = {60 * n: float(value) for n, value in enumerate(values)}
    assert alarm_status(ALARM, datapoints) is status


@pytest.mark.parametrize(
    ("comparison", "breached"),
    [
        ("GreaterThanThreshold", {11.0}),
        ("GreaterThanOrEqualToThreshold", {10.0, 11.0}),
        ("LessThanThreshold", {9.0}),
        ("LessThanOrEqualToThreshold", {9.0, 10.0}),
    ],
)
@pytest.mark.parametrize("statistic", ["Average", "Minimum", "Maximum", "Sum", "SampleCount"])
def test_every_comparison_and_statistic_of_a_standard_alarm_is_evaluated(
    comparison: str, breached: set[float], statistic: str
) -> None:
    alarm = Alarm("N", "m", (), statistic, 60, 1, 10.0, comparison)
    assert {value for value in (9.0, 10.0, 11.0) if alarm_status(alarm, {0: value}) is False} == breached


def test_an_alarm_that_route_53_cannot_evaluate_has_insufficient_data() -> None:
    for alarm in (
        Alarm("N", "m", (), "p99", 60, 1, 10.0, "GreaterThanThreshold"),
        Alarm("N", "m", (), "Average", 60, 3, 10.0, "GreaterThanThreshold", datapoints_to_alarm=2),
        Alarm("N", "m", (), "Average", 60, 1, 10.0, "LessThanLowerThreshold"),
    ):
        assert alarm_status(alarm, {0: 11.0, 60: 11.0, 120: 11.0}) is None


@pytest.mark.parametrize(("checks", "together"), [(60, False), (100, True)])
def test_many_probes_start_a_tenth_of_a_second_together_and_few_at_their_own_times(checks: int, together: bool) -> None:
    machine = HealthMachine(random.Random(1))
    machine.on_configured(HealthChecks(tuple(check(f"c{n}") for n in range(checks))), 0)
    wakes = [0.0]
    for _ in range(20):
        due_ms = machine.next_wake_ms()
        assert due_ms is not None
        machine.on_wake(math.ceil(due_ms))
        wakes.append(math.ceil(due_ms))
    pauses = [after - before for before, after in itertools.pairwise(wakes)]
    assert (min(pauses) >= 100) is together
