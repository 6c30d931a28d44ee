"""Who takes part in a drill, what a split brain writes, and what the reports conclude."""

from __future__ import annotations

from dataclasses import replace

import pytest

from lab.core import codec
from lab.core.drill_bound import FailoverBound
from lab.core.drill_report import Report, outage_report, split_brain_report
from lab.core.drill_split_brain import contested_writes, expected_winner
from lab.core.history import Event, History, ItemCopy, LostWrite, MachineSample, Operation
from lab.core.outcome import outcome_of_silence, outcome_of_status
from lab.core.scenario import OutageScenario, SplitBrainScenario, choose_places, served_by, two_regions
from lab.core.topology import RoundTrip, Topology, regional_addresses
from lab.data import geography, places
from lab.errors import UserError

EAST, WEST = "us-east-1", "us-west-2"
TOPOLOGY = Topology("127.10", regional_addresses("127.10", (EAST, WEST)), places(), "/s", "/r")
BOUND = FailoverBound(1000, 2000, 2000, 1000)


def test_a_drill_has_places_on_both_sides() -> None:
    chosen = choose_places(TOPOLOGY, geography(), EAST)
    assert chosen == ("dublin", "newyork", "tokyo")
    assert [served_by(TOPOLOGY, geography(), place) for place in chosen] == [EAST, EAST, WEST]


def test_round_trips_set_by_hand_decide_who_is_served_where() -> None:
    topology = replace(TOPOLOGY, round_trips=(RoundTrip("dublin", WEST, 1.0),))
    assert served_by(topology, geography(), "dublin") == WEST


def test_a_lab_of_one_region_is_refused() -> None:
    alone = replace(TOPOLOGY, regions=regional_addresses("127.10", (EAST,)))
    with pytest.raises(UserError, match=r"needs two regions.*only us-east-1"):
        two_regions(alone, None)


def test_an_unknown_region_is_refused_with_the_known_ones() -> None:
    with pytest.raises(UserError, match=r"unknown region 'mars-1': this lab has us-east-1, us-west-2"):
        two_regions(TOPOLOGY, "mars-1")


def test_the_first_region_fails_unless_told_otherwise() -> None:
    assert two_regions(TOPOLOGY, None) == (EAST, WEST)
    assert two_regions(TOPOLOGY, WEST) == (WEST, EAST)


def test_both_sides_win_keys_in_a_split_brain() -> None:
    writes = contested_writes(SplitBrainScenario(EAST, WEST, keys=4, rounds=2), "k")
    winners = [expected_winner(writes, f"k-{n:03d}").region for n in range(4)]
    assert len(writes) == 16
    assert winners == [EAST, WEST, EAST, WEST]


@pytest.mark.parametrize(
    ("action", "status", "outcome"),
    [
        ("write", 201, "ok"),
        ("write", 403, "fail"),
        ("write", 429, "fail"),
        ("write", 502, "unknown"),
        ("write", 504, "unknown"),
        ("read", 200, "ok"),
        ("read", 404, "ok"),
        ("read", 403, "fail"),
        ("read", 503, "fail"),
    ],
)
def test_a_status_tells_what_may_have_happened(action: str, status: int, outcome: str) -> None:
    assert outcome_of_status(action, status) == outcome  # type: ignore[arg-type]


def test_only_a_write_that_was_sent_may_have_happened() -> None:
    assert outcome_of_silence("write", maybe_executed=True) == "unknown"
    assert outcome_of_silence("write", maybe_executed=False) == "fail"
    assert outcome_of_silence("read", maybe_executed=True) == "fail"


def call(action: str, at_ms: int, outcome: str, key: str | None, region: str, value: str | None = "v") -> Operation:
    return Operation("dublin", action, at_ms, at_ms + 10, outcome, key, value, region)  # type: ignore[arg-type]


def item(value: str = "v") -> ItemCopy:
    return ItemCopy(value, value)


GOOD = History(
    (
        call("write", 100, "ok", "a", EAST),
        call("read", 200, "ok", "a", EAST),
        call("write", 1100, "fail", None, EAST),
        call("write", 3000, "ok", "b", WEST),
        call("write", 6000, "ok", "c", EAST),
    ),
    (Event(1000, "fault", EAST), Event(5000, "healed", EAST), Event(7000, "converged")),
    before={EAST: {}, WEST: {}},
    replicas={EAST: {k: item() for k in "abc"}, WEST: {k: item() for k in "abc"}},
)


def test_a_good_outage_passes_and_says_its_numbers() -> None:
    report = outage_report("region_outage", OutageScenario(EAST, ("dublin",)), GOOD, BOUND)
    assert report.verdict == "pass", report.findings
    assert (report.recovery_time_ms, report.recovery_point_ms, report.exit_status) == (2010, 0, 0)


def test_a_lost_write_fails_a_drill_that_keeps_the_data_and_gives_the_recovery_point_of_one_that_does_not() -> None:
    without_a = {k: item() for k in "bc"}
    history = replace(GOOD, replicas={EAST: without_a, WEST: without_a}, lost=(LostWrite("feedback", "a", 105, EAST),))
    assert outage_report("x", OutageScenario(EAST, ("dublin",)), history, BOUND).verdict == "fail"
    report = outage_report("x", OutageScenario(EAST, ("dublin",), lose_data=True), history, BOUND)
    assert report.verdict == "pass", report.findings
    assert (report.recovery_point_ms, report.lost_writes) == (895, 1)


