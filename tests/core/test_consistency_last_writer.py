"""Who may have been the last writer, and whether the replicas hold it."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from lab.core.consistency_last_writer import contests, last_candidates, last_writer_won, replicas_diverged
from lab.core.history import Event, History, ItemCopy, Operation, Outcome

EAST, WEST = "us-east-1", "us-west-2"


def write(region: str, begun_ms: int, ended_ms: int, value: str, outcome: Outcome = "ok") -> Operation:
    return Operation(region, "write", begun_ms, ended_ms, outcome, "k", value, region)


def read(region: str, at_ms: int, value: str | None) -> Operation:
    return Operation(region, "read", at_ms, at_ms + 1, "ok", "k", value, region)


def final(east: str, west: str) -> dict[str, dict[str, ItemCopy]]:
    return {EAST: {"k": ItemCopy(east, east)}, WEST: {"k": ItemCopy(west, west)}}


def test_the_later_of_two_writes_that_do_not_overlap_wins() -> None:
    operations = (write(EAST, 10, 20, "old"), write(WEST, 21, 30, "new"))
    assert last_writer_won(History(operations, replicas=final("new", "new"))).verdict == "pass"
    assert last_writer_won(History(operations, replicas=final("old", "old"))).verdict == "fail"


def test_either_of_two_writes_that_overlap_may_win() -> None:
    operations = (write(EAST, 10, 25, "one"), write(WEST, 20, 30, "two"))
    for winner in ("one", "two"):
        assert last_writer_won(History(operations, replicas=final(winner, winner))).verdict == "pass"


def test_replicas_that_disagree_have_no_winner() -> None:
    operations = (write(EAST, 10, 25, "one"), write(WEST, 20, 30, "two"))
    history = History(operations, replicas=final("one", "two"))
    assert last_writer_won(history).verdict == "fail"
    (contest,) = contests(history)
    assert contest.winner is None and not contest.agreed


def test_a_write_of_unknown_outcome_may_win_late_but_forces_nothing_out() -> None:
    operations = (write(EAST, 10, 20, "maybe", "unknown"), write(WEST, 30, 40, "sure"))
    assert [op.value for op in last_candidates(operations)] == ["maybe", "sure"]


def test_a_failed_write_is_no_candidate() -> None:
    operations = (write(EAST, 10, 20, "sure"), write(WEST, 30, 40, "never", "fail"), write(WEST, 1, 5, "early"))
    assert [op.value for op in last_candidates(operations)] == ["sure"]


def test_a_key_that_one_region_wrote_is_no_contest() -> None:
    assert last_writer_won(History((write(EAST, 1, 2, "a"), write(EAST, 3, 4, "b")))).verdict == "unknown"


def test_contested_keys_that_were_never_read_are_unknown() -> None:
    assert last_writer_won(History((write(EAST, 1, 2, "a"), write(WEST, 3, 4, "b")))).verdict == "unknown"


def test_two_different_reads_during_the_cut_show_divergence() -> None:
    cut, healed = Event(10, "cut"), Event(100, "healed")
    split = History((read(EAST, 20, "one"), read(WEST, 30, "two")), (cut, healed))
    assert replicas_diverged(split).verdict == "pass"
    same = History((read(EAST, 20, "one"), read(WEST, 30, "one")), (cut, healed))
    assert replicas_diverged(same).verdict == "fail"


def test_reads_outside_the_cut_show_nothing() -> None:
    history = History((read(EAST, 1, "one"), read(WEST, 200, "two")), (Event(10, "cut"), Event(100, "healed")))
    assert replicas_diverged(history).verdict == "unknown"
    assert replicas_diverged(History((read(EAST, 1, "one"), read(WEST, 2, "two")))).verdict == "unknown"


@given(st.lists(st.tuples(st.integers(0, 50), st.integers(0, 20), st.booleans()), min_size=1, max_size=8), st.data())
def test_the_write_with_the_latest_commit_is_always_a_candidate(
    calls: list[tuple[int, int, bool]], data: st.DataObject
) -> None:
    operations, commits = [], []
    for n, (begun, length, west) in enumerate(calls):
        operations.append(write(WEST if west else EAST, begun, begun + length, f"v{n}"))
        commits.append((data.draw(st.integers(begun, begun + length)), n))
    winner = operations[max(commits)[1]]
    assert winner in last_candidates(tuple(operations))
