"""The log of an engine's changes: order, reading on, what was dropped, fences."""

from __future__ import annotations

import pytest

from lab.core.stream_log import LoggedRecord, StreamLog, Trimmed


def log_with(*writes: tuple[str, str | None], records_max: int = 100) -> tuple[StreamLog, list[str]]:
    """A log of one table with writes as (key, mark), and their sequence numbers."""
    log, sequences = StreamLog(records_max), []
    for key, mark in writes:
        sequence = log.next_sequence(1000)
        log.append("t", LoggedRecord(sequence, key, mark, b"{}"))
        sequences.append(sequence)
    return log, sequences


def test_sequence_numbers_grow_when_the_clock_goes_back() -> None:
    log = StreamLog()
    first, second = log.next_sequence(2000), log.next_sequence(1000)
    assert first < second
    assert second[:20] == first[:20]
    assert (len(first), int(second[20:])) == (30, 2)


def test_a_reader_goes_on_where_it_was() -> None:
    log, sequences = log_with(("a", None), ("b", None), ("c", None))
    records, following = log.read("t", log.oldest("t"), 2)
    assert [record.key for record in records] == ["a", "b"]
    assert [record.key for record in log.read("t", following)[0]] == ["c"]
    assert log.after("t", sequences[1]) == following


def test_a_reader_at_the_end_gets_nothing_and_stays_there() -> None:
    log, sequences = log_with(("a", None))
    end = log.after("t", sequences[0])
    assert log.read("t", end) == ([], end)
    assert log.read("unknown", 0) == ([], 0)


def test_records_that_were_dropped_are_not_passed_over_in_silence() -> None:
    log, sequences = log_with(("a", None), ("b", None), ("c", None), records_max=2)
    with pytest.raises(Trimmed):
        log.read("t", 0)
    with pytest.raises(Trimmed):
        log.after("t", "0")
    assert [record.key for record in log.read("t", log.after("t", sequences[1]))[0]] == ["c"]
    assert [record.key for record in log.read("t", log.oldest("t"))[0]] == ["b", "c"]
    assert log.trimmed("t") == sequences[0]


def test_what_was_written_without_a_stream_is_not_passed_over_in_silence() -> None:
    log, (first,) = log_with(("a", None))
    log.cut("t", 2000)
    with pytest.raises(Trimmed):
        log.read("t", 0)
    for _ in range(2):  # whether there are records again or not
        with pytest.raises(Trimmed):
            log.after("t", first)
        log.append("t", LoggedRecord(log.next_sequence(3000), "b", None, b"{}"))
    trimmed = log.trimmed("t")
    assert first < trimmed
    assert [record.key for record in log.read("t", log.after("t", trimmed))[0]] == ["b", "b"]


def test_a_sequence_number_of_an_earlier_log_is_nothing_to_go_on_from() -> None:
    log = StreamLog(born_ms=2000)
    earlier = StreamLog().next_sequence(1999)
    with pytest.raises(Trimmed):
        log.after("t", earlier)
    assert log.after("t", log.next_sequence(2000)) == 0


def test_a_local_write_that_was_not_read_fences_its_key_alone() -> None:
    log, sequences = log_with(("a", None), ("b", None))
    assert log.is_fenced("t", ["b"], sequences[0], 9)
    assert not log.is_fenced("t", ["a"], sequences[0], 9)
    assert not log.is_fenced("t", ["b"], sequences[1], 9)


def test_an_apply_beyond_the_last_known_one_fences() -> None:
    log, sequences = log_with(("a", None), ("a", "mark"))
    assert log.is_fenced("t", ["a"], sequences[0], 1)
    assert not log.is_fenced("t", ["a"], sequences[0], 2)


def test_a_deleted_table_has_no_records() -> None:
    log, _ = log_with(("a", None))
    log.forget("t")
    assert log.read("t", 0) == ([], 0)
    assert not log.is_fenced("t", ["a"], "0", 0)
