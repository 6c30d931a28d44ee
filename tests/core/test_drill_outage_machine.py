"""The order of an outage drill, in virtual time: a table of happenings and what the machine asks for at each."""

from __future__ import annotations

from lab.core.drill_outage import (
    AwaitConvergence,
    Effect,
    FailRegion,
    HealAll,
    OutageDrill,
    ReadReplicas,
    StallReplication,
    StartLoad,
    StopLoad,
)
from lab.core.history import Operation, Outcome
from lab.core.scenario import OutageScenario

EAST, WEST = "us-east-1", "us-west-2"
SCENARIO = OutageScenario(
    EAST, ("dublin", "tokyo"), steady_ms=1000, hold_ms=500, outage_limit_ms=10_000, return_limit_ms=10_000
)


def op(place: str, at_ms: int, outcome: Outcome, region: str) -> Operation:
    return Operation(place, "read", at_ms, at_ms + 10, outcome, region=region)


def drill_at_fault(scenario: OutageScenario = SCENARIO) -> OutageDrill:
    """A drill whose region has just failed, at 1000 ms: dublin was served by the east, tokyo by the west."""
    drill = OutageDrill(scenario)
    assert drill.on_wake(0) == [StartLoad()]
    drill.on_operation(op("dublin", 100, "ok", EAST), 110)
    drill.on_operation(op("tokyo", 100, "ok", WEST), 110)
    assert drill.on_wake(999) == []
    assert drill.on_wake(1000) == [FailRegion()]
    assert drill.on_done(FailRegion(), 1000) == []
    return drill


def feed(drill: OutageDrill, *operations: Operation) -> list[tuple[int, list[Effect]]]:
    """What the machine wants, and when, for operations in the order of their ends."""
    asked = ((one.ended_ms, drill.on_operation(one, one.ended_ms)) for one in operations)
    return [(at_ms, effects) for at_ms, effects in asked if effects]


def test_the_region_is_healed_once_every_place_was_served_for_the_hold_time() -> None:
    drill = drill_at_fault()
    asked = feed(
        drill,
        op("tokyo", 1100, "ok", WEST),
        op("dublin", 1100, "fail", EAST),
        op("tokyo", 1700, "ok", WEST),
        op("dublin", 3000, "ok", WEST),
        op("dublin", 3400, "ok", WEST),
        op("dublin", 3500, "ok", WEST),
    )
    assert asked == [(3510, [HealAll()])]


def test_a_failure_in_between_starts_the_hold_time_again() -> None:
    drill = drill_at_fault()
    asked = feed(
        drill,
        op("tokyo", 1100, "ok", WEST),
        op("tokyo", 1700, "ok", WEST),
        op("dublin", 3000, "ok", WEST),
        op("dublin", 3200, "fail", EAST),
        op("dublin", 3550, "ok", WEST),
        op("dublin", 4000, "ok", WEST),
        op("dublin", 4050, "ok", WEST),
    )
    assert asked == [(4060, [HealAll()])]


def test_an_outage_that_no_place_survives_ends_at_its_limit() -> None:
    drill = drill_at_fault()
    feed(drill, op("dublin", 1100, "fail", EAST), op("tokyo", 1100, "ok", WEST))
    assert drill.next_wake_ms() == 11_000
    assert drill.on_wake(11_000) == [HealAll()]


def test_after_the_heal_the_load_goes_on_until_every_place_is_home_again() -> None:
    drill = drill_at_fault()
    drill.on_wake(11_000)
    drill.on_done(HealAll(), 11_100)
    asked = feed(
        drill,
        op("tokyo", 11_200, "ok", WEST),
        op("tokyo", 11_800, "ok", WEST),
        op("dublin", 11_200, "ok", WEST),
        op("dublin", 12_000, "ok", WEST),
        op("dublin", 12_500, "ok", EAST),
        op("dublin", 12_900, "ok", EAST),
        op("dublin", 13_000, "ok", EAST),
    )
    assert asked == [(13_010, [StopLoad(), AwaitConvergence(), ReadReplicas()])]
    drill.on_done(ReadReplicas(), 13_500)
    assert drill.phase == "done" and drill.next_wake_ms() is None


def test_traffic_that_does_not_come_back_ends_the_drill_at_its_limit() -> None:
    drill = drill_at_fault()
    drill.on_wake(11_000)
    drill.on_done(HealAll(), 11_100)
    assert drill.on_wake(21_099) == []
    assert drill.on_wake(21_100) == [StopLoad(), AwaitConvergence(), ReadReplicas()]


def test_replication_is_stalled_before_a_fault_that_loses_data() -> None:
    drill = OutageDrill(OutageScenario(EAST, ("dublin",), lose_data=True, steady_ms=1000, lag_ms=500))
    drill.on_wake(0)
    assert drill.on_wake(1000) == [StallReplication()]
    assert drill.on_wake(1400) == []
    assert drill.on_wake(1500) == [FailRegion()]


def test_a_late_answer_of_the_dead_region_is_no_sign_of_life() -> None:
    drill = drill_at_fault()
    asked = feed(drill, op("dublin", 990, "ok", EAST), op("dublin", 1600, "fail", EAST))
    assert asked == []
    assert drill.phase == "outage"
