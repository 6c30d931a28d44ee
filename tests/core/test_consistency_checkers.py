"""What the checkers conclude from small histories written by hand."""

from __future__ import annotations

from dataclasses import replace

from lab.core.consistency import (
    Finding,
    acknowledged_writes_survive,
    losses_are_accounted,
    no_phantom_items,
    overall,
    reads_were_right,
    replicas_agree,
)
from lab.core.history import Event, History, ItemCopy, LostWrite, Operation, Outcome

EAST, WEST = "us-east-1", "us-west-2"


def write(
    key: str | None, region: str, *, at_ms: int = 100, outcome: Outcome = "ok", value: str | None = "v"
) -> Operation:
    return Operation("dublin", "write", at_ms, at_ms + 5, outcome, key, value, region)


def read(key: str, region: str, value: str | None, *, at_ms: int) -> Operation:
    return Operation("dublin", "read", at_ms, at_ms + 5, "ok", key, value, region)


def copy(*keys: str, value: str = "v") -> dict[str, ItemCopy]:
    return {key: ItemCopy(value, f'{{"id":"{key}","value":"{value}"}}') for key in keys}


def lost(key: str, region: str = EAST) -> LostWrite:
    return LostWrite("feedback", key, 90, region)


def test_a_write_that_is_in_every_region_survives() -> None:
    history = History((write("a", EAST), write("b", WEST)), replicas={EAST: copy("a", "b"), WEST: copy("a", "b")})
    assert acknowledged_writes_survive(history).verdict == "pass"


def test_a_write_that_is_in_one_region_only_does_not_survive() -> None:
    history = History((write("a", EAST),), replicas={EAST: copy("a"), WEST: copy()})
    finding = acknowledged_writes_survive(history)
    assert finding.verdict == "fail"
    assert finding.evidence == ("a is missing in us-west-2 and was not reported as lost",)


def test_a_write_that_is_nowhere_survives_only_as_a_reported_loss() -> None:
    history = History((write("a", EAST), write("b", EAST)), replicas={EAST: copy("b"), WEST: copy("b")})
    assert acknowledged_writes_survive(history).verdict == "fail"
    assert acknowledged_writes_survive(replace(history, lost=(lost("a"),))).verdict == "pass"


def test_a_write_that_is_reported_as_lost_and_still_there_is_wrong() -> None:
    history = History((write("a", EAST),), replicas={EAST: copy("a"), WEST: copy("a")}, lost=(lost("a"),))
    assert "reported as lost, yet us-east-1, us-west-2 has it" in acknowledged_writes_survive(history).evidence[0]


def test_a_write_whose_value_changed_does_not_survive() -> None:
    history = History((write("a", EAST),), replicas={EAST: copy("a"), WEST: copy("a", value="other")})
    assert acknowledged_writes_survive(history).verdict == "fail"


def test_an_item_from_before_the_drill_must_survive_too() -> None:
    history = History(
        (write("a", EAST),), before={EAST: copy("old"), WEST: copy("old")}, replicas={EAST: copy("a"), WEST: copy("a")}
    )
    assert acknowledged_writes_survive(history).evidence == (
        "old is missing in us-east-1, us-west-2 and was not reported as lost",
    )


def test_a_checker_that_saw_no_evidence_says_unknown() -> None:
    nothing = History()
    for checker in (
        acknowledged_writes_survive,
        losses_are_accounted,
        no_phantom_items,
        replicas_agree,
        reads_were_right,
    ):
        assert checker(nothing).verdict == "unknown", checker.__name__


def test_writes_that_were_never_read_back_are_not_known_to_survive() -> None:
    assert acknowledged_writes_survive(History((write("a", EAST),))).verdict == "unknown"


def test_a_loss_of_a_write_without_known_outcome_is_accounted_for() -> None:
    history = History((write(None, EAST, outcome="unknown"),), replicas={EAST: {}, WEST: {}}, lost=(lost("x"),))
    assert losses_are_accounted(history).verdict == "pass"
    assert losses_are_accounted(replace(history, lost=(lost("x"), lost("y")))).verdict == "fail"


def test_a_loss_is_reported_for_the_region_that_took_the_write() -> None:
    history = History((write("a", WEST),), replicas={EAST: {}, WEST: {}}, lost=(lost("a", EAST),))
    assert losses_are_accounted(history).verdict == "fail"


def test_more_unexplained_items_than_unknown_writes_are_phantoms() -> None:
    unknown = write(None, EAST, outcome="unknown")
    one = History((write("a", EAST), unknown), replicas={EAST: copy("a", "x"), WEST: copy("a", "x")})
    assert no_phantom_items(one).verdict == "pass"
    two = replace(one, replicas={EAST: copy("a", "x", "y"), WEST: copy("a", "x", "y")})
    assert no_phantom_items(two).verdict == "fail"


def test_replicas_agree_only_if_every_attribute_does() -> None:
    other = {"a": ItemCopy("v", '{"id":"a","value":"v","more":1}')}
    assert replicas_agree(History(replicas={EAST: copy("a"), WEST: copy("a")})).verdict == "pass"
    assert replicas_agree(History(replicas={EAST: copy("a"), WEST: other})).verdict == "fail"
    assert replicas_agree(History(replicas={EAST: copy("a"), WEST: copy()})).verdict == "fail"


def test_empty_replicas_prove_nothing() -> None:
    assert replicas_agree(History(replicas={EAST: {}, WEST: {}})).verdict == "unknown"
    assert replicas_agree(History(replicas={EAST: copy("a")})).verdict == "unknown"


def test_a_miss_in_another_region_is_lag_and_in_the_writing_region_wrong() -> None:
    wrote = write("a", EAST, at_ms=100)
    assert reads_were_right(History((wrote, read("a", WEST, None, at_ms=200)))).verdict == "pass"
    assert reads_were_right(History((wrote, read("a", EAST, None, at_ms=200)))).verdict == "fail"


def test_a_read_that_overlaps_the_write_may_miss_it() -> None:
    assert reads_were_right(History((write("a", EAST, at_ms=100), read("a", EAST, None, at_ms=104)))).verdict == "pass"


def test_a_region_that_lost_its_data_may_miss_its_own_writes_afterwards() -> None:
    gone = Event(150, "data_lost", EAST)
    operations = (write("a", EAST, at_ms=100), read("a", EAST, None, at_ms=200))
    assert reads_were_right(History(operations, (gone,))).verdict == "pass"


def test_a_read_of_a_value_that_was_not_written_is_wrong() -> None:
    history = History((write("a", EAST), read("a", WEST, "something else", at_ms=300)))
    assert reads_were_right(history).verdict == "fail"


def test_one_failure_outweighs_everything_and_one_unknown_every_pass() -> None:
    passed, failed, unknown = (Finding("x", verdict, "") for verdict in ("pass", "fail", "unknown"))
    assert overall([passed, unknown, failed]) == "fail"
    assert overall([passed, unknown]) == "unknown"
    assert overall([passed, passed]) == "pass"
    assert overall([]) == "unknown"
