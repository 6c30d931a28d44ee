"""Writes between living regions: what arrives, what wins, what is not repeated."""

import asyncio
import time
from collections.abc import Awaitable, Callable

from replicator_lab import ReplicatorLab
from waiting import eventually_async

from lab.core.faults import Fault
from lab.core.replication_lag import PairLag, ReplicationLag
from lab.core.topology import ClockSkew
from lab.live.clock import now_ms

EAST, WEST, EU = "us-east-1", "us-west-2", "eu-west-1"
TABLE = "things"


def in_lab(*regions: str) -> Callable[[Callable[[ReplicatorLab], Awaitable[None]]], Callable[[], None]]:
    def decorate(test: Callable[[ReplicatorLab], Awaitable[None]]) -> Callable[[], None]:
        async def run() -> None:
            async with ReplicatorLab(*regions) as lab:
                await lab.create_global(TABLE)
                await test(lab)

        def wrapper() -> None:
            asyncio.run(run())

        wrapper.__name__ = test.__name__
        return wrapper

    return decorate


@in_lab(EAST, WEST)
async def test_a_put_an_update_and_a_delete_reach_the_other_region(lab: ReplicatorLab) -> None:
    await lab.put(EAST, TABLE, "a", "one")
    await eventually_async(lambda: lab.value(WEST, TABLE, "a"))
    await lab.update(WEST, TABLE, "a", "two")
    assert (await lab.agree(TABLE))["a"]["v"] == {"S": "two"}
    await lab.delete(EAST, TABLE, "a")
    assert await lab.agree(TABLE) == {}


@in_lab(EAST, WEST)
async def test_replicated_writes_are_not_sent_back(lab: ReplicatorLab) -> None:
    await lab.agree(TABLE)  # else the fill of the new replica may bring some of them
    for n in range(20):
        await lab.put(EAST, TABLE, f"k{n}", str(n))
    await lab.agree(TABLE)
    pairs = {(pair["source"], pair["target"]): pair["shipped"] for pair in (await lab.get("/status"))["pairs"]}
    assert pairs[EAST, WEST] == 20
    assert pairs.get((WEST, EAST), 0) == 0


@in_lab(EAST, WEST, EU)
async def test_writes_of_both_sides_of_a_cut_meet_and_the_later_one_wins(lab: ReplicatorLab) -> None:
    await lab.put(EAST, TABLE, "a", "before")
    await lab.agree(TABLE)
    cut = [Fault("1", "cut", 0, region=EAST, target=WEST), Fault("2", "cut", 0, region=WEST, target=EAST)]
    await lab.fault(*cut)
    await lab.put(EAST, TABLE, "a", "east")
    await asyncio.sleep(0.02)
    await lab.put(WEST, TABLE, "a", "west")
    await lab.put(EAST, TABLE, "b", "only east")
    await eventually_async(lambda: lab.value(EU, TABLE, "b"))
    assert await lab.value(WEST, TABLE, "b") is None
    assert await lab.value(EAST, TABLE, "a") == "east"
    await lab.fault()
    contents = await lab.agree(TABLE)
    assert contents["a"]["v"] == {"S": "west"}
    assert contents["b"]["v"] == {"S": "only east"}
    (conflict,) = (await lab.get("/conflicts"))["conflicts"]
    assert conflict["key"] == {"id": {"S": "a"}}
    assert (conflict["winner"]["region"], conflict["loser"]["region"]) == (WEST, EAST)


@in_lab(EAST, WEST)
async def test_an_older_put_does_not_bring_a_deleted_item_back(lab: ReplicatorLab) -> None:
    await lab.put(EAST, TABLE, "a", "old")
    await lab.agree(TABLE)
    await lab.fault(Fault("1", "replication_paused", 0, region=EAST))
    await lab.put(EAST, TABLE, "a", "older than the delete")
    await asyncio.sleep(0.02)
    await lab.delete(WEST, TABLE, "a")
    await lab.fault()
    assert await lab.agree(TABLE) == {}


