"""The last-writer-wins rule for one item: laws that hold for any interleaving."""

import random
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from lab.core.conflict import Version
from lab.core.item import Item, Record, after_apply, after_loss, after_mark, after_write

REGIONS = ("ap-east-1", "eu-west-1", "us-east-1")


def record(
    time_ms: int, position: int, content: str | None, old: str | None = None, mark: Version | None = None
) -> Record:
    def digest(text: str | None) -> int:
        return 0 if text is None else int.from_bytes(text.encode(), "big") + 1

    def data(text: str | None) -> bytes | None:
        return None if text is None else text.encode()

    return Record(b"k", time_ms, position, data(content), digest(content), data(old), digest(old), mark)


@st.composite
def streams(draw: st.DrawFn) -> dict[str, list[Record]]:
    """Local writes of one item in each region, in the order of each region's stream."""
    found = {}
    for region in REGIONS:
        times = sorted(draw(st.lists(st.integers(1, 30), max_size=6)))
        contents = draw(st.lists(st.sampled_from(["a", "b", "c", None]), min_size=len(times), max_size=len(times)))
        found[region] = [record(t, n, c) for n, (t, c) in enumerate(zip(times, contents, strict=True), start=1)]
    return found


def replay(streams: dict[str, list[Record]], chance: random.Random, *, repeat: bool = False) -> Item | None:
    """Take all records, each stream in its order, streams interleaved at will; some again if told so."""
    left = {region: list(records) for region, records in streams.items() if records}
    seen: list[tuple[str, Record]] = []
    item: Item | None = None
    while left:
        region = chance.choice(sorted(left))
        seen.append((region, left[region].pop(0)))
        if not left[region]:
            del left[region]
        item, _ = after_write(item, *seen[-1])
        if repeat and chance.random() < 0.5:
            item, _ = after_write(item, *chance.choice(seen))
    return item


def last_write(streams: dict[str, list[Record]]) -> tuple[Version, int] | None:
    writes = [(Version(r.time_ms, region, r.position), r.digest) for region, rs in streams.items() for r in rs]
    return max(writes, default=None)


@given(streams(), st.randoms(use_true_random=False))
def test_any_interleaving_of_streams_ends_in_the_last_write(
    streams: dict[str, list[Record]], chance: random.Random
) -> None:
    item, last = replay(streams, chance), last_write(streams)
    assert (None if item is None else (item.winner, item.digest)) == last


@given(streams(), st.randoms(use_true_random=False))
def test_writes_that_are_delivered_again_change_nothing(
    streams: dict[str, list[Record]], chance: random.Random
) -> None:
    item, last = replay(streams, chance, repeat=True), last_write(streams)
    assert (None if item is None else (item.winner, item.digest)) == last


@given(streams(), st.randoms(use_true_random=False))
def test_a_region_is_known_to_hold_what_its_stream_said_last(
    streams: dict[str, list[Record]], chance: random.Random
) -> None:
    item = replay(streams, chance, repeat=True)
    for region, records in streams.items():
        if records:
            assert item is not None
            assert item.held[region].digest == records[-1].digest


@given(streams(), streams(), streams(), st.randoms(use_true_random=False))
def test_merging_associates(
    a: dict[str, list[Record]], b: dict[str, list[Record]], c: dict[str, list[Record]], chance: random.Random
) -> None:
    """Whatever was merged first, the winner is the greatest of all."""
    everything = [last_write(part) for part in (a, b, c)]
    expected = max((last for last in everything if last is not None), default=None)
    item: Item | None = None
    for part in chance.sample([a, b, c], 3):
        for region in chance.sample(REGIONS, 3):
            for entry in part[region]:
                item, _ = after_write(item, region, entry)
    assert (None if item is None else item.winner) == (None if expected is None else expected[0])


def test_an_older_put_does_not_bring_a_deleted_item_back() -> None:
    item, _ = after_write(None, "us-east-1", record(20, 1, None, old="a"))
    item, _ = after_write(item, "eu-west-1", record(10, 1, "a"))
    assert item.is_tombstone
    assert item.lacking(REGIONS) == ["ap-east-1", "eu-west-1"]


def test_equal_times_are_ordered_by_the_regions_name() -> None:
    for order in (REGIONS, REGIONS[::-1]):
        item: Item | None = None
        for region in order:
            item, _ = after_write(item, region, record(10, 1, region))
        assert item is not None
        assert item.winner.region == "us-east-1"


def test_a_slow_clock_loses_to_writes_that_came_before() -> None:
    item, _ = after_write(None, "us-east-1", record(100, 1, "first"))
    item, against = after_write(item, "eu-west-1", record(150, 1, "second"), skew_ms=-80)
    assert item.image == b"first"
    assert item.lacking(REGIONS) == ["ap-east-1", "eu-west-1"]
    assert against == Version(100, "us-east-1", 1)


def test_an_apply_that_overtook_a_local_write_is_noticed_whichever_is_heard_of_first() -> None:
    winner, _ = after_write(None, "us-east-1", record(10, 1, "apply"))
    local, mark = record(20, 1, "local"), record(10, 2, "apply", old="local", mark=Version(10, "us-east-1", 1))
    answered = after_apply(winner, "eu-west-1", winner.winner, winner.digest, position=2)
    heard_of_answer_first, _ = after_write(answered, "eu-west-1", local)
    read_first, _ = after_write(winner, "eu-west-1", local)
    marked = after_mark(read_first, "eu-west-1", mark)
    for item in (heard_of_answer_first, marked):
        assert item is not None
        assert item.image == b"local"
        assert "eu-west-1" in item.lacking(REGIONS)


def test_a_late_apply_of_an_older_version_is_noticed_and_its_record_gives_the_winner_back() -> None:
    item, _ = after_write(None, "us-east-1", record(10, 1, "old"))
    item, _ = after_write(item, "us-east-1", record(20, 2, "new"))
    for region in REGIONS:
        item = after_apply(item, region, item.winner, item.digest, position=5)
    settled = Item(item.winner, item.digest, None, item.held)
    late = after_mark(settled, "eu-west-1", record(30, 6, "old", old="new", mark=Version(10, "us-east-1", 1)))
    assert late is not None
    assert late.lacking(REGIONS) == ["eu-west-1"]
    assert late.image == b"new"


def test_writes_conflict_only_if_neither_saw_the_other() -> None:
    item, _ = after_write(None, "us-east-1", record(10, 1, "a"))
    _, seen = after_write(item, "eu-west-1", record(20, 2, "b", old="a"))
    _, unseen = after_write(item, "eu-west-1", record(20, 1, "b"))
    _, own = after_write(item, "us-east-1", record(20, 2, "b", old="a"))
    assert (seen, unseen, own) == (None, Version(10, "us-east-1", 1), None)


def test_what_a_lost_region_alone_had_gives_way_to_the_newest_of_the_others() -> None:
    item: Item | None = None
    for n, region in enumerate(("ap-east-1", "eu-west-1", "us-east-1"), start=1):
        item, _ = after_write(item, region, record(10 * n, 1, region))
    assert item is not None
    left, lost = after_loss(item, "us-east-1")
    assert lost
    assert left is not None
    assert left.winner.region == "eu-west-1"
    assert not left.has_image
    nothing, lost = after_loss(after_write(None, "us-east-1", record(10, 1, "a"))[0], "us-east-1")
    assert (nothing, lost) == (None, True)


def test_versions_are_ordered_by_time_then_region_then_place() -> None:
    ordered = [Version(1, "z", 9), Version(2, "a", 9), Version(2, "b", 1), Version(2, "b", 2)]
    assert all(first < second for first, second in pairwise(ordered))