def test_losses_that_the_lab_cannot_tell_are_unknown_and_neither_none_nor_complete() -> None:
    why = {WEST: "the journal of us-west-2 cannot be read: connection refused"}
    history = replace(GOOD, losses_unknown=why)
    report = outage_report("x", OutageScenario(EAST, ("dublin",)), history, BOUND)
    assert (report.verdict, report.recovery_point_ms, report.losses_unknown) == ("unknown", None, why)
    (finding,) = [finding for finding in report.findings if finding.checker == "nothing was lost"]
    assert finding.summary == f"what us-west-2 lost is not known: {why[WEST]}"

    without_a = {k: item() for k in "bc"}
    report = outage_report(
        "x", OutageScenario(EAST, ("dublin",)), replace(history, replicas={EAST: without_a, WEST: without_a}), BOUND
    )
    (finding,) = [finding for finding in report.findings if finding.checker == "acknowledged writes survive"]
    assert (finding.verdict, finding.evidence) == ("unknown", ("a is missing everywhere",))


def test_a_drill_that_loses_data_and_lost_none_is_unknown() -> None:
    report = outage_report("x", OutageScenario(EAST, ("dublin",), lose_data=True), GOOD, BOUND)
    assert (report.verdict, report.exit_status) == ("unknown", 2)


def test_a_drill_without_a_fault_proves_nothing() -> None:
    assert outage_report("x", OutageScenario(EAST, ("dublin",)), replace(GOOD, events=()), BOUND).exit_status == 2


def test_replication_that_did_not_finish_fails_the_drill() -> None:
    history = replace(GOOD, events=(*GOOD.events[:2], Event(7000, "not_converged")))
    assert outage_report("x", OutageScenario(EAST, ("dublin",)), history, BOUND).verdict == "fail"


def busy(ran_ms: int, waited_ms: int, begun_ms: int = 0, ended_ms: int = 10_000) -> tuple[MachineSample, ...]:
    """A sample every half second of a time in which threads ran and waited so long."""
    return tuple(MachineSample(at, at + 500, ran_ms, waited_ms) for at in range(begun_ms, ended_ms, 500))


FAILED_AFTER_THE_HEAL = replace(GOOD, operations=(*GOOD.operations, call("write", 6500, "unknown", None, WEST, None)))


def test_what_fails_on_an_overloaded_machine_is_unknown_and_says_so() -> None:
    history = replace(FAILED_AFTER_THE_HEAL, machine=busy(100, 900))
    report = outage_report("x", OutageScenario(EAST, ("dublin",)), history, BOUND)
    assert (report.verdict, report.exit_status) == ("unknown", 2)
    found = {finding.checker: finding for finding in report.findings}
    assert found["traffic returned"].verdict == "unknown"
    assert "the machine was overloaded (work took 10 times as long)" in found["traffic returned"].summary
    assert "this run proves nothing" in found["the machine kept up"].summary


@pytest.mark.parametrize(
    "machine",
    [
        (),  # not measured
        busy(100, 300),  # busy, and it keeps up
        busy(100, 900, ended_ms=4000) + busy(100, 0, begun_ms=4000),  # overloaded before the heal only
        busy(100, 0, ended_ms=6000) + busy(100, 900, begun_ms=6000, ended_ms=7000) + busy(100, 0, begun_ms=7000),
    ],
    ids=["unmeasured", "busy", "earlier", "a moment"],
)
def test_what_fails_on_a_machine_that_keeps_up_is_a_failure(machine: tuple[MachineSample, ...]) -> None:
    history = replace(FAILED_AFTER_THE_HEAL, machine=machine)
    assert outage_report("x", OutageScenario(EAST, ("dublin",)), history, BOUND).verdict == "fail"


def test_an_overloaded_machine_is_no_excuse_for_lost_data() -> None:
    history = replace(GOOD, replicas={EAST: {}, WEST: {}}, machine=busy(100, 900))
    assert outage_report("x", OutageScenario(EAST, ("dublin",)), history, BOUND).verdict == "fail"


def test_what_passes_on_an_overloaded_machine_has_passed() -> None:
    report = outage_report("x", OutageScenario(EAST, ("dublin",)), replace(GOOD, machine=busy(100, 900)), BOUND)
    assert report.verdict == "pass"
    assert report.findings[-1].summary == "work took at most 10.0 times as long as alone, and nothing failed for it"


def test_a_split_brain_tells_who_won() -> None:
    history = History(
        (
            call("write", 20, "ok", "k", EAST, "one"),
            call("write", 40, "ok", "k", WEST, "two"),
            call("read", 60, "ok", "k", EAST, "one"),
            call("read", 80, "ok", "k", WEST, "two"),
        ),
        (Event(10, "cut"), Event(100, "healed"), Event(200, "converged")),
        replicas={EAST: {"k": item("two")}, WEST: {"k": item("two")}},
    )
    report = split_brain_report("split_brain", SplitBrainScenario(EAST, WEST), history)
    assert report.verdict == "pass", report.findings
    assert [(line.key, line.winner_region) for line in report.contests] == [("k", WEST)]


def test_a_report_survives_json() -> None:
    report = outage_report("x", OutageScenario(EAST, ("dublin",)), GOOD, BOUND)
    assert codec.decode(Report, codec.encode(report)) == report
