"""What AWS says of a global table's replicas: whole items, item by item, pair by pair, by the time of the write."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Any

import orjson
from replicator_lab import KEY, ReplicatorLab, metric
from waiting import eventually_async

from lab.core.faults import Fault
from lab.core.table import GlobalTable, Replica, Tables

EAST, WEST, EU = "us-east-1", "us-west-2", "eu-west-1"
TABLE = "things"


def run(test: Callable[[ReplicatorLab], Awaitable[None]], *regions: str, **settings: Any) -> None:
    async def main() -> None:
        async with ReplicatorLab(*regions, **settings) as lab:
            await lab.create_global(TABLE)
            await test(lab)

    asyncio.run(main())


async def call(lab: ReplicatorLab, region: str, target: str, request: dict[str, Any]) -> dict[str, Any]:
    """A call that is neither journaled nor announced: the replicator finds it when it looks by itself."""
    headers = [("X-Amz-Target", target)]
    response = await lab.client(f"engine-{region}").call("POST", "/", headers, orjson.dumps(request))
    assert response.status == 200, response.body
    body: dict[str, Any] = orjson.loads(response.body)
    return body


def test_a_region_whose_replication_is_paused_holds_back_its_own_pairs_alone() -> None:
    async def test(lab: ReplicatorLab) -> None:
        await lab.agree(TABLE)
        await lab.fault(Fault("1", "replication_paused", 0, region=EAST))
        for region in lab.regions:
            await lab.put(region, TABLE, region, "1")
        for region, other in ((WEST, EU), (EU, WEST)):
            await eventually_async(lambda region=region, other=other: lab.value(region, TABLE, other))
        assert sorted(await lab.contents(EAST, TABLE)) == [EAST]
        assert EAST not in await lab.contents(WEST, TABLE)
        await lab.fault()
        assert sorted(await lab.agree(TABLE)) == sorted(lab.regions)

    run(test, EAST, WEST, EU)


def test_transactions_and_batches_arrive_item_by_item() -> None:
    async def test(lab: ReplicatorLab) -> None:
        await lab.put(EAST, TABLE, "t0", "before")
        await lab.put(EAST, TABLE, "b0", "before")
        await lab.agree(TABLE)
        put = [{"Put": {"TableName": TABLE, "Item": {"id": {"S": f"t{n}"}, "v": {"S": "1"}}}} for n in (1, 2)]
        delete = {"Delete": {"TableName": TABLE, "Key": {"id": {"S": "t0"}}}}
        await call(lab, EAST, "DynamoDB_20120810.TransactWriteItems", {"TransactItems": [*put, delete]})
        entries = [{"PutRequest": {"Item": {"id": {"S": f"b{n}"}, "v": {"S": "1"}}}} for n in (1, 2)]
        entries.append({"DeleteRequest": {"Key": {"id": {"S": "b0"}}}})
        await call(lab, WEST, "DynamoDB_20120810.BatchWriteItem", {"RequestItems": {TABLE: entries}})
        assert sorted(await lab.agree(TABLE)) == ["b1", "b2", "t1", "t2"]
        assert (await lab.get("/conflicts"))["conflicts"] == []

    run(test, EAST, WEST)


def test_of_updates_to_different_attributes_in_two_regions_the_later_one_stays_whole() -> None:
    async def test(lab: ReplicatorLab) -> None:
        await lab.put(EAST, TABLE, "a", "before")
        await lab.agree(TABLE)
        await lab.fault(Fault("1", "replication_paused", 0, region=EAST))
        for region, attribute in ((EAST, "east"), (WEST, "west")):
            update = {
                "TableName": TABLE,
                "Key": {"id": {"S": "a"}},
                "UpdateExpression": f"SET {attribute} = :one ADD n :one",
                "ExpressionAttributeValues": {":one": {"N": "1"}},
            }
            await lab.dynamodb(region, "UpdateItem", update)
            await asyncio.sleep(0.02)
        await lab.fault()
        item = (await lab.agree(TABLE))["a"]
        assert item == {"id": {"S": "a"}, "v": {"S": "before"}, "west": {"N": "1"}, "n": {"N": "1"}}
        (conflict,) = (await lab.get("/conflicts"))["conflicts"]
        assert (conflict["winner"]["region"], conflict["loser"]["region"]) == (WEST, EAST)

    run(test, EAST, WEST)


def test_writes_20_ms_apart_are_ordered_as_they_were_made_though_the_replicator_was_away() -> None:
    async def test(lab: ReplicatorLab) -> None:
        await lab.agree(TABLE)
        lab.kill("replicator")
        orders = {f"k{n}": (EAST, WEST) if n % 2 else (WEST, EAST) for n in range(8)}
        for key, order in orders.items():
            for region in order:
                await lab.put(region, TABLE, key, region)
                await asyncio.sleep(0.02)
        lab.spawn("replicator")
        await lab.ready("replicator")
        await lab.publish()
        await eventually_async(lambda: captured(lab, 2 * len(orders)))
        contents = await lab.agree(TABLE)
        assert {key: item["v"]["S"] for key, item in contents.items()} == {k: last for k, (_, last) in orders.items()}
        assert len((await lab.get("/conflicts"))["conflicts"]) == len(orders)

    async def captured(lab: ReplicatorLab, records: int) -> bool:
        return sum(region["captured"] for region in (await lab.get("/status"))["regions"].values()) >= records

    run(test, EAST, WEST)


def test_what_waits_of_a_table_of_2017_is_published_as_pending_in_the_source_region() -> None:
    async def main() -> None:
        async with ReplicatorLab(EAST, WEST, speed=60.0) as lab:
            for region in lab.regions:
                await lab.create(region, TABLE)
            now = time.time_ns() // 1_000_000
            replicas = tuple(Replica(region, "ACTIVE", now) for region in lab.regions)
            lab.tables = Tables((GlobalTable(TABLE, KEY, replicas, "2017.11.29"),))
            await lab.fault(Fault("1", "cut", 0, region=EAST, target=WEST))
            for n in range(7):
                await lab.put(EAST, TABLE, f"k{n}", "1")
            await eventually_async(lambda: pending(lab, EAST, WEST, 7))
            assert not await pending(lab, WEST, EAST, 7)

    async def pending(lab: ReplicatorLab, source: str, target: str, most: int) -> bool:
        points = await metric(lab, "PendingReplicationCount", TABLE, source, target)
        return any(point["Maximum"] == most for point in points)

    asyncio.run(main())