@in_lab(EAST, WEST)
async def test_a_write_keeps_the_time_of_its_regions_clock_when_it_is_read_after_the_clock_was_set_right(
    lab: ReplicatorLab,
) -> None:
    down = Fault("1", "down", 0, region=EAST)
    behind = Fault("2", "clock_skew", now_ms(), region=EAST, skew_ms=-60_000)
    await lab.fault(down, behind)
    await lab.put(WEST, TABLE, "a", "west")
    await asyncio.sleep(0.02)
    await lab.put(EAST, TABLE, "a", "later, by a clock that is behind")
    await asyncio.sleep(0.02)
    lab.faults = lab.faults.lifted([behind], now_ms())
    await lab.put(WEST, TABLE, "b", "west")
    await asyncio.sleep(0.02)
    await lab.put(EAST, TABLE, "b", "later, by a clock that is right again")
    lab.faults = lab.faults.lifted([down], now_ms())
    await lab.restart("replicator")
    await eventually_async(lambda: lab.value(EAST, TABLE, "b"))
    contents = await lab.agree(TABLE)
    assert contents["a"]["v"]["S"] == "west"
    assert contents["b"]["v"]["S"] == "later, by a clock that is right again"
    conflicts = {entry["key"]["id"]["S"]: entry for entry in (await lab.get("/conflicts"))["conflicts"]}
    assert conflicts["a"]["winner"]["time_ms"] - conflicts["a"]["loser"]["time_ms"] > 50_000


def test_a_region_whose_clock_is_set_behind_loses_against_earlier_writes() -> None:
    async def test() -> None:
        async with ReplicatorLab(EAST, WEST, clock_skews=(ClockSkew(EAST, -60_000),)) as lab:
            await lab.create_global(TABLE)
            await lab.put(WEST, TABLE, "a", "west")
            await lab.agree(TABLE)
            await lab.put(EAST, TABLE, "a", "later, by a clock that is behind")
            assert (await lab.agree(TABLE))["a"]["v"]["S"] == "west"
            (conflict,) = (await lab.get("/conflicts"))["conflicts"]
            assert (conflict["winner"]["region"], conflict["loser"]["region"]) == (WEST, EAST)

    asyncio.run(test())


@in_lab(EAST, WEST)
async def test_a_region_that_was_down_is_caught_up(lab: ReplicatorLab) -> None:
    await lab.fault(Fault("1", "down", 0, region=WEST))
    for n in range(300):
        await lab.put(EAST, TABLE, f"k{n}", str(n))
    assert await lab.contents(WEST, TABLE) == {}
    await lab.fault()
    assert len(await lab.agree(TABLE)) == 300


@in_lab(EAST, WEST)
async def test_hot_keys_written_on_both_sides_converge(lab: ReplicatorLab) -> None:
    async def write(region: str) -> None:
        for n in range(200):
            await lab.put(region, TABLE, f"k{n % 5}", f"{region} {n}")

    await asyncio.gather(write(EAST), write(WEST))
    assert len(await lab.agree(TABLE)) == 5


def test_a_lag_of_a_pair_holds_back_that_pair_alone() -> None:
    async def test() -> None:
        lag = ReplicationLag(jitter=0, pairs=(PairLag(EAST, WEST, 600_000), PairLag(WEST, EAST, 400)))
        async with ReplicatorLab(EAST, WEST, EU, replication=lag) as lab:
            await lab.create_global(TABLE)
            await lab.agree(TABLE)
            await lab.put(EAST, TABLE, "held back", "1")
            await eventually_async(lambda: lab.value(EU, TABLE, "held back"))
            assert await lab.value(WEST, TABLE, "held back") is None
            start = time.monotonic()
            await lab.put(WEST, TABLE, "late", "1")
            await eventually_async(lambda: lab.value(EAST, TABLE, "late"))
            assert time.monotonic() - start >= 0.4

    asyncio.run(test())


@in_lab(EAST, WEST)
async def test_a_region_whose_dynamodb_is_throttled_is_caught_up_when_it_is_not_any_more(lab: ReplicatorLab) -> None:
    throttled = "ProvisionedThroughputExceededException"
    await lab.fault(Fault("1", "error", 0, region=WEST, service="dynamodb", error_code=throttled))
    await lab.put(EAST, TABLE, "a", "1")
    await eventually_async(lambda: lab.captured(EAST, 1))
    answer = await lab.converged(TABLE, timeout_ms=300)
    assert answer["left"] == [{"table": TABLE, "source": EAST, "target": WEST, "items": 1}]
    await lab.fault()
    assert sorted(await lab.agree(TABLE)) == ["a"]
