"""Recovery time, availability and bounds, from small histories written by hand."""

from __future__ import annotations

import pytest

from lab.core import drill_availability as availability
from lab.core.drill_bound import failover_bound
from lab.core.drill_timeline import timeline
from lab.core.history import Event, History, Operation, Outcome

EAST, WEST = "us-east-1", "us-west-2"
FAULT, HEALED = 1000, 5000


def op(begun_ms: int, outcome: Outcome, region: str = EAST, *, took_ms: int = 10, place: str = "dublin") -> Operation:
    return Operation(place, "read", begun_ms, begun_ms + took_ms, outcome, region=region)


OUTAGE = (
    op(500, "ok"),
    op(1100, "fail"),
    op(1500, "unknown"),
    op(2000, "ok", WEST),
    op(2500, "fail"),
    op(3000, "ok", WEST),
    op(4000, "ok", WEST),
    op(6000, "ok", EAST),
)


def record(*operations: Operation) -> availability.PlaceRecord:
    (found,) = availability.place_records(History(operations), ("dublin",), FAULT, HEALED)
    return found


def test_recovery_is_counted_to_the_success_after_the_last_failure() -> None:
    found = record(*OUTAGE)
    assert (found.first_failed_ms, found.first_success_ms, found.recovered_ms) == (1110, 2010, 3010)
    assert found.recovery_time_ms(FAULT) == 2010


def test_a_hang_is_a_failure_when_the_client_gives_up() -> None:
    found = record(op(990, "unknown", took_ms=2000), op(3500, "ok", WEST))
    assert found.first_failed_ms == 2990
    assert found.outage == availability.Share(1, 2)


def test_an_answer_to_an_older_request_is_no_recovery() -> None:
    """The success began before the failure did: the dead region may have given it its last answer."""
    assert record(op(990, "ok", took_ms=600), op(1000, "fail", took_ms=10)).recovered_ms is None


def test_a_place_that_never_failed_recovers_at_once() -> None:
    assert record(op(500, "ok", WEST), op(2000, "ok", WEST)).recovery_time_ms(FAULT) == 0


def test_a_place_that_was_not_served_again_has_no_recovery_time() -> None:
    found = record(op(500, "ok"), op(1100, "fail"), op(6000, "ok"))
    assert found.recovery_time_ms(FAULT) is None
    assert availability.every_place_recovered((found,), FAULT, 10_000).verdict == "fail"


def test_availability_is_the_share_of_answered_requests() -> None:
    found = record(*OUTAGE)
    assert found.outage == availability.Share(3, 6)
    assert found.outage.percent == 50.0
    assert availability.Share(0, 0).percent is None


def test_a_place_that_recovers_too_late_fails_the_drill() -> None:
    found = record(*OUTAGE)
    assert availability.every_place_recovered((found,), FAULT, 2010).verdict == "pass"
    assert availability.every_place_recovered((found,), FAULT, 2009).verdict == "fail"


def test_a_fault_that_nobody_felt_is_unknown() -> None:
    assert availability.the_fault_was_felt((record(op(2000, "ok", WEST)),)).verdict == "unknown"
    assert availability.the_fault_was_felt((record(*OUTAGE),)).verdict == "pass"


def test_traffic_that_does_not_come_back_fails_the_drill() -> None:
    assert availability.traffic_returned((record(*OUTAGE),)).verdict == "pass"
    stayed = record(op(500, "ok", EAST), op(2000, "ok", WEST), op(6000, "ok", WEST))
    assert availability.traffic_returned((stayed,)).verdict == "fail"
    failed = record(op(500, "ok", EAST), op(6000, "fail"), op(6100, "ok", EAST))
    assert availability.traffic_returned((failed,)).verdict == "fail"


def test_silence_is_unknown() -> None:
    silent = record()
    assert availability.steady_before_the_fault((silent,)).verdict == "unknown"
    assert availability.every_place_recovered((silent,), FAULT, 1).verdict == "unknown"
    assert availability.traffic_returned((silent,)).verdict == "unknown"


def test_a_failed_request_before_the_fault_fails_the_drill() -> None:
    assert availability.steady_before_the_fault((record(op(1, "fail"), op(20, "ok")),)).verdict == "fail"


def test_the_bound_is_detection_and_ttl_and_the_last_request() -> None:
    bound = failover_bound(
        request_interval_s=10,
        failure_threshold=3,
        check_timeout_ms=0,
        ttl_s=60,
        client_timeout_ms=2000,
        speed=30,
        slack_ms=500,
    )
    assert (bound.detection_ms, bound.ttl_ms, bound.total_ms) == (1000, 2000, 5500)


def test_a_region_that_hangs_costs_each_check_its_timeout() -> None:
    bound = failover_bound(
        request_interval_s=30,
        failure_threshold=3,
        check_timeout_ms=2000,
        ttl_s=60,
        client_timeout_ms=5000,
        speed=1,
        slack_ms=0,
    )
    assert bound.total_ms == pytest.approx(3 * 32_000 + 60_000 + 5000)


def test_the_timeline_joins_what_clients_saw_to_what_the_lab_recorded() -> None:
    events = (Event(HEALED, "healed"), Event(FAULT, "fault", EAST), Event(1800, "detected", EAST))
    history = History(OUTAGE, events)
    records = availability.place_records(history, ("dublin",), FAULT, HEALED)
    assert [(moment.offset_ms, moment.kind) for moment in timeline(history, records, FAULT)] == [
        (0, "fault"),
        (110, "first_failed"),
        (800, "detected"),
        (1010, "first_success"),
        (2010, "recovered"),
        (4000, "healed"),
    ]
