"""Global tables of version 2017.11.29: attributes in items, two records a write, deletes in two steps."""

import asyncio
import time

from replicator_lab import KEY, ReplicatorLab
from waiting import eventually_async

from lab.core.table import GlobalTable, Replica, Tables

EAST, WEST = "us-east-1", "us-west-2"
TABLE = "things"
ATTRIBUTES = ("aws:rep:deleting", "aws:rep:updateregion", "aws:rep:updatetime")


async def create(lab: ReplicatorLab) -> None:
    now = time.time_ns() // 1_000_000
    for region in lab.regions:
        await lab.create(region, TABLE)
    replicas = tuple(Replica(region, "ACTIVE", now) for region in lab.regions)
    lab.tables = Tables((GlobalTable(TABLE, KEY, replicas, "2017.11.29"),))
    await lab.publish()


def test_a_write_is_completed_by_attributes_in_every_region_and_leaves_two_records_where_it_was_made() -> None:
    async def test() -> None:
        async with ReplicatorLab(EAST, WEST) as lab:
            await create(lab)
            before = time.time()
            await lab.put(EAST, TABLE, "a", "1")
            item = (await lab.agree(TABLE))["a"]
            assert item["v"] == {"S": "1"}
            assert item["aws:rep:deleting"] == {"BOOL": False}
            assert item["aws:rep:updateregion"] == {"S": EAST}
            assert abs(float(item["aws:rep:updatetime"]["N"]) - before) < 10
            east, west = await lab.records(EAST, TABLE), await lab.records(WEST, TABLE)
            assert [record["eventName"] for record in east] == ["INSERT", "MODIFY"]
            assert not set(ATTRIBUTES) & set(east[0]["dynamodb"]["NewImage"])
            assert set(ATTRIBUTES) <= set(east[1]["dynamodb"]["NewImage"])
            assert [record["eventName"] for record in west] == ["INSERT"]
            pairs = (await lab.get("/status"))["pairs"]
            assert [(pair["source"], pair["target"], pair["shipped"]) for pair in pairs] == [(EAST, WEST, 1)]
            await lab.update(WEST, TABLE, "a", "2")
            item = (await lab.agree(TABLE))["a"]
            assert item["v"] == {"S": "2"}
            assert item["aws:rep:updateregion"] == {"S": WEST}
            assert len(await lab.records(WEST, TABLE)) == 3
            assert (await lab.get("/conflicts"))["conflicts"] == []

    asyncio.run(test())


def test_a_replicated_delete_is_announced_in_the_item_first() -> None:
    async def test() -> None:
        async with ReplicatorLab(EAST, WEST) as lab:
            await create(lab)
            await lab.put(EAST, TABLE, "a", "1")
            await lab.agree(TABLE)
            await lab.delete(EAST, TABLE, "a")
            assert await lab.agree(TABLE) == {}
            west = await lab.records(WEST, TABLE)
            assert [record["eventName"] for record in west] == ["INSERT", "MODIFY", "REMOVE"]
            assert west[1]["dynamodb"]["NewImage"]["aws:rep:deleting"] == {"BOOL": True}

    asyncio.run(test())


def test_what_expires_stays_where_it_has_not_expired() -> None:
    async def test() -> None:
        async with ReplicatorLab(EAST, WEST, speed=60.0) as lab:
            await create(lab)
            setting = {"Enabled": True, "AttributeName": "expires"}
            await lab.dynamodb(EAST, "UpdateTimeToLive", {"TableName": TABLE, "TimeToLiveSpecification": setting})
            item = {"id": {"S": "a"}, "v": {"S": "1"}, "expires": {"N": str(int(time.time()) - 10)}}
            await lab.dynamodb(WEST, "PutItem", {"TableName": TABLE, "Item": item})

            async def expired() -> bool:
                return await lab.value(EAST, TABLE, "a") is None and await lab.value(WEST, TABLE, "a") == "1"

            await eventually_async(lambda: lab.value(EAST, TABLE, "a"))
            await eventually_async(expired)
            await lab.converged(TABLE)
            assert await expired()

    asyncio.run(test())


def test_hot_keys_converge() -> None:
    async def test() -> None:
        async with ReplicatorLab(EAST, WEST) as lab:
            await create(lab)

            async def write(region: str) -> None:
                for n in range(80):
                    if n % 7 == 6:
                        await lab.delete(region, TABLE, f"k{n % 3}")
                    else:
                        await lab.put(region, TABLE, f"k{n % 3}", f"{region} {n}")

            await asyncio.gather(write(EAST), write(WEST))
            for item in (await lab.agree(TABLE)).values():
                assert set(ATTRIBUTES) <= set(item)

    asyncio.run(test())
