"""Replicas that are filled while writes go on, and replicas that are compared because records were missed."""

import asyncio
from typing import Any

from replicator_lab import ReplicatorLab
from waiting import eventually_async

from lab.core.faults import Fault
from lab.core.replication_fill import FILL_WATERMARK
from lab.report import scan_text

EAST, WEST, EU = "us-east-1", "us-west-2", "eu-west-1"
TABLE = "things"
STREAM = {"StreamEnabled": True, "StreamViewType": "NEW_AND_OLD_IMAGES"}


def test_a_region_is_added_to_a_table_with_data_while_writes_go_on() -> None:
    async def test() -> None:
        async with ReplicatorLab(EAST, WEST, EU) as lab:
            await lab.create(EAST, TABLE)
            for n in range(1200):
                await lab.put(EAST, TABLE, f"k{n}", "before")
            expected = dict.fromkeys((f"k{n}" for n in range(1200)), "before")
            writing = True

            async def write() -> None:
                n = 0
                while writing:
                    n += 1
                    key = f"k{n * 37 % 1300}"
                    if n % 5 == 0:
                        await lab.delete(EAST, TABLE, key)
                        expected.pop(key, None)
                    else:
                        await lab.put(EAST, TABLE, key, str(n))
                        expected[key] = str(n)

            writer = asyncio.create_task(write())
            await lab.create(WEST, TABLE)
            lab.set_replicas(TABLE, EAST, WEST)
            await lab.publish()
            await asyncio.sleep(0.1)
            await lab.create(EU, TABLE)
            lab.set_replicas(TABLE, EAST, WEST, EU)
            await lab.publish()
            await eventually_async(lambda: ready(lab, EU))
            await lab.restart("replicator")
            writing = False
            await writer
            contents = await lab.agree(TABLE)
            assert {key: item["v"]["S"] for key, item in contents.items()} == expected

    asyncio.run(test())


def test_a_replica_that_was_removed_and_added_again_is_filled_again() -> None:
    async def test() -> None:
        async with ReplicatorLab(EAST, WEST) as lab:
            await lab.create_global(TABLE)
            await lab.put(EAST, TABLE, "a", "1")
            await lab.agree(TABLE)
            lab.set_replicas(TABLE, EAST)
            await lab.publish()
            await lab.dynamodb(WEST, "DeleteTable", {"TableName": TABLE})
            await lab.put(EAST, TABLE, "b", "2")
            await asyncio.sleep(0.05)
            await lab.create(WEST, TABLE)
            lab.set_replicas(TABLE, EAST, WEST)
            await lab.publish()
            assert sorted(await lab.agree(TABLE)) == ["a", "b"]

    asyncio.run(test())


def test_writes_that_left_no_record_are_found_by_comparing_the_tables() -> None:
    async def test() -> None:
        async with ReplicatorLab(EAST, WEST) as lab:
            await lab.create_global(TABLE)
            for key in ("kept", "changed", "deleted"):
                await lab.put(EAST, TABLE, key, "before")
            await lab.agree(TABLE)
            off, on = {"StreamEnabled": False}, STREAM
            await lab.dynamodb(EAST, "UpdateTable", {"TableName": TABLE, "StreamSpecification": off})
            await lab.put(EAST, TABLE, "changed", "unseen")
            await lab.put(EAST, TABLE, "new", "unseen")
            await lab.delete(EAST, TABLE, "deleted")
            await asyncio.sleep(0.01)
            await lab.dynamodb(EAST, "UpdateTable", {"TableName": TABLE, "StreamSpecification": on})
            await lab.put(EAST, TABLE, "after", "seen")
            await eventually_async(lambda: lab.value(WEST, TABLE, "new"))
            contents = await lab.agree(TABLE)
            assert {key: item["v"]["S"] for key, item in contents.items()} == {
                "kept": "before",
                "changed": "unseen",
                "new": "unseen",
                "after": "seen",
            }

    asyncio.run(test())


def test_records_that_were_gone_before_any_was_read_are_made_up_for_by_comparing_the_tables() -> None:
    async def test() -> None:
        async with ReplicatorLab(EAST, WEST) as lab:
            await lab.fault(Fault("down", "down", 0, region=WEST))
            await lab.create_global(TABLE)
            await lab.put(EAST, TABLE, "east", "1")
            await lab.put(WEST, TABLE, "recorded", "1")
            for enabled in ({"StreamEnabled": False}, STREAM):
                await lab.put(WEST, TABLE, f"before {enabled['StreamEnabled']}", "1")
                await lab.dynamodb(WEST, "UpdateTable", {"TableName": TABLE, "StreamSpecification": enabled})
            await lab.put(WEST, TABLE, "after", "1")
            await lab.fault()
            await eventually_async(lambda: lab.value(EAST, TABLE, "recorded"))
            await eventually_async(lambda: lab.value(WEST, TABLE, "east"))
            expected = ["after", "before False", "before True", "east", "recorded"]
            assert sorted(await lab.agree(TABLE)) == expected

    asyncio.run(test())


def test_a_comparison_tells_how_far_it_has_come_and_why_it_is_made() -> None:
    async def test() -> None:
        async with ReplicatorLab(EAST, WEST) as lab:
            await lab.create_global(TABLE)
            for key in ("a", "b"):
                await lab.put(EAST, TABLE, key, "before")
            await lab.agree(TABLE)
            assert [replica["scan"] for replica in (await lab.get("/status"))["replicas"]] == [None, None]
            # What waits for the region that is compared goes first: so the comparison stays where it begins.
            await lab.fault(Fault("cut", "cut", 0, region=WEST, target=EAST))
            for n in range(FILL_WATERMARK + 1):
                await lab.put(WEST, TABLE, f"k{n}", "west")
            await eventually_async(lambda: waiting(lab, FILL_WATERMARK + 1))
            for enabled in ({"StreamEnabled": False}, STREAM):
                await lab.dynamodb(EAST, "UpdateTable", {"TableName": TABLE, "StreamSpecification": enabled})
                await lab.put(EAST, TABLE, f"new {enabled['StreamEnabled']}", "1")
            replica = await eventually_async(lambda: scanned(lab, EAST))
            assert replica["scan"] == {"why": "gap", "source": EAST, "scanned": 0, "items": 4, "progress_percent": 0}
            assert scan_text(replica) == (
                "Comparing things in us-east-1: 0 of 4 items (0 %); "
                "records of its stream were gone before they were read"
            )
            await lab.fault()
            assert len(await lab.agree(TABLE)) == FILL_WATERMARK + 5
            assert await scanned(lab, EAST) is None

    asyncio.run(test())


async def waiting(lab: ReplicatorLab, items: int) -> bool:
    return any(pair["backlog"] == items for pair in (await lab.get("/status"))["pairs"])


async def scanned(lab: ReplicatorLab, region: str) -> dict[str, Any] | None:
    replicas = (await lab.get("/status"))["replicas"]
    return next((r for r in replicas if r["region"] == region and r["scan"] is not None), None)


async def ready(lab: ReplicatorLab, region: str) -> bool:
    replicas = (await lab.get("/status"))["replicas"]
    return any(replica["region"] == region and replica["ready"] for replica in replicas)
